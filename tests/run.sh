#!/usr/bin/env bash
# The one test command. Needs Rust; for the tests against a real Slurm also root and Debian (or Slurm installed by hand).
#
#   tests/run.sh quick [FILTER]   format, clippy, unit, integration and doc tests, this system's Slurm
#   tests/run.sh [full] [FILTER]  and every feature by itself, the core without the rest, a newer Slurm, the demo,
#                                 licences, packages, rustdoc, fuzzing
#   tests/run.sh chaos [FILTER]   and the same again for longer
#   tests/run.sh azure [FILTER]   the Azure backend alone: its tests, its emulator's, and those of other crates that are named
#                                 so. With SLURMBURST_TEST_AZ=1 the Azure CLI (731 MB) drives the emulator too
#
# With a FILTER only tests run whose name contains it. Stops at the first stage that fails; each stage says what time it
# may take (on two cores, with dependencies built) and what it took. The last lines are the test runner's, then the total.
set -euo pipefail
cd "$(dirname "$0")/.."

mode=full filter=
case ${1-} in
  quick | full | chaos | azure) mode=$1; shift ;;
  -*) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0"; [ "$1" = --help ] && exit || exit 2 ;;
esac
filter=${1-}

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$HOME/.cache/slurmburst-target}"
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}
PATH=$PATH:$HOME/.cargo/bin:/usr/sbin:/sbin
# Every crate of the workspace with every feature: one build for all tests, and for clippy one check.
readonly ALL=(--workspace --all-features)
logs=$CARGO_TARGET_DIR/run-logs
mkdir -p "$logs"
rm -f "$logs"/*.log

# --- stages --------------------------------------------------------------------------------------------------------

report=() closing=() passed=0 failed=0 begun=$SECONDS

say() { printf '%s\n' "$*"; }
complain() { printf '    %s\n' "$*"; return 1; }

# stage NAME BUDGET COMMAND...: runs it, with what it says on the screen and in a file.
stage() {
  local name=$1 budget=$2 status=0 from=$SECONDS took line
  shift 2
  printf '\n=== %s (budget %s s)\n' "$name" "$budget"
  # In a subshell that stops at its first error: `set -e` would be off in one that a condition looks at.
  set +e
  (set -e; "$@") 2>&1 | tee "$logs/$name.log"
  status=${PIPESTATUS[0]}
  set -e
  took=$((SECONDS - from))
  line=$(printf '%-24s %5s s of %5s s' "$name" "$took" "$budget")
  [ "$took" -le "$budget" ] || line+='  over its budget'
  count_tests "$logs/$name.log"
  if [ "$status" -ne 0 ]; then
    report+=("$line  FAILED")
    summary
    say "stage \"$name\" failed (status $status); all it said is in $logs/$name.log"
    # Nothing after the total.
    total
    exit 1
  fi
  report+=("$line")
  say "--- $line"
}

# Adds up what nextest and cargo test said in the end, and keeps it for the last lines.
count_tests() {
  local line
  while IFS= read -r line; do
    closing+=("$line")
    [[ $line =~ ([0-9]+)\ passed ]] && passed=$((passed + BASH_REMATCH[1]))
    # nextest: "3 failed", "2 timed out"; cargo test: "; 3 failed".
    [[ $line =~ ([0-9]+)\ failed ]] && failed=$((failed + BASH_REMATCH[1]))
    [[ $line =~ ([0-9]+)\ timed\ out ]] && failed=$((failed + BASH_REMATCH[1]))
  done < <(sed 's/\x1b\[[0-9;]*m//g' "$1" | grep -E '^ +Summary \[|^test result: .* [1-9][0-9]* (passed|failed)')
  return 0
}

summary() {
  printf '\n=== %s: %s s\n' "$mode" "$((SECONDS - begun))"
  printf '%s\n' "${report[@]}"
  printf '\n'
  [ ${#closing[@]} -eq 0 ] || printf '%s\n' "${closing[@]}"
}

total() { say "$passed passed, $failed failed"; }

# --- tests ---------------------------------------------------------------------------------------------------------

have_nextest() { cargo nextest --version >/dev/null 2>&1; }

install_runner() {
  have_nextest || cargo install cargo-nextest --locked ||
    say "cargo-nextest could not be installed; cargo test takes its place"
}

# nextest EXPRESSION: runs the tests of the workspace that it selects.
nextest() {
  local expression=$1 none=fail
  shift
  # A filter may leave a stage nothing to do.
  [ -z "$filter" ] || { expression="($expression) and test(~$filter)"; none=pass; }
  [ "$mode" != azure ] || { expression="($expression) and ($AZURE)"; none=pass; }
  cargo nextest run "${ALL[@]}" --profile run --no-tests "$none" -E "$expression" "$@"
}

readonly REAL='package(slurmburst-tests)'
readonly AZURE='package(slurmburst-azure) or package(slurmburst-azure-emulator) or test(~azure) or binary(~azure)'
# They mostly sleep: more of them than there are cores.
readonly SIDE_BY_SIDE=(--test-threads 6)

build_tests() {
  if have_nextest; then
    cargo nextest run "${ALL[@]}" --no-run
  else
    cargo test "${ALL[@]}" --all-targets --no-run
  fi
}

# Without nextest there are no groups and no time limits: all at once, a few at a time.
plain_tests() {
  local what=("${ALL[@]}")
  [ "$mode" != azure ] || what=(-p slurmburst-azure -p slurmburst-azure-emulator --all-features)
  cargo test "${what[@]}" --all-targets -- --test-threads 4 "$@" ${filter:+"$filter"}
}

# Runs a command as on a machine that never had Slurm: what needs it says that it skips. Its programs are deleted from a
# view of /usr that this command alone has.
without_slurm() {
  unset SLURMBURST_REQUIRE_SLURM SLURMBURST_BIN_DIR SLURMBURST_FAKE_BIN_DIR
  export SLURMBURST_SLURM_NEW=/nonexistent
  if [ "$(id -u)" -ne 0 ]; then
    "$@" # nobody but root gets a Slurm anyway
    return
  fi
  # shellcheck disable=SC2016 # for the inner shell
  unshare --mount --propagation private bash -euc '
    mount -t tmpfs view /mnt
    mkdir /mnt/upper /mnt/work
    mount -t overlay -o lowerdir=/usr,upperdir=/mnt/upper,workdir=/mnt/work view /usr
    rm -f /usr/*bin/{slurm,scontrol,sinfo,squeue,srun,sbatch,munged}*
    exec "$@"' bash "$@"
}

tests_without_slurm() {
  without_slurm cargo nextest run "${ALL[@]}" --status-level fail --no-tests pass \
    -E "($REAL or package(slurmburst-local) or package(slurmburst-programs))${filter:+ and test(~$filter)}"
}

# Microsoft's own client, kept apart from the other tests: it is large, and it is shown what it said.
azure_cli() {
  eval "$(tests/setup.sh az)"
  cargo test "${ALL[@]}" --test az -- --nocapture
}

the_demo() {
  examples/demo.sh
}

doc_tests() { cargo test "${ALL[@]}" --doc ${filter:+-- "$filter"}; }

# --- what a build contains -----------------------------------------------------------------------------------------

features_of() { # PACKAGE: the features that its Cargo.toml names
  awk '/^\[/ { on = $0 == "[features]" } on && /^[a-z-]+ = / && $1 != "default" { print $1 }' "$1/Cargo.toml"
}

# Each feature alone, none, and all; without warnings, which tell of code that a combination never uses.
every_feature() {
  local folder package features
  for folder in slurmburst-core . backends/azure examples; do
    package=$(sed -n '/^\[package\]/,$s/^name = "\(.*\)"/\1/p' "$folder/Cargo.toml" | head -n 1)
    for features in '' $(features_of "$folder"); do
      say "$package with ${features:-nothing}"
      cargo clippy -q -p "$package" --no-default-features --features "$features" -- -D warnings
    done
  done
}

# Every set of the core's features. There are 2^n of them.
every_combination() {
  local features=() set mask i
  mapfile -t features < <(features_of slurmburst-core)
  for ((mask = 0; mask < 1 << ${#features[@]}; mask++)); do
    set=
    for ((i = 0; i < ${#features[@]}; i++)); do
      ((mask >> i & 1)) && set+="${features[i]},"
    done
    say "slurmburst-core with ${set:-nothing}"
    cargo check -q -p slurmburst-core --no-default-features --features "$set"
  done
}

dependencies_of() { cargo tree -e normal,build --prefix none -f '{p}' "$@" | sed 's/ (.*//' | sort -u; }

dependencies() {
  local found package
  found=$(dependencies_of -p slurmburst-core --no-default-features)
  [ "$(wc -l <<<"$found")" -eq 1 ] || complain "the core without features has dependencies: $found"
  say "the core without features is itself alone"
  for package in slurmburst-core slurmburst-local slurmburst slurmburst-programs; do
    found=$(dependencies_of -p "$package" | grep -E \
      '^(reqwest|hyper|ureq|curl|isahc|surf|h2|http|tonic|rustls|ring|aws-lc|openssl|native-tls|schannel|security-framework|aws|azure|google|gcp|gcloud|oci)([-_ ]|$)') || true
    [ -z "$found" ] || complain "$package speaks HTTP or TLS, or has a cloud's SDK: $found"
  done
  say "with default features nothing has HTTP, TLS or a cloud's SDK"
  found=$(grep -rniwE 'azure|ec2|gcp|oci' slurmburst-core) || true
  [ -z "$found" ] || complain "the core names a cloud: $found"
  say "the core names no cloud"
  found=$(grep -c 'kind = "fake"\|FakeCloud' "$SLURMBURST_BIN_DIR/slurmburst-resume") || true
  [ "$found" -eq 0 ] || complain "a program for sites has the simulated cloud in it"
  say "the programs for sites have no simulated cloud"
}

# The core as somebody has it who deleted backends/: in a copy whose workspace is the core alone.
core_alone() {
  # Always the same folder, and files as old as they are: what was built of it is not built again.
  local copy=$CARGO_TARGET_DIR/core-alone
  rm -rf "$copy"
  mkdir "$copy"
  cp -rp slurmburst-core examples docs Cargo.lock clippy.toml "$copy/"
  # Without the facade, and without the packages that are not there.
  sed -e '/^\[package\]/,/^\[profile/{/^\[profile/!d}' -e 's/^members = .*/members = ["slurmburst-core"]/' \
    -e '/^default-members/d' -e '/path = "backends/d' -e '/path = "\."/d' Cargo.toml >"$copy/Cargo.toml"
  cd "$copy"
  if have_nextest; then
    cargo nextest run --offline -p slurmburst-core --all-features --status-level fail
  else
    cargo test --offline -p slurmburst-core --all-features --tests
  fi
}

# What deny.toml says, as far as that goes without cargo-deny.
licences() {
  if cargo deny --version >/dev/null 2>&1; then
    cargo deny --offline check bans licenses sources
    return
  fi
  local allowed bad
  allowed=$(sed -n '/^allow = \[/,/^\]/s/^ *"\([^"]*\)".*/\1/p' deny.toml | paste -sd'|')
  [ -n "$allowed" ] || complain "deny.toml allows no licence"
  # "MIT OR Apache-2.0": one of them will do. "A AND B": each has to. Both is more than any crate here has said so far.
  bad=$(cargo tree "${ALL[@]}" -e normal,build,dev --prefix none -f '{p}	{l}' | sed 's/ (\*)$//' | sort -u |
    awk -F'\t' -v allowed="^($allowed)\$" '
      { gsub(/[()]/, "", $2); gsub(/ WITH [A-Za-z-]*-exception/, "", $2); ok = 1; n = split($2, all, / AND /)
        for (i = 1; i <= n; i++) { one = 0; m = split(all[i], any, / OR | *\/ */); for (j = 1; j <= m; j++) if (any[j] ~ allowed) one = 1; if (!one) ok = 0 }
        if (!ok) print $1 ": " ($2 == "" ? "no licence" : $2) }')
  [ -z "$bad" ] || complain "licences that deny.toml does not allow: $bad"
  say "every licence is allowed"
  bad=$(sed -n 's/^source = "\(.*\)"/\1/p' Cargo.lock | sort -u)
  [[ $bad == registry+* && $bad != *$'\n'* ]] || complain "more sources than the one registry: $bad"
  say "everything comes from one registry"
  bad=$(grep -xE 'name = "(openssl-sys|native-tls)"' Cargo.lock) || true
  [ -z "$bad" ] || complain "banned: $bad"
  say "nothing banned is in Cargo.lock"
}

packages() {
  cargo package --workspace --exclude slurmburst-tests --exclude slurmburst-azure-emulator --no-verify --allow-dirty
}

documentation() { RUSTDOCFLAGS='-D warnings' cargo doc "${ALL[@]}" --no-deps; }

# --- random input --------------------------------------------------------------------------------------------------

can_fuzz() { cargo +nightly fuzz --version >/dev/null 2>&1; }

# SECONDS for each target. What it finds on the way stays out of the tree.
fuzz() {
  local target scratch
  for target in fuzz/fuzz_targets/*.rs; do
    target=$(basename "$target" .rs)
    scratch=$CARGO_TARGET_DIR/fuzz-corpus/$target
    mkdir -p "$scratch"
    say "$target for $1 s"
    CARGO_TARGET_DIR=$CARGO_TARGET_DIR/fuzz cargo +nightly fuzz run "$target" "$scratch" "fuzz/corpus/$target" -- \
      -max_total_time="$1" -print_final_stats=1
  done
}

# The same properties without a fuzzer.
properties() {
  local cases=$1
  if have_nextest; then
    PROPTEST_CASES=$cases cargo nextest run "${ALL[@]}" --profile long --no-tests fail -E "test(/propert/) or binary(/propert/) or binary(hostlist_hostile)"
  else
    PROPTEST_CASES=$cases cargo test "${ALL[@]}" --test hostlist_properties --test hostlist_hostile
  fi
}

# --- what is run ---------------------------------------------------------------------------------------------------

full() { [ "$mode" = full ] || [ "$mode" = chaos ]; }
whole() { [ -z "$filter" ] && [ "$mode" != azure ]; }

say "tests/run.sh $mode${filter:+, tests named *$filter*}"
# From here on a Slurm that is missing is a failure.
export SLURMBURST_REQUIRE_SLURM=1

whole && stage format 20 cargo fmt --all --check
stage slurm 120 tests/setup.sh slurm
full && stage slurm-newer 240 tests/setup.sh newer
stage python 180 tests/setup.sh python
eval "$(grep '^export SLURMBURST_' "$logs/python.log")"
stage runner 600 install_runner
whole && stage clippy 300 cargo clippy "${ALL[@]}" --all-targets -- -D warnings
stage build 600 build_tests
stage programs 240 tests/build-programs.sh
eval "$(grep '^export SLURMBURST_' "$logs/programs.log")"
if have_nextest; then
  stage tests 480 nextest "not $REAL"
  if full; then
    stage real-slurm 900 nextest "$REAL" "${SIDE_BY_SIDE[@]}"
  else
    stage real-slurm 400 nextest "$REAL and not test(newer)" "${SIDE_BY_SIDE[@]}"
  fi
elif full; then
  stage tests 1500 plain_tests
else
  stage tests 900 plain_tests --skip newer
fi
if [ "$mode" != azure ]; then
  stage doc-tests 120 doc_tests
elif [ "${SLURMBURST_TEST_AZ-}" = 1 ]; then
  stage azure-cli 900 azure_cli
fi

if full && whole; then
  ! have_nextest || stage without-slurm 120 tests_without_slurm
  stage features 240 every_feature
  stage dependencies 20 dependencies
  stage core-alone 300 core_alone
  stage licences 60 licences
  stage packages 60 packages
  stage rustdoc 120 documentation
  if can_fuzz; then
    stage fuzz 400 fuzz 60
  else
    stage properties 240 properties 5000
  fi
  stage demo 420 the_demo
fi

if [ "$mode" = chaos ]; then
  for round in 2 3; do
    stage "real-slurm-$round" 900 nextest "$REAL" "${SIDE_BY_SIDE[@]}"
  done
  if whole; then
    ! can_fuzz || stage fuzz-long 2000 fuzz 600
    stage properties-long 3600 properties 100000
    stage feature-powerset 1200 every_combination
  fi
fi

summary
total
