# shellcheck shell=bash
# Sourced by the scripts of this folder, with $root set: builds lora-native and the benchmarks' jar.

: "${root:?is set by the script that sources this file}"
# shellcheck source=tools/setup.sh
. "$root/tools/setup.sh"

build_benchmarks() {
  local log=$root/build/benchmarks.log
  mkdir -p "$root/build"
  ensure_tools build
  echo "benchmarks: building (log: $log)" >&2
  # The tests are compiled, because the table of op cases is among them; ./test runs them.
  if ! (cd "$root" && mvn -B -q -ntp -Dstyle.color=never -DskipTests -Dcuda.architectures=local package) >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    printf 'error: the build failed\nhint: the end of %s is above\n' "$log" >&2
    exit 1
  fi
}
