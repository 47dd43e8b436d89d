#!/usr/bin/env bash
# On a machine with an NVIDIA GPU: checks every op and whole trainings on the card, trains a synthetic Qwen3-30B-A3B, times
# kernels and compares with torch and PEFT. Writes gpu-DATE.md as it goes, and gpu-DATE.log with all output. What is missing
# on the machine is said first and leaves out only what needs it; a part that fails or takes too long leaves the others.
#
#   benchmarks/gpu/run.sh [--pack PATH] [--only PART,…] [--without PART,…] [--quick] [--seconds N] [--output DIR] [--python PATH]
#
#   --pack     what benchmarks/gpu/pack made, folder or archive; default: it is made now, for the GPUs of this machine
#   --only     these parts alone (doctor comes first in any case); --list shows them
#   --quick    smallest shapes: that every part runs, in a minute; its figures say nothing
#   --seconds  for all parts together, default 480; what no time is left for is left out and named
#   --output   default benchmarks/results
#   --python   a Python with torch for CUDA and, for the peers, transformers and PEFT; default: python3, if it has torch
#   --list     prints the parts in their order, with the seconds they may take and are expected to take, and ends
#
# Exit code: 0 everything that ran is right, 1 something is not, 2 nothing could run.
set -euo pipefail

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
# shellcheck source=tools/setup.sh
. "$root/tools/setup.sh"
# shellcheck source=benchmarks/gpu/parts.sh
. "$root/benchmarks/gpu/parts.sh"

pack="" only="" without="" quick=no seconds=480 output=$root/benchmarks/results python="" list=no
while (($# > 0)); do
  case $1 in
    --quick) quick=yes ;;
    --list) list=yes ;;
    --pack | --only | --without | --seconds | --output | --python)
      (($# > 1)) || fail "$1 has no value" "$(sed -n 's/^#   \(benchmarks.*\)/\1/p' "${BASH_SOURCE[0]}")"
      case $1 in
        --pack) pack=$(cd "$(dirname -- "$2")" && pwd -P)/$(basename -- "$2") ;;
        --only) only=$2 ;;
        --without) without=$2 ;;
        --seconds) seconds=$2 ;;
        --output) mkdir -p "$2" && output=$(cd "$2" && pwd -P) ;;
        --python) python=$2 ;;
      esac
      shift
      ;;
    *) fail "unknown option '$1'" "$(sed -n 's/^#   \(benchmarks.*\)/\1/p' "${BASH_SOURCE[0]}")" ;;
  esac
  shift
done
[[ $seconds =~ ^[1-9][0-9]*$ ]] || fail "--seconds $seconds is no number above 0" "give seconds for all parts together"
cd "$root"
if [[ $list == yes ]]; then
  list_parts
  exit 0
fi
require_parts "$only" "$without"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [[ -z $pack ]]; then
  benchmarks/gpu/pack --architectures local --folder --no-java || exit 2
  pack=$root/build/gpu/pack
elif [[ -f $pack ]]; then
  # Where there is no xz, Python has one.
  tar -C "$work" -xf "$pack" 2>/dev/null || python3 -m tarfile -e "$pack" "$work" ||
    fail "'$pack' cannot be unpacked" "make it with benchmarks/gpu/pack"
  pack=$work/pack
fi
[[ -f $pack/pack.txt ]] || fail "'$pack' is no folder of benchmarks/gpu/pack" "make it with benchmarks/gpu/pack"
started=$SECONDS # building counts not
look_around
run_parts
