# Run as: sh -c THIS keeper DIR TEST_PID [TREE]
#
# Lives as long as a cluster does. It holds the mount namespace in which a newer Slurm stands over the system's
# own, and it ends the cluster's processes when its standard input closes: when the test lets go of it, or when
# the test is gone, however that happened.
dir=$1 test=$2 tree=$3

if [ -n "$tree" ]; then
  # Files before folders: `mount` itself comes from the /usr that the last line covers.
  mount --bind "$tree/etc/ld.so.cache" /etc/ld.so.cache &&
    mount --bind "$tree/etc/alternatives" /etc/alternatives &&
    mount --rbind "$tree/usr" /usr || exit 1
fi
# In a file, because this process and grep must not have it on their command lines.
printf '%s/slurm.conf\n' "$dir" >"$dir/keeper.pattern" || exit 1
echo ready
cat >/dev/null

# Whoever names this cluster's slurm.conf (slurmctld, slurmd, programs, jobs), or has a file of the cluster open
# (slurmscriptd and slurmstepd, whose titles overwrite what they were called with).
ours() {
  {
    grep -lsaF -f "$dir/keeper.pattern" /proc/[0-9]*/cmdline /proc/[0-9]*/environ
    find /proc/[0-9]*/fd -maxdepth 1 -lname "$dir/*" 2>/dev/null
  } | cut -d/ -f3 | sort -u | grep -vx -e "$$" -e "$test"
}
# Again until a look finds nobody: one that was being started is seen by the next look.
round=0
while [ "$round" -lt 100 ] && pids=$(ours); do
  # Unquoted: one argument each.
  kill -KILL $pids 2>/dev/null
  round=$((round + 1))
  sleep 0.02
done
