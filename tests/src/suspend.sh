#!/bin/sh
# The SuspendProgram for what resume.sh started.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec </dev/null >>"${SLURM_CONF%/*}/log/power_save.log" 2>&1
echo "$(date +%T) suspend $* as $(id -un)"
for node in $(scontrol show hostnames "$1"); do
  kill "$(cat "${SLURM_CONF%/*}/run/slurmd.$node.pid")"
done
