#!/usr/bin/env bash
# Measures, and writes the table into docs/PERFORMANCE.md.
#
#   tests/bench.sh start   what one call of slurmburst-resume costs, beside `scontrol ping` in the same run;
#                          as root, with Slurm installed (tests/setup.sh slurm)
#   tests/bench.sh azure   calls and time of 1, 100 and 1,000 nodes against Azure's rate limits, on the emulator
#
# With --print the table is printed and nothing written.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$HOME/.cache/slurmburst-target}"
PATH=$PATH:$HOME/.cargo/bin:/usr/sbin:/sbin

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0"; exit "$1"; }

# Puts standard input between the markers of a name in docs/PERFORMANCE.md.
write_between() {
  local file=docs/PERFORMANCE.md table
  table=$(mktemp)
  cat >"$table"
  grep -q "^<!-- $1 -->$" "$file" || { echo "bench.sh: $file has no <!-- $1 -->" >&2; exit 1; }
  sed -i -e "/^<!-- $1 -->\$/,/^<!-- \/$1 -->\$/{/^<!-- $1 -->\$/{p;r $table
d};/^<!-- \/$1 -->\$/p;d}" "$file"
  rm -f "$table"
}

machine() {
  local model
  model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
  printf '\nMeasured on %s, %s cores of %s, Linux %s, load %s at the end.\n' "$(date +%F)" "$(nproc)" "${model:-an unknown processor}" \
    "$(uname -r | sed 's/-.*//')" "$(cut -d' ' -f1 /proc/loadavg)"
}

start() {
  tests/setup.sh slurm
  cargo build --release -p slurmburst-programs
  local out
  # --release for the programs alone: what measures them needs none.
  out=$(SLURMBURST_BIN_DIR=$CARGO_TARGET_DIR/release cargo test -p slurmburst-tests --test start_cost -- \
    --ignored --exact start_cost --nocapture) || { printf '%s\n' "$out" >&2; exit 1; }
  # The first line of the table stands behind libtest's own words.
  sed -n 's/^.*\(| [0-9]* calls each\)/\1/;/^|/p' <<<"$out"
  machine
}

azure() {
  local out
  out=$(cargo test -p slurmburst-azure --test arithmetic -- --ignored --exact figures --nocapture) ||
    { printf '%s\n' "$out" >&2; exit 1; }
  # The first line of the table stands behind libtest's own words.
  sed -n 's/^.*\(| | nodes |\)/\1/;/^|/p' <<<"$out"
  printf '\nMeasured on %s, in virtual time: the machine does not matter.\n' "$(date +%F)"
}

mode=start print=
for arg in "$@"; do
  case $arg in
    start | azure) mode=$arg ;;
    --print) print=1 ;;
    --help) usage 0 ;;
    *) usage 2 ;;
  esac
done
table=$("$mode")
printf '%s\n' "$table"
[ -n "$print" ] || write_between "$mode" <<<"$table"
