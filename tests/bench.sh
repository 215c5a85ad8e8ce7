#!/usr/bin/env bash
# Measures, and writes the table into docs/PERFORMANCE.md.
#
#   tests/bench.sh start   what one call of slurmburst-resume costs, beside `scontrol ping` in the same run;
#                          as root, with Slurm installed (tests/setup.sh slurm)
#   tests/bench.sh hostlist  hostlists beside Slurm's own (each release here), ClusterShell, python-hostlist and four Rust crates;
#                          needs cc and python3, and Slurm for its rows
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

# A Slurm's own hostlists: libslurm DRIVER TEXTS LIBRARY [TREE].
libslurm() {
  local driver=$1 texts=$2 library=$3 tree=${4-} release
  local here=$texts
  if [ -n "$tree" ]; then
    here=/tmp/slurmburst-bench.$$
    mkdir "$tree$here"
    cp "$driver" "$texts"/* "$tree$here/"
    release=$(SLURM_CONF=$here/slurm.conf chroot "$tree" scontrol --version)
    chroot "$tree" env TEXTS="$here" SLURM_CONF="$here/slurm.conf" "$here/${driver##*/}" "$library" "libslurm ${release##* }"
    rm -r "$tree$here"
  else
    release=$(SLURM_CONF=$texts/slurm.conf scontrol --version)
    TEXTS=$texts SLURM_CONF=$texts/slurm.conf "$driver" "$library" "libslurm ${release##* }"
  fi
}

hostlist() {
  local work library tree=${SLURMBURST_SLURM_NEW:-$HOME/.cache/slurmburst-slurm/trixie}
  work=$(mktemp -d)
  mkdir "$work/texts"
  printf 'ClusterName=bench\nSlurmctldHost=localhost\n' >"$work/texts/slurm.conf"
  {
    cc -O2 -Wall -o "$work/libslurm" bench/libslurm.c -ldl
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet 'ClusterShell>=1.10' 'python-hostlist>=2.3'
    cargo build --release -p slurmburst-programs
    (cd bench && cargo build --release --locked)
    (cd bench/hostlist-0.3 && cargo build --release --locked)
  } >&2
  export TEXTS=$work/texts
  {
    SLURMBURST=$CARGO_TARGET_DIR/release/slurmburst SLURM_CONF=$TEXTS/slurm.conf "$CARGO_TARGET_DIR/release/slurmburst-bench"
    "$CARGO_TARGET_DIR/release/slurmburst-bench-hostlist-0-3"
    for library in /usr/lib/*/slurm-wlm/libslurmfull.so; do
      [ ! -e "$library" ] || libslurm "$work/libslurm" "$TEXTS" "$library"
    done
    for library in "$tree"/usr/lib/*/slurm-wlm/libslurmfull.so; do
      [ ! -e "$library" ] || libslurm "$work/libslurm" "$TEXTS" "${library#"$tree"}" "$tree"
    done
    "$work/venv/bin/python" bench/peers.py
  } >"$work/times"
  awk -F'\t' -f bench/table.awk "$work/times"
  machine
  cargo test -q -p slurmburst-core --no-default-features --test hostlist_memory -- --nocapture 2>/dev/null |
    sed -n 's/^heap of \(.*\)/\nHeap of \1./p'
  rm -r "$work"
}

mode=start print=
for arg in "$@"; do
  case $arg in
    start | hostlist | azure) mode=$arg ;;
    --print) print=1 ;;
    --help) usage 0 ;;
    *) usage 2 ;;
  esac
done
table=$("$mode")
printf '%s\n' "$table"
[ -n "$print" ] || write_between "$mode" <<<"$table"
