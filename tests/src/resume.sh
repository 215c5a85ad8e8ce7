#!/bin/sh
# A ResumeProgram: each node is a slurmd process.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec </dev/null >>"${SLURM_CONF%/*}/log/power_save.log" 2>&1
echo "$(date +%T) resume $* as $(id -un)"
# A node that says it booted before it was wanted is ignored until ResumeTimeout. Slurm compares whole seconds of two
# clocks that do not tick together, so a slurmd that starts within the second is sometimes "too old".
sleep 1
for node in $(scontrol show hostnames "$1"); do
  setsid slurmd -b -f "$SLURM_CONF" -N "$node"
done
