#!/usr/bin/env bash
# Installs what the tests run against. Needs root and Debian (or a system with apt and debootstrap).
#
#   setup.sh slurm   the Slurm that this system packages
#   setup.sh newer   Debian 13's Slurm in a tree of its own, beside it: ${SLURMBURST_SLURM_NEW:-~/.cache/slurmburst-slurm/trixie}
#   setup.sh python  Microsoft's Azure SDK for Python, in a venv: ${SLURMBURST_AZURE_VENV:-~/.cache/slurmburst-azure-sdk}
#   setup.sh az      the Azure CLI, 731 MB, likewise: ${SLURMBURST_AZ_VENV:-~/.cache/slurmburst-azure-cli}
#   setup.sh all     all of them but the last
#
# Each may be run again at any time: what is there stays as it is. Nothing is started, here or in the tree.
set -euo pipefail

readonly SUITE=trixie
readonly PACKAGES=(slurmctld slurmd slurm-client munge)
readonly PROGRAMS=(slurmctld slurmd scontrol munged)
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin

say() { printf 'setup.sh: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

need_root() {
  [ "$(id -u)" -eq 0 ] || die "'$1' installs packages: run it as root (sudo $0 $1)"
}

# Installs packages of this system, for a reason that is printed when they are missing.
apt_install() {
  command -v apt-get >/dev/null || die "no apt-get here: install $* by hand, or use a Debian 12 machine"
  say "installing $*"
  # An image without package lists, or with lists that the mirror has left behind, needs an update first.
  apt-get install -yq --no-install-recommends "$@" </dev/null >&2 && return
  apt-get update -q >&2
  apt-get install -yq --no-install-recommends "$@" </dev/null >&2
}

slurm() {
  local program missing=()
  for program in "${PROGRAMS[@]}"; do
    command -v "$program" >/dev/null || missing+=("$program")
  done
  if [ ${#missing[@]} -gt 0 ]; then
    need_root slurm
    # Where there is an init, the packages would start a munged and perhaps daemons of Slurm that no test wants.
    without_services / apt_install "${PACKAGES[@]}"
  fi
  say "packaged: $(slurmctld -V)"
}

# Runs a command while the packages installed under ROOT are kept from starting services.
without_services() {
  local policy=${1%/}/usr/sbin/policy-rc.d status=0
  shift
  if [ -e "$policy" ]; then
    "$@"
    return
  fi
  # Left behind, it would keep this system from ever starting a service again.
  # shellcheck disable=SC2064 # the path as it is now
  trap "rm -f '$policy'" EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  "$@" || status=$?
  rm -f "$policy"
  trap - EXIT
  return "$status"
}

# The address that apt fetches Debian's main archive from, whatever form its sources are written in.
# Nothing where apt does not say; debootstrap has a default of its own.
mirror() {
  local found
  # shellcheck disable=SC2016 # $(...) is apt's here
  found=$(apt-get indextargets --format '$(CREATED_BY) $(COMPONENT) $(REPO_URI)' 2>/dev/null |
    awk '$1 == "Packages" && $2 == "main" && $3 ~ /\/debian\/?$/ { print $3; exit }') || true
  printf '%s\n' "$found"
}

newer() {
  local tree=${SLURMBURST_SLURM_NEW:-$HOME/.cache/slurmburst-slurm/$SUITE}
  if [ -x "$tree/usr/sbin/slurmctld-wlm" ] && [ -x "$tree/usr/bin/scontrol" ]; then
    say "newer: $tree is there already"
    return
  fi
  need_root newer
  slurm # the tree is used with this system's users, of which `slurm` comes with the packages
  command -v debootstrap >/dev/null || apt_install debootstrap
  [ ! -e "$tree" ] || die "$tree exists but has no Slurm in it: remove it first"

  mkdir -p "$(dirname "$tree")"
  # Two at once: the second waits here, then finds the tree.
  exec 9>"$tree.lock"
  flock 9
  if [ -e "$tree" ]; then
    say "newer: $tree was made meanwhile"
    return
  fi
  local tmp=$tree.tmp
  rm -rf "$tmp"
  say "making $tree: Debian $SUITE with ${PACKAGES[*]}, about 180 MB"
  build_tree "$tmp"
  mv "$tmp" "$tree"
  say "newer: $(chroot "$tree" slurmctld -V)"
}

build_tree() {
  local tree=$1 from proxy=
  from=$(mirror)
  # apt's own proxy holds for the mirror; debootstrap only knows the environment's.
  eval "$(apt-config shell proxy Acquire::http::Proxy)"
  if [ -n "$proxy" ] && [ "$proxy" != DIRECT ]; then
    export http_proxy=${http_proxy:-$proxy}
  fi
  debootstrap --variant=minbase "$SUITE" "$tree" ${from:+"$from"} >"$tree.log" 2>&1 ||
    { tail -n 20 "$tree.log" >&2; die "debootstrap failed; its whole output is in $tree.log"; }
  # Nobody reads manuals in there.
  printf 'path-exclude=/usr/share/%s/*\n' doc man locale >"$tree/etc/dpkg/dpkg.cfg.d/slim"
  without_services "$tree" install_in_tree "$tree" >>"$tree.log" 2>&1 ||
    { tail -n 20 "$tree.log" >&2; die "installing Slurm failed; the whole output is in $tree.log"; }
  rm -f "$tree.log"
}

install_in_tree() {
  # A mount namespace of its own, so that /proc in the tree is gone when this ends, however it ends.
  unshare --mount --propagation private sh -euc '
    tree=$1
    shift
    mount -t proc proc "$tree/proc"
    chroot "$tree" apt-get update -q
    chroot "$tree" apt-get install -yq --no-install-recommends "$@"
    chroot "$tree" apt-get clean
    rm -rf "$tree"/var/lib/apt/lists/*
  ' sh "$1" "${PACKAGES[@]}" </dev/null
}

# venv VARIABLE FOLDER PROBE PACKAGE...: a Python with these packages, in which the words of PROBE run well.
venv() {
  local variable=$1 folder=$2 probe=$3
  shift 3
  # shellcheck disable=SC2086 # words
  if ! "$folder/bin/"$probe >/dev/null 2>&1; then
    # Debian's python3 can make no venv without this.
    python3 -c 'import ensurepip' 2>/dev/null || { need_root "a venv"; apt_install python3-venv; }
    say "making $folder"
    python3 -m venv "$folder" >&2
    "$folder/bin/python" -m pip install --quiet "$@" >&2
  fi
  say "$folder: $("$folder/bin/python" -m pip list 2>/dev/null | awk '/^azure-(cli|mgmt-compute) /' | tr -s ' ' | paste -sd,)"
  printf 'export %s=%q\n' "$variable" "$folder"
}

python() {
  venv SLURMBURST_AZURE_VENV "${SLURMBURST_AZURE_VENV:-$HOME/.cache/slurmburst-azure-sdk}" \
    'python -c __import__("azure.mgmt.compute"),__import__("azure.identity")' 'azure-mgmt-compute>=39,<40' 'azure-identity>=1.27,<2'
}

az() { venv SLURMBURST_AZ_VENV "${SLURMBURST_AZ_VENV:-$HOME/.cache/slurmburst-azure-cli}" 'az version' 'azure-cli>=2.91,<3'; }

case ${1-} in
  slurm) slurm ;;
  newer) newer ;;
  python) python ;;
  az) az ;;
  all) slurm; newer; python ;;
  *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac
