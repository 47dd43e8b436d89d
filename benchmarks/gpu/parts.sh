# shellcheck shell=bash
# Sourced by benchmarks/gpu/run.sh: what of the machine is missing, the parts in their order, and how results are written.

: "${root:?is set by the script that sources this file}"

# ---- the parts ---------------------------------------------------------------------------------------------------------------

# In the order of what they are worth: name, most seconds, expected seconds on an H200, what they need, title.
# The expectations were reckoned, not measured: no GPU has run this yet.
readonly PARTS='
doctor|60|5|java|the machine
smallest|60|10||every op at its smallest shape, twice, the same bytes
cases|90|15|java|every row of the op table, float32
references|90|40|java|trainings of transformers + PEFT repeated, float32 and bfloat16
cases-bf16|60|15|java|every row of the op table, bfloat16
synthetic|150|90|java|Qwen3-30B-A3B, random NF4 weights: tokens per second and memory
large|75|30|java|op table at shapes of models, float32
large-bf16|75|30|java|op table at shapes of models, bfloat16
speeds|60|15||kernels at the shapes of Qwen3-30B-A3B
cublas|60|10|java cublas|products by cuBLAS, float32
jcublas|45|10|java cublas12|products by JCublas, float32
memcheck|60|20|compute-sanitizer|every op at its smallest shape under memcheck
racecheck|60|20|compute-sanitizer|every op at its smallest shape under racecheck
steady|60|30|java|the same step at the beginning and after 200
torch|45|15|torch|torch on the same products
steps|45|20|java|JMH: whole train steps
ops|60|25|java|JMH: single ops
synccheck|45|20|compute-sanitizer|every op at its smallest shape under synccheck
peers|90|60|java peft|transformers + PEFT on the same training'

# Where less is left, a part is not begun.
readonly LEAST_SECONDS=8

list_parts() {
  printf '%-11s %5s %9s  %s\n' part most expected what
  local name most expected needs title sum=0
  while IFS='|' read -r name most expected needs title; do
    [[ -n $name ]] || continue
    printf '%-11s %5d %9d  %s%s\n' "$name" "$most" "$expected" "$title" "${needs:+ (needs $needs)}"
    sum=$((sum + expected))
  done <<<"$PARTS"
  printf '%-11s %5s %9d\n' all '' "$sum"
}

require_parts() { # LIST...
  local list name
  for list in "$@"; do
    for name in ${list//,/ }; do
      grep -q "^$name|" <<<"$PARTS" || fail "there is no part '$name'" "benchmarks/gpu/run.sh --list shows them"
    done
  done
}

is_wanted() { # NAME
  [[ ,$without, != *,$1,* ]] && [[ -z $only || $1 == doctor || ,$only, == *,$1,* ]]
}

# Sets command to what a part runs. With --quick only what the emulator does in seconds.
command_of() { # NAME
  local java=("${JAVA_HOME:-}/bin/java" --enable-native-access=ALL-UNNAMED
    "-Dlora.native.cuda.library=$pack/lib/liblora_native_cuda.so" -cp "$pack/benchmarks.jar")
  local package=dev.loranative.benchmarks
  local synthetic=("$pack/bin/lora-native" bench --synthetic --device cuda:0 --model-config)
  local references=java/src/test/resources/reference
  local few=() smallest=() jmh=("${java[@]}" --sun-misc-unsafe-memory-access=allow org.openjdk.jmh.Main -foe true -p device=cuda:0 -p threads=1)
  if [[ $quick == yes ]]; then
    few=(--rows few)
    smallest=(norm)
  fi
  case $1 in
    doctor) command=("$pack/bin/lora-native" doctor) ;;
    smallest) command=("$pack/bin/smallest_shapes" ${smallest[@]+"${smallest[@]}"}) ;;
    memcheck | racecheck | synccheck)
      command=(compute-sanitizer --tool "$1" --error-exitcode 1 "$pack/bin/smallest_shapes" ${smallest[@]+"${smallest[@]}"})
      ;;
    cases) command=("${java[@]}" $package.CheckCases ${few[@]+"${few[@]}"}) ;;
    cases-bf16) command=("${java[@]}" $package.CheckCases --precision bfloat16 ${few[@]+"${few[@]}"}) ;;
    cublas | jcublas) command=("${java[@]}" $package.CheckCases --gemm "$1" --families PRODUCTS ${few[@]+"${few[@]}"}) ;;
    large | large-bf16)
      command=("${java[@]}" $package.CheckCases --use time)
      [[ $1 == large ]] || command+=(--precision bfloat16)
      [[ $quick == no ]] || command+=(--families ROUTING --rows few)
      ;;
    references) command=("${java[@]}" $package.CheckReferences --references $references ${few[@]+"${few[@]}"}) ;;
    synthetic)
      if [[ $quick == yes ]]; then
        command=("${synthetic[@]}" $references/qwen3moe-router/model --targets attention,router,experts --tokens 12 --steps 1
          --sequence-length 8 --row-seconds 0.001)
      else
        command=("${synthetic[@]}" Qwen3-30B-A3B --targets attention,router,experts --tokens 2048,8192,16384 --steps 4
          --row-seconds 8)
      fi
      ;;
    steady)
      if [[ $quick == yes ]]; then
        command=("${synthetic[@]}" $references/qwen3moe-router/model --targets router --tokens 12 --steps 3 --sequence-length 8)
      else
        command=("${synthetic[@]}" Qwen3-30B-A3B --targets router --tokens 2048 --steps 200 --row-seconds 35)
      fi
      ;;
    speeds)
      command=("$pack/bin/speeds")
      [[ $quick == no ]] || command+=(--quick)
      ;;
    torch)
      command=("$python" benchmarks/gpu/torch_products.py)
      [[ $quick == no ]] || command+=(--quick)
      ;;
    steps)
      if [[ $quick == yes ]]; then
        command=("${jmh[@]}" StepBenchmark -p shape=llama-small -p batch=1 -p length=2 -wi 0 -i 1)
      else
        command=("${jmh[@]}" StepBenchmark -p shape=moe-medium)
      fi
      ;;
    ops)
      if [[ $quick == yes ]]; then
        command=("${jmh[@]}" OpBenchmark -p 'opCase=linear_fwd 1x1024x1024' -wi 0 -i 1 -r 100ms)
      else
        command=("${jmh[@]}" OpBenchmark -wi 1 -i 3 -p
          'opCase=linear_fwd 512x1024x1024,linear_fwd 512x1024x1024 bf16,linear_fwd 512x4096x4096 bf16,linear_bwd 512x4096x4096 bf16')
      fi
      ;;
    peers)
      command=("$python" benchmarks/peers/compare.py --device cuda:0 --models moe-medium --targets attention --output "$output"
        --program "$pack/bin/lora-native" --benchmarks "$pack/benchmarks.jar")
      if [[ $quick == yes ]]; then
        command+=(--rounds 1 --steps 3 --length 8)
      else
        command+=(--rounds 2 --steps 12)
      fi
      ;;
  esac
}

# ---- the machine -------------------------------------------------------------------------------------------------------------

# What is not here: lines "NEED|why, and what would help".
absent=""

lacks() { # NEED WHY
  absent+="$1|$2"$'\n'
}

is_absent() { # NEED
  [[ $'\n'$absent == *$'\n'"$1|"* ]]
}

# Finds what parts need, all of it before any of them; sets JAVA_HOME, python and LD_LIBRARY_PATH.
look_around() {
  if [[ -x $pack/jdk/bin/java ]]; then
    export JAVA_HOME=$pack/jdk
  elif ! find_jdk; then
    lacks java "there is no JDK $REQUIRED_JAVA: pack one (benchmarks/gpu/pack does unless told --no-java)"
  fi
  export LORA_NATIVE_CACHE=$work/cache
  # NVIDIA's tools and libraries lie there without being found.
  [[ ! -d /usr/local/cuda/bin ]] || export PATH=$PATH:/usr/local/cuda/bin
  have compute-sanitizer || lacks compute-sanitizer "compute-sanitizer is not on the PATH: it is part of the CUDA toolkit"
  have nvidia-smi || lacks nvidia-smi "nvidia-smi is not on the PATH: the card's clocks and driver are not noted"
  export LD_LIBRARY_PATH=$pack/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  [[ ! -d /usr/local/nvidia/lib64 ]] || LD_LIBRARY_PATH+=:/usr/local/nvidia/lib64
  look_at_python
  look_for_cublas 1[23] || lacks cublas "there is no cuBLAS 13 or 12 in the usual places: name its folder in LD_LIBRARY_PATH"
  look_for_cublas 12 || lacks cublas12 "there is no cuBLAS 12, which JCublas needs"
}

look_at_python() {
  local asked=$python found
  python=${python:-python3}
  found=$(timeout 60 "$python" - 2>/dev/null <<'PYTHON'
import importlib.util

def has(name):
    return importlib.util.find_spec(name) is not None

if has("torch"):
    import torch

    if torch.cuda.is_available():
        print("torch")
        if all(has(name) for name in ("transformers", "peft", "safetensors")):
            print("peft")
PYTHON
  ) || found=""
  [[ $found == *torch* ]] || lacks torch "'$python' has no torch that finds a GPU${asked:+: give another --python}"
  [[ $found == *peft* ]] || lacks peft "'$python' has not all of torch for the GPU, transformers, peft, safetensors"
}

# Puts the folder of a cuBLAS, if it has to be searched for, into LD_LIBRARY_PATH; fails where there is none.
look_for_cublas() { # MAJOR-VERSION-PATTERN
  local file
  if ldconfig -p 2>/dev/null | grep -q "libcublas\.so\.$1" || compgen -G "$pack/lib/libcublas.so.$1" >/dev/null; then
    return 0
  fi
  while read -r file; do
    if [[ -e $file ]]; then
      LD_LIBRARY_PATH=$LD_LIBRARY_PATH:$(dirname "$file")
      return 0
    fi
  done < <(compgen -G "/usr/local/cuda*/lib64/libcublas.so.$1"
    compgen -G "/usr/local/cuda*/targets/x86_64-linux/lib/libcublas.so.$1"
    compgen -G "$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' 2>/dev/null)/nvidia/*/lib/libcublas.so.$1")
  return 1
}

# ---- results -----------------------------------------------------------------------------------------------------------------

# Whole at any time: the machine may be taken away.
write_results() {
  {
    printf '# GPU checks and figures, %s\n\n' "$date"
    if have nvidia-smi; then
      nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv,noheader 2>/dev/null | sed 's/^/- /' || true
    fi
    sed 's/^/- /' "$pack/pack.txt"
    [[ $quick == no ]] || printf -- '- smallest shapes (--quick): the figures say nothing\n'
    while IFS='|' read -r need why; do
      [[ -z $need ]] || printf -- '- missing: %s\n' "$why"
    done <<<"$absent"
    printf '\n| part | result | seconds |\n|---|---|--:|\n'
    cat "$work/summary"
    cat "$work/sections"
  } >"$results.new"
  mv "$results.new" "$results"
}

note() { # NAME TITLE RESULT SECONDS
  printf '| %s: %s | %s | %s |\n' "$1" "$2" "$3" "$4" >>"$work/summary"
  printf '   %-11s %s%s\n' "$1" "$3" "${4:+, $4 s}" >>"$work/terminal"
}

# ---- running -----------------------------------------------------------------------------------------------------------------

run_parts() {
  date=$(date +%F)
  results=$output/gpu-$date.md log=$output/gpu-$date.log
  wrong=no
  trap 'stopped 130' INT
  trap 'stopped 143' TERM
  : >"$work/summary" >"$work/sections" >"$work/terminal" >"$log"
  echo "== what is here: $(paste -sd ';' "$pack/pack.txt")"
  while IFS='|' read -r need why; do
    [[ -z $need ]] || echo "missing: $why"
  done <<<"$absent"
  local name most expected needs title
  while IFS='|' read -r name most expected needs title <&3; do
    if [[ -n $name ]] && is_wanted "$name"; then
      run_part "$name" "$most" "$needs" "$title"
    fi
  done 3<<<"$PARTS"
  write_results
  echo "== in $((SECONDS - started)) s:"
  cat "$work/terminal"
  echo "wrote $results and $log"
  [[ $wrong == no ]] || exit 1
}

run_part() { # NAME MOST NEEDS TITLE
  local name=$1 most=$2 needs=$3 title=$4 need left=$((seconds - (SECONDS - started))) command result status begin
  for need in $needs; do
    if is_absent "$need"; then
      note "$name" "$title" "left out: no $need" ""
      return 0
    fi
  done
  if ((left < LEAST_SECONDS)); then
    note "$name" "$title" "left out: no time was left" ""
    return 0
  fi
  ((most <= left)) || most=$left
  command_of "$name"
  echo "== $name: $title"
  begin=$SECONDS
  set +e
  run_command "$most"
  status=$?
  set -e
  result=$(result_of "$name" "$status" "$most")
  if [[ $name == doctor ]] && ! grep -q 'ok  *GPU kernels' "$work/output"; then
    result="failed: no GPU is in use"
  fi
  [[ $result == right* ]] || wrong=yes
  note "$name" "$title" "$result" $((SECONDS - begin))
  { printf '== %s: %s\n%s\n' "$name" "$title" "${command[*]}"; cat "$work/output"; } >>"$log"
  printf '\n## %s\n\n%s, %d s: `%s`\n\n```\n%s\n```\n' "$title" "$result" $((SECONDS - begin)) "$(shortened)" \
    "$(end_of "$name")" >>"$work/sections"
  write_results
  if [[ $result == *"no GPU is in use" ]]; then
    cat "$work/terminal"
    printf 'error: no GPU is in use, see above\nhint: results are in %s\n' "$results" >&2
    exit 2
  fi
}

# In the background, for the shell answers signals only while it waits.
run_command() { # MOST
  local terminal shown status
  exec {terminal}> >(tee "$work/output")
  shown=$!
  timeout -k 10 "$1" "${command[@]}" </dev/null >&"$terminal" 2>&1 &
  running=$!
  exec {terminal}>&-
  wait "$running"
  status=$?
  running=""
  wait "$shown"
  return "$status"
}

running=""

# Ctrl-C ends the part at hand and keeps what the parts before it gave.
stopped() { # EXIT-CODE
  trap '' INT TERM
  if [[ -n $running ]]; then
    kill "$running" 2>/dev/null
    wait "$running"
  fi
  printf 'stopped; what was measured is in %s\n' "$results" >&2
  exit "$1"
}

# What of a part's output is worth reading: JMH talks much before its table.
end_of() { # NAME
  case $1 in
    steps | ops) sed -n '/^Benchmark  /,$p' "$work/output" | grep . || tail -n 20 "$work/output" ;;
    *) tail -n 80 "$work/output" ;;
  esac
}

shortened() {
  local text=${command[*]}
  text=${text//$pack/pack}
  text=${text//$output/.}
  text=${text//$root\//}
  echo "${text//$JAVA_HOME\/bin\//}"
}

result_of() { # NAME STATUS MOST
  case $2 in
    0) echo right ;;
    124 | 137) echo "stopped after $3 s" ;;
    3) [[ $1 == synthetic || $1 == steady ]] && echo "right: nothing fits on the card" || echo "failed, exit code 3" ;;
    *) echo "failed, exit code $2" ;;
  esac
}
