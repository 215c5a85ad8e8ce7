#!/usr/bin/env bash
# Watch a real Slurm grow and shrink, on this machine alone.
#
#   examples/demo.sh             about half a minute after the build; leaves nothing behind
#   examples/demo.sh --keep      the same, and the cluster stays up to be played with
#   examples/demo.sh --stop DIR  ends a cluster that was kept
#
# Starts munged and slurmctld on 127.0.0.1, in a folder of their own under /tmp, with three CLOUD nodes that slurmburst
# powers up and down: each is a slurmd on this machine (kind = "local"). Two jobs run on them. A Slurm that is installed
# and running here is not touched. Needs Rust, a C compiler, and Slurm, which is installed where that is possible.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C.UTF-8 PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
unset "${!SLURM_@}" "${!SBATCH_@}" "${!SLURMBURST_@}" 2>/dev/null || true

readonly NODES=(c1 c2 c3)
readonly LIMIT=58          # seconds after the build in which everything has to have happened

# --- what it looks like --------------------------------------------------------------------------------------------

if [ -t 1 ] && [ "${TERM:-dumb}" != dumb ] && [ -z "${NO_COLOR:-}" ]; then
  bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' yellow=$'\e[33m' blue=$'\e[34m' cyan=$'\e[36m' plain=$'\e[0m'
else
  bold='' dim='' red='' green='' yellow='' blue='' cyan='' plain=''
fi

now_ms() { printf '%s' "$((${EPOCHREALTIME/./} / 1000))"; }
seconds() { printf '%d.%d s' "$(($1 / 1000))" "$(($1 % 1000 / 100))"; }
heading() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

# A line of what happens: who, in which colour, what, and a remark.
news() {
  printf '%9s  %s%-10s%s %s' "$(seconds "$(($(now_ms) - zero))")" "$2" "$1" "$plain" "$3"
  [ -z "${4-}" ] || printf '  %s%s%s' "$dim" "$4" "$plain"
  printf '\n'
}

fail() {
  printf '\n%sThe demo failed: %s%s\n' "$red" "$*" "$plain" >&2
  local log
  for log in "${dir:-/nonexistent}"/log/* "${dir:-/nonexistent}"/work/*.err; do
    [ -s "$log" ] || continue
    printf '\n%s--- the end of %s%s\n' "$bold" "$log" "$plain" >&2
    tail -n 15 "$log" >&2
  done
  exit 1
}

# --- what it needs -------------------------------------------------------------------------------------------------

need_slurm() {
  local program missing=''
  for program in slurmctld slurmd scontrol srun sbatch munged; do
    command -v "$program" >/dev/null || missing+=" $program"
  done
  [ -n "$missing" ] || return 0
  local by_hand='apt-get install -y --no-install-recommends slurmctld slurmd slurm-client munge'
  heading "Installing Slurm (missing:$missing)"
  if ! command -v apt-get >/dev/null; then
    fail "there is no apt-get here. Install Slurm (slurmctld, slurmd, its commands) and munge as this system does, and come back"
  elif [ "$(id -u)" -eq 0 ]; then
    tests/setup.sh slurm || fail "Slurm could not be installed. Try by hand: $by_hand"
  elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
    sudo tests/setup.sh slurm || fail "Slurm could not be installed. Try by hand: sudo $by_hand"
  else
    fail "Slurm is not installed, and only root can do that. As root: $by_hand"
  fi
}

build() {
  # Under sudo, cargo is where its user has it.
  command -v cargo >/dev/null || PATH="$PATH:$HOME/.cargo/bin:$(getent passwd "${SUDO_USER:-root}" | cut -d: -f6)/.cargo/bin"
  command -v cargo >/dev/null || fail "there is no cargo. Install Rust: https://rustup.rs"
  export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$HOME/.cache/slurmburst-target}"
  heading "Building the programs ${plain}${dim}(a few minutes the first time)"
  cargo build --release -p slurmburst-programs ||
    fail "the programs do not build. If cargo speaks of cc or a linker: a C compiler is missing. As root: apt-get install -y gcc libc6-dev"
}

# --- the cluster ---------------------------------------------------------------------------------------------------

# Four ports in a row that nothing listens on, below those that the kernel hands out.
free_ports() {
  local first port try
  for try in {1..50}; do
    first=$((12000 + RANDOM % 19000))
    for port in {0..3}; do
      ! (: <>"/dev/tcp/127.0.0.1/$((first + port))") 2>/dev/null || continue 2
    done
    printf '%s' "$first"
    return
  done
  fail "no free ports on 127.0.0.1 after $try tries"
}

write_files() {
  local user port
  user=$(id -un) port=$(free_ports)
  release=$(slurmctld -V | sed -n 's/.* \([0-9]*\)\.\([0-9]*\).*/\1\2/p')
  mkdir -m 700 "$dir"/{munge,state,log,run,spool,work,bin}
  cp "$CARGO_TARGET_DIR"/release/slurmburst{,-resume,-suspend,-resume-fail} "$dir/bin/"
  head -c 128 /dev/urandom >"$dir/munge/key"
  chmod 600 "$dir/munge/key"

  cat >"$dir/slurm.conf" <<-END
	ClusterName=demo
	SlurmctldHost=$(hostname -s)(127.0.0.1)
	SlurmctldPort=$port
	SlurmUser=$user
	SlurmdUser=$user
	AuthType=auth/munge
	AuthInfo=socket=$dir/munge/socket
	CredType=cred/munge
	CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
	StateSaveLocation=$dir/state
	SlurmctldPidFile=$dir/run/slurmctld.pid
	SlurmctldLogFile=$dir/log/slurmctld.log
	SlurmdSpoolDir=$dir/spool/%n
	SlurmdPidFile=$dir/run/slurmd.%n.pid
	SlurmdLogFile=$dir/log/slurmd.%n.log
	DebugFlags=Power
	ProctrackType=proctrack/linuxproc
	TaskPlugin=task/none
	MpiDefault=none
	JobAcctGatherType=jobacct_gather/none
	AccountingStorageType=accounting_storage/none
	SelectType=select/cons_tres
	SchedulerParameters=batch_sched_delay=0,sched_interval=5,bf_interval=5
	SlurmdParameters=config_overrides
	DefMemPerCPU=100
	ReturnToService=2
	PrivateData=cloud
	SlurmctldParameters=idle_on_node_suspend,power_save_interval=1,power_save_min_interval=0$([ "$release" -ge 2311 ] || echo ,cloud_reg_addrs)

	# Power saving: what slurmburst is for.
	ResumeProgram=$dir/bin/slurmburst-resume
	SuspendProgram=$dir/bin/slurmburst-suspend
	ResumeFailProgram=$dir/bin/slurmburst-resume-fail
	ResumeTimeout=40
	ResumeRate=0
	SuspendTime=4
	SuspendTimeout=4
	SuspendRate=0

	NodeName=c[1-3] NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + 3))] CPUs=2 RealMemory=1000 State=CLOUD
	PartitionName=cloud Nodes=ALL Default=YES MaxTime=INFINITE State=UP
	END

  if [ "$release" -lt 2302 ]; then
    printf 'CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n'
  else
    printf 'CgroupPlugin=disabled\n'
  fi >"$dir/cgroup.conf"

  cat >"$dir/slurmburst.toml" <<-END
	cluster = "demo"
	state_dir = "$dir/state/slurmburst"
	log_file = "$dir/log/power_save.log"

	[slurm]
	conf = "$dir/slurm.conf"
	scontrol = "$(command -v scontrol)"

	[provider.here]
	kind = "local"
	slurmd = "$(command -v slurmd)"
	run_dir = "$dir/run/slurmburst"
	boot_delay = "2s"

	[[nodes]]
	hostlist = "c[1-3]"
	  [[nodes.placement]]
	  provider = "here"
	END

  # What the jobs run: says where it is, and when it began there.
  cat >"$dir/bin/hello" <<-END
	#!/usr/bin/env bash
	echo "\$SLURMD_NODENAME \$((\${EPOCHREALTIME/[.,]/} / 1000))" >>"$dir/work/ran"
	echo "hello from \$SLURMD_NODENAME: job \${SLURM_ARRAY_JOB_ID:-\$SLURM_JOB_ID},\${SLURM_ARRAY_TASK_ID:+ array task \$SLURM_ARRAY_TASK_ID,} process \$SLURM_PROCID"
	sleep 1
	END
  chmod 755 "$dir/bin/hello"
}

start() {
  # In sessions of their own: Ctrl-C ends this script, which then ends them in order.
  setsid munged --force --foreground --key-file="$dir/munge/key" --socket="$dir/munge/socket" --num-threads=2 \
    --pid-file="$dir/munge/pid" --log-file="$dir/log/munged.log" --seed-file="$dir/munge/seed" </dev/null >/dev/null 2>&1 &
  disown
  await 5 "munged did not start" test -S "$dir/munge/socket"
  SLURM_CONF= setsid slurmctld -D -f "$dir/slurm.conf" </dev/null >/dev/null 2>"$dir/work/slurmctld.err" &
  disown
  await 15 "slurmctld did not start" controller_is_up
}

controller_is_up() { timeout 3 scontrol ping 2>/dev/null | grep -q 'is UP'; }

# await SECONDS COMPLAINT TEST...
await() {
  local until=$((SECONDS + $1)) complaint=$2
  shift 2
  until "$@"; do
    [ "$SECONDS" -lt "$until" ] || fail "$complaint"
    sleep 0.1
  done
}

# The processes of the cluster in a folder, by pid: daemons of Slurm and programs of ours that were given it or have a
# file of it open. Whatever else looks into the folder, such as an editor, is none of them.
processes_of() {
  local proc name
  for proc in /proc/[0-9]*; do
    { read -r name <"$proc/comm"; } 2>/dev/null || continue
    case $name in munged | slurmctld | slurmscriptd | slurmd | slurmstepd | slurmburst*) ;; *) continue ;; esac
    if grep -qsaF -e "$1/" "$proc/cmdline" || find "$proc/fd" -maxdepth 1 -lname "$1/*" 2>/dev/null | grep -q .; then
      printf '%s\n' "${proc#/proc/}"
    fi
  done
}

# Ends the cluster of a folder, kindly and then not, and removes the folder. munged goes last: the others speak through it.
stop() {
  local signal try pids
  for signal in TERM KILL; do
    for try in {1..30}; do
      mapfile -t pids < <(processes_of "$1" | grep -vxF -e "$(cat "$1/munge/pid" 2>/dev/null)")
      [ ${#pids[@]} -gt 0 ] || break 2
      # TERM once; what something starts while it ends is met by the next look.
      [ "$try" -gt 1 ] && [ "$signal" = TERM ] || kill -s "$signal" "${pids[@]}" 2>/dev/null || true
      sleep 0.1
    done
  done
  mapfile -t pids < <(processes_of "$1")
  [ ${#pids[@]} -eq 0 ] || kill -s KILL "${pids[@]}" 2>/dev/null || true
  rm -rf "$1"
}

clean_up() {
  local status=$?
  trap - EXIT
  trap '' INT TERM HUP
  [ -z "$srun" ] || kill "$srun" 2>/dev/null || true
  stop "$dir" || true
  wait 2>/dev/null || true
  exit "$status"
}

# --- what happens, live --------------------------------------------------------------------------------------------

declare -A state=() registered=() asked=() accepted=() down_asked=() gone=() ran=()

# A word for what Slurm says of a node, and its colour.
word_for() {
  case $1 in
    *DOWN+CLOUD* | DOWN*) word=failed colour=$red ;;
    *POWERING_DOWN*) word='going down' colour=$yellow ;;
    *POWERING_UP*) word=booting colour=$yellow ;;
    MIXED*POWERED_DOWN* | ALLOC*POWERED_DOWN* | *POWER_UP*) word=wanted colour=$cyan ;;
    *POWERED_DOWN*) word=off colour=$dim ;;
    *POWER_DOWN*) word='to go down' colour=$yellow ;;
    *NOT_RESPONDING*) word=silent colour=$red ;;
    IDLE*) word=idle colour=$green ;;
    *) word=busy colour=$green ;;
  esac
}

look_at_nodes() {
  local line node said old word colour
  while read -r line; do
    node=${line#NodeName=} node=${node%% *}
    said=${line#* State=} said=${said%% *}
    word_for "$said"
    old=${state[$node]-}
    [ "$old" != "$word" ] || continue
    state[$node]=$word
    [ -n "$old" ] || continue
    case $word in idle | busy) : "${registered[$node]:=$(now_ms)}" ;; esac
    news "$node" "$blue" "$(printf '%-10s → %s%-10s%s' "$old" "$colour" "$word" "$plain")" "$said"
  done < <(timeout 5 scontrol show node -o 2>/dev/null)
}

# What the programs did since the last look, from their log: a line for each call, then events as JSON.
look_at_log() {
  local line call
  while IFS= read -r line <&"$log_fd"; do
    case $line in
      *' invoked '*)
        call=${line##* invoked } call=${call#* }
        news slurmctld "$cyan" "calls ${bold}${call##*/}${plain}"
        ;;
      '{'*) event "$line" ;;
    esac
  done
}

field() { [[ $2 =~ \"$1\":\"?([^,\"\}]*) ]] && printf '%s' "${BASH_REMATCH[1]}"; }

event() {
  local node what at
  node=$(field node "$1") && what=$(field what "$1") && at=$(field at_ms "$1") || return 0
  case $what in
    recorded) if [ -z "${asked[$node]-}" ]; then asked[$node]=$at; else down_asked[$node]=$at; fi ;;
    accepted) : "${accepted[$node]:=$at}" ;;
    up) : "${accepted[$node]:=$at}" ;;
    down) gone[$node]=$at ;;
    *failed* | *refused*) news "$node" "$red" "$what" "$(field detail "$1")" ;;
  esac
}

look() { look_at_log; look_at_nodes; }

# follow WHAT TEST...: shows what happens until the test succeeds.
follow() {
  local what=$1
  shift
  until look; "$@"; do
    [ $(($(now_ms) - zero)) -lt $((LIMIT * 1000)) ] || fail "$what did not happen within $LIMIT s"
    kill -0 "$(cat "$dir/run/slurmctld.pid")" 2>/dev/null || fail "slurmctld is gone"
    sleep 0.15
  done
}

all_are() {
  local node
  for node in "${NODES[@]}"; do
    [ "${state[$node]-}" = "$1" ] || return 1
  done
}
all_registered() { [ ${#registered[@]} -eq ${#NODES[@]} ]; }
all_off() { all_are off && [ ${#gone[@]} -eq ${#NODES[@]} ]; }
srun_is_done() { ! kill -0 "$srun" 2>/dev/null; }
array_is_done() { [ -z "$(squeue -h -j "$array" 2>/dev/null)" ] && [ "$(cat "$dir"/work/array-*.out 2>/dev/null | wc -l)" -eq 6 ]; }

# --- the show ------------------------------------------------------------------------------------------------------

run_jobs() {
  news you "$bold" "srun -N3 hello" "a job for three nodes that do not exist"
  srun -N3 -D "$dir/work" "$dir/bin/hello" >"$dir/work/srun.out" 2>"$dir/work/srun.err" &
  srun=$!
  if [ "$release" -ge 2302 ]; then
    follow "the boot of all nodes" all_registered
    news slurmctld "$cyan" "waits" "from 23.02 on it looks only every 30 s whether a job's nodes are ready"
  fi
  follow "srun" srun_is_done
  wait "$srun" || fail "srun ended with status $?"
  srun=
  [ "$(sort -u "$dir/work/srun.out" | grep -c '^hello')" -eq 3 ] || fail "srun did not run on three nodes"
  news srun "$bold" "has run on all three nodes"

  array=$(sbatch --parsable --array=1-6 -D "$dir/work" -o "$dir/work/array-%a.out" --wrap "$dir/bin/hello") ||
    fail "sbatch ended with status $?"
  news you "$bold" "sbatch --array=1-6 hello" "job $array"
  follow "the job array" array_is_done
  news array "$bold" "all six tasks have run"
  news you "$bold" "wait" "idle nodes go after SuspendTime=4 s"
  follow "the power-down of all nodes" all_off
}

# When a thing happened to a node, as seconds since the start; `-` where it never did.
cell() { if [ -n "${1-}" ]; then seconds "$(($1 - zero))"; else printf -- '-'; fi; }

print_timeline() {
  local node at missing=0
  while read -r node at; do
    [ "${ran[$node]-$at}" -lt "$at" ] || ran[$node]=$at
  done <"$dir/work/ran"
  heading "Timeline ${plain}${dim}(seconds since the start)"
  printf "%s  %-6s %10s %10s %11s %10s %12s %10s%s\n" "$bold" node asked accepted registered ran 'asked down' gone "$plain"
  for node in "${NODES[@]}"; do
    printf '  %-6s %10s %10s %11s %10s %12s %10s\n' "$node" "$(cell "${asked[$node]-}")" "$(cell "${accepted[$node]-}")" \
      "$(cell "${registered[$node]-}")" "$(cell "${ran[$node]-}")" "$(cell "${down_asked[$node]-}")" "$(cell "${gone[$node]-}")"
    for at in "${asked[$node]-}" "${accepted[$node]-}" "${registered[$node]-}" "${ran[$node]-}" "${down_asked[$node]-}" "${gone[$node]-}"; do
      [ -n "$at" ] || missing=1
    done
  done
  printf '%s' "$dim"
  printf '  %s\n' 'asked: slurmctld called us. accepted: the cloud took it. registered: Slurm may use it. ran: a job began.'
  printf '%s' "$plain"
  [ "$missing" -eq 0 ] || fail "something in this table never happened"
}

print_output() {
  heading "What the jobs printed"
  sort "$dir/work/srun.out" | sed 's/^/  /'
  cat "$dir"/work/array-*.out | sort -t, -k2 | sed 's/^/  /'
}

check_nothing_runs() {
  local pid
  for pid in $(processes_of "$dir"); do
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != slurmd ] || fail "a slurmd still runs: pid $pid"
  done
}

explain_keep() {
  heading "The cluster stays up"
  cat <<-END
	  Use it:
	      export SLURM_CONF=$dir/slurm.conf PATH=\$PATH:$dir/bin
	      sinfo                        # ~ is off, # boots, % goes down
	      srun -N2 hello               # two nodes come, and go 4 s after the job
	      slurmburst status
	      tail -f $dir/log/power_save.log
	  Stop it:
	      $PWD/examples/demo.sh --stop $dir
	END
}

keep= srun= release=
case ${1-} in
  '') ;;
  --keep) keep=1 ;;
  --stop)
    [ -n "${2-}" ] && dir=$(realpath -e "$2") && [ -f "$dir/.slurmburst-demo" ] || fail "${2:-(no folder)} is not the folder of a demo"
    stop "$dir"
    echo "The cluster in $dir is gone."
    exit ;;
  *)
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0"
    [ "$1" = --help ] || [ "$1" = -h ] && exit
    exit 2 ;;
esac

need_slurm
build
# Short, and in /tmp: sockets in it have a path of at most 107 bytes.
dir=$(mktemp -d /tmp/slurmburst-demo.XXXX)
touch "$dir/.slurmburst-demo"
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

heading "Starting $(slurmctld -V) on 127.0.0.1 with the nodes c1, c2, c3 ${plain}${dim}(in $dir)"
zero=$(now_ms)
write_files
export SLURM_CONF=$dir/slurm.conf
start
touch "$dir/log/power_save.log"
exec {log_fd}<"$dir/log/power_save.log"
look
all_are off || fail "the nodes are not off at the beginning: ${state[*]}"
heading "What happens"
news slurmctld "$cyan" "is up, all nodes are off"
run_jobs
took=$(($(now_ms) - zero))
print_output
print_timeline
check_nothing_runs
printf '\n%sThree nodes came, seven jobs ran, three nodes went, in %s.%s\n' "$green$bold" "$(seconds "$took")" "$plain"
if [ -n "$keep" ]; then
  trap - EXIT
  explain_keep
fi
