# shellcheck shell=bash
# Sourced by ./lora-native and ./test, with $root set: finds the JDK and the build tools, installs what is missing where that
# is possible, and builds. Works with the bash 3.2 of macOS. Everything here talks on standard error.

: "${root:?is set by the script that sources this file}"

readonly REQUIRED_JAVA=25
readonly REQUIRED_CMAKE=3.24

fail() { # MESSAGE HINT
  printf 'error: %s\nhint: %s\n' "$1" "$2" >&2
  exit 2
}

have() { # COMMAND
  command -v "$1" >/dev/null 2>&1
}

# ---- JDK ---------------------------------------------------------------------------------------------------------------------

# Prints the feature number (25) of the JDK in the folder, or fails. The release file saves starting a JVM.
jdk_feature() { # FOLDER
  local version=""
  [[ -x $1/bin/java && -x $1/bin/javac ]] || return 1
  if [[ -r $1/release ]]; then
    version=$(sed -n 's/^JAVA_VERSION="\(.*\)"/\1/p' "$1/release")
  fi
  if [[ -z $version ]]; then
    version=$("$1/bin/java" -version 2>&1 | sed -n 's/.* version "\([^"]*\)".*/\1/p' | head -n 1)
  fi
  version=${version#1.}
  version=${version%%[!0-9]*}
  [[ -n $version ]] && echo "$version"
}

jdk_is_new_enough() { # FOLDER
  local feature
  feature=$(jdk_feature "$1") && ((feature >= REQUIRED_JAVA))
}

# The folder of the java on PATH, through its symbolic links.
jdk_on_path() {
  local java target
  java=$(command -v java) || return 1
  while [[ -L $java ]]; do
    target=$(readlink "$java")
    [[ $target == /* ]] || target=$(dirname "$java")/$target
    java=$target
  done
  (cd "$(dirname "$java")/.." >/dev/null && pwd -P)
}

# Sets and exports JAVA_HOME to a JDK that is new enough, or fails.
find_jdk() {
  local folder
  if [[ -n ${JAVA_HOME:-} ]] && jdk_is_new_enough "$JAVA_HOME"; then
    export JAVA_HOME
    return 0
  fi
  for folder in "$(jdk_on_path || true)" /usr/lib/jvm/* /Library/Java/JavaVirtualMachines/*/Contents/Home \
    "$HOME"/Library/Java/JavaVirtualMachines/*/Contents/Home "$HOME"/.sdkman/candidates/java/* "$HOME"/.jdks/* \
    /opt/*jdk* /opt/homebrew/opt/openjdk*/libexec/openjdk.jdk/Contents/Home; do
    if [[ -n $folder ]] && jdk_is_new_enough "$folder"; then
      export JAVA_HOME=$folder
      return 0
    fi
  done
  return 1
}

# ---- tools -------------------------------------------------------------------------------------------------------------------

# What is missing: names for people, and the packages of Debian and of Homebrew.
missing=()
missing_apt=()
missing_brew=()

need() { # NAME DEBIAN_PACKAGE HOMEBREW_PACKAGE
  missing+=("$1")
  missing_apt+=("$2")
  missing_brew+=("$3")
}

cmake_is_new_enough() {
  local version oldest
  version=$(cmake --version 2>/dev/null | sed -n 's/^cmake version \([0-9.]*\).*/\1/p')
  [[ -n $version ]] || return 1
  oldest=$(printf '%s\n' "$REQUIRED_CMAKE" "$version" | sort -t . -k 1,1n -k 2,2n | head -n 1)
  [[ $oldest == "$REQUIRED_CMAKE" ]]
}

compiler() {
  local candidate
  for candidate in ${CXX:+"$CXX"} c++ g++ clang++; do
    if have "$candidate"; then
      echo "$candidate"
      return 0
    fi
  done
  return 1
}

have_googletest() {
  [[ -e /opt/homebrew/include/gtest/gtest.h || -e /usr/local/include/gtest/gtest.h ]] ||
    echo '#include <gtest/gtest.h>' | "$(compiler)" -E -x c++ - >/dev/null 2>&1
}

have_clang_format() {
  have clang-format-19 || { have clang-format && [[ $(clang-format --version) == *"version 19."* ]]; }
}

# The NEON kernels are compiled and run on other processors too, where these can be had: $arm64_packages names Debian's.
readonly arm64_packages="g++-aarch64-linux-gnu qemu-user googletest"

wants_arm64_tools() {
  [[ $(uname -sm) == "Linux x86_64" ]]
}

have_arm64_tools() {
  have aarch64-linux-gnu-g++ && have qemu-aarch64 && [[ -e /usr/src/googletest/CMakeLists.txt ]]
}

list_missing() { # build | test
  missing=() missing_apt=() missing_brew=()
  find_jdk || need "a JDK $REQUIRED_JAVA" "$(jdk_package)" "openjdk@$REQUIRED_JAVA"
  have mvn || need Maven maven maven
  cmake_is_new_enough || need "CMake $REQUIRED_CMAKE or newer" cmake cmake
  compiler >/dev/null || need "a C++ compiler" g++ gcc
  have make || have ninja || need Ninja ninja-build ninja
  if [[ $1 == test ]]; then
    { compiler >/dev/null && have_googletest; } || need GoogleTest libgtest-dev googletest
  fi
}

# ---- apt ---------------------------------------------------------------------------------------------------------------------

# How to call apt-get here: "", "sudo -n", or fails.
apt_prefix() {
  have apt-get || return 1
  if [[ $(id -u) == 0 ]]; then
    echo ""
  elif have sudo && sudo -n true 2>/dev/null; then
    echo "sudo -n"
  else
    return 1
  fi
}

apt_offers() { # PACKAGE
  have apt-cache && apt-cache show "$1" >/dev/null 2>&1
}

# The package that gives the JDK: the first that apt offers; where none is offered, the usual name.
jdk_package() {
  local package
  for package in "openjdk-$REQUIRED_JAVA-jdk-headless" "temurin-$REQUIRED_JAVA-jdk"; do
    if apt_offers "$package"; then
      break
    fi
    package=openjdk-$REQUIRED_JAVA-jdk-headless
  done
  echo "$package"
}

apt_install() { # PREFIX PACKAGE...
  local prefix=$1 log=$root/build/setup.log
  shift
  mkdir -p "$root/build"
  echo "lora-native: installing $* (${prefix:+sudo }apt-get install; log: $log)" >&2
  # shellcheck disable=SC2086 # the prefix is no word or two words
  DEBIAN_FRONTEND=noninteractive $prefix apt-get install -y --no-install-recommends "$@" >>"$log" 2>&1
}

# What apt does not offer (a JDK 25, on many systems) must not keep the rest from being installed.
apt_install_offered() { # PREFIX PACKAGE...
  local prefix=$1 package offered=()
  shift
  for package in "$@"; do
    if apt_offers "$package"; then
      offered+=("$package")
    fi
  done
  if ((${#offered[@]} > 0)); then
    apt_install "$prefix" "${offered[@]}" || tail -n 5 "$root/build/setup.log" >&2
  fi
}

# Package lists may be absent (a fresh container) or old: refreshed once, when a package is not offered.
apt_refresh() { # PREFIX PACKAGE...
  local prefix=$1 package
  shift
  for package in "$@"; do
    if ! apt_offers "$package"; then
      mkdir -p "$root/build"
      # shellcheck disable=SC2086 # the prefix is no word or two words
      $prefix apt-get update >>"$root/build/setup.log" 2>&1 || true
      return 0
    fi
  done
}

# ---- together ----------------------------------------------------------------------------------------------------------------

joined() { # WORD...
  local text=$1 word
  shift
  for word in "$@"; do
    text="$text, $word"
  done
  echo "$text"
}

fail_missing() {
  local how package elsewhere="" packages=()
  for package in "${missing_apt[@]}"; do
    if [[ $package == *jdk* ]] && ! apt_offers "$package"; then
      elsewhere="unpack a JDK $REQUIRED_JAVA (for example Eclipse Temurin) as /opt/jdk-$REQUIRED_JAVA or set JAVA_HOME to its folder"
    else
      packages+=("$package")
    fi
  done
  if [[ $(uname -s) == Darwin ]]; then
    how="install with: brew install ${missing_brew[*]}"
    elsewhere=""
  elif ((${#packages[@]} == 0)); then
    how=""
  elif have apt-get; then
    how="install as root with: apt-get install ${packages[*]}"
  else
    how="install with your system's package manager (Debian's names: ${packages[*]})"
  fi
  fail "missing: $(joined "${missing[@]}")" "$how${how:+${elsewhere:+; }}$elsewhere"
}

# Afterwards JAVA_HOME is set and every tool for the purpose is there; otherwise the script has ended.
ensure_tools() { # build | test
  local prefix
  list_missing "$1"
  if ((${#missing[@]} > 0)); then
    prefix=$(apt_prefix) || fail_missing
    apt_refresh "$prefix" "${missing_apt[@]}"
    list_missing "$1"
    apt_install_offered "$prefix" "${missing_apt[@]}"
    list_missing "$1"
    ((${#missing[@]} == 0)) || fail_missing
  fi
  if [[ $1 == test ]] && ! have_clang_format && prefix=$(apt_prefix) && apt_offers clang-format-19; then
    apt_install "$prefix" clang-format-19 || true
  fi
  if [[ $1 == test ]] && wants_arm64_tools && ! have_arm64_tools && prefix=$(apt_prefix); then
    # shellcheck disable=SC2086 # several packages
    apt_refresh "$prefix" $arm64_packages
    # shellcheck disable=SC2086
    apt_install_offered "$prefix" $arm64_packages
  fi
  configure_environment
}

processors() {
  getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2
}

configure_environment() {
  export CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(processors)}
  export CTEST_PARALLEL_LEVEL=${CTEST_PARALLEL_LEVEL:-$(processors)}
  if ! have make; then
    export CMAKE_GENERATOR=${CMAKE_GENERATOR:-Ninja}
  fi
  # Maven's own libraries use what JDK 25 warns about.
  if [[ $(jdk_feature "$JAVA_HOME") == 25 ]]; then
    export MAVEN_OPTS="${MAVEN_OPTS:-} --sun-misc-unsafe-memory-access=allow --enable-native-access=ALL-UNNAMED"
  fi
  forget_moved_builds
}

# CMake refuses a build folder that was configured when the checkout lay elsewhere.
forget_moved_builds() {
  local cache
  for cache in "$root"/build/*/CMakeCache.txt; do
    if [[ -e $cache ]] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$cache"; then
      rm -rf "$(dirname "$cache")"
    fi
  done
}
