#!/usr/bin/env bash
# Builds the programs twice, as a site has them by default and with every backend and the simulated cloud, each into a
# folder of its own, and prints where they are, for `eval "$(tests/build-programs.sh)"`. What cargo says goes to standard
# error. Arguments are cargo's, such as --release.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
profile=debug
for arg in "$@"; do
  [ "$arg" != --release ] || profile=release
done

# Copied, since the folder that cargo builds into holds what was built last.
build() {
  local to=$1
  shift
  cargo build "$@" >&2
  mkdir -p "$to"
  for program in slurmburst slurmburst-resume slurmburst-suspend slurmburst-resume-fail; do
    cp -f "$target/$profile/$program" "$to/$program.new"
    mv -f "$to/$program.new" "$to/$program"
  done
}

# With the tests, which are built with every feature too: what they share is built once.
build "$target/slurmburst-fake" --workspace --all-features --all-targets "$@"
build "$target/slurmburst-site" -p slurmburst-programs "$@"
printf 'export SLURMBURST_BIN_DIR=%q\n' "$target/slurmburst-site"
printf 'export SLURMBURST_FAKE_BIN_DIR=%q\n' "$target/slurmburst-fake"
