//! The text of slurm.conf and cgroup.conf.

use std::fmt::Write;

use crate::builder::ClusterBuilder;
use crate::version::Release;

/// `SlurmctldParameters=cloud_reg_addrs` is the default, and an error in the log, from here on.
const REGISTERS_ADDRESSES: Release = Release {
    year: 23,
    month: 11,
    patch: 0,
};
/// `CgroupPlugin=disabled` is known from here on.
const KNOWS_NO_CGROUP: Release = Release {
    year: 23,
    month: 2,
    patch: 0,
};

pub(crate) fn slurm_conf(cluster: &ClusterBuilder, release: Release, first_port: u16) -> String {
    let dir = cluster.dir().display();
    let host = hostname();
    let user = cluster.user.name();
    let node_port = first_port + 1;
    let mut parameters = vec!["power_save_interval=1", "power_save_min_interval=0"];
    if cluster.idle_on_node_suspend {
        parameters.push("idle_on_node_suspend");
    }
    if release < REGISTERS_ADDRESSES {
        parameters.push("cloud_reg_addrs");
    }
    let parameters = parameters.join(",");
    let mut conf = format!(
        "# Slurm {release}, written by slurmburst-tests\n\
         ClusterName=slurmburst\n\
         SlurmctldHost={host}(127.0.0.1)\n\
         SlurmctldPort={first_port}\n\
         SlurmUser={user}\n\
         SlurmdUser={user}\n\
         AuthType=auth/munge\n\
         AuthInfo=socket={dir}/munge/socket\n\
         CredType=cred/munge\n\
         CommunicationParameters=NoCtldInAddrAny,NoInAddrAny\n\
         StateSaveLocation={dir}/state\n\
         SlurmctldPidFile={dir}/run/slurmctld.pid\n\
         SlurmctldLogFile={dir}/log/slurmctld.log\n\
         SlurmdSpoolDir={dir}/spool/%n\n\
         SlurmdPidFile={dir}/run/slurmd.%n.pid\n\
         SlurmdLogFile={dir}/log/slurmd.%n.log\n\
         SlurmctldDebug=debug\n\
         SlurmdDebug=verbose\n\
         DebugFlags=Power\n\
         ProctrackType=proctrack/linuxproc\n\
         TaskPlugin=task/none\n\
         MpiDefault=none\n\
         JobAcctGatherType=jobacct_gather/none\n\
         AccountingStorageType=accounting_storage/none\n\
         SelectType=select/cons_tres\n\
         SchedulerParameters=batch_sched_delay=0,sched_interval=5,bf_interval=5\n\
         SlurmdParameters=config_overrides\n\
         ReturnToService=2\n\
         SlurmdTimeout=30\n\
         SlurmctldParameters={parameters}\n"
    );
    for (key, path) in [
        ("ResumeProgram", &cluster.resume_program),
        ("SuspendProgram", &cluster.suspend_program),
        ("ResumeFailProgram", &cluster.resume_fail_program),
    ] {
        if let Some(path) = path {
            line(&mut conf, key, path.display());
        }
    }
    line(&mut conf, "SuspendTime", cluster.suspend_time);
    line(&mut conf, "ResumeTimeout", cluster.resume_timeout);
    line(&mut conf, "SuspendTimeout", cluster.suspend_timeout);
    if cluster.private_data_cloud {
        line(&mut conf, "PrivateData", "cloud");
    }
    let count = count(&cluster.nodes);
    let ports = match ports_for(count) {
        1 => node_port.to_string(),
        _ => format!("[{node_port}-{}]", node_port + count - 1),
    };
    let _ = writeln!(
        conf,
        "NodeName={} NodeAddr=127.0.0.1 Port={ports} CPUs=2 RealMemory=1000 State=CLOUD {}\n\
         PartitionName=cloud Nodes=ALL Default=YES MaxTime=INFINITE State=UP",
        cluster.nodes, cluster.node_options
    );
    for extra in &cluster.lines {
        conf.push_str(extra);
        conf.push('\n');
    }
    conf
}

fn line(conf: &mut String, key: &str, value: impl std::fmt::Display) {
    let _ = writeln!(conf, "{key}={value}");
}

pub(crate) fn cgroup_conf(release: Release) -> &'static str {
    if release < KNOWS_NO_CGROUP {
        "CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n"
    } else {
        "CgroupPlugin=disabled\n"
    }
}

/// How many ports nodes get. So many nodes that nobody starts them all share one.
pub(crate) fn ports_for(nodes: u16) -> u16 {
    if nodes > 1000 { 1 } else { nodes }
}

/// How many names a hostlist holds, as far as tests use hostlists: `a,b[1-3,07],c[001-100]`.
pub(crate) fn count(hostlist: &str) -> u16 {
    let mut total = 0;
    let mut rest = hostlist;
    while !rest.is_empty() {
        let end = rest.find(['[', ',']).unwrap_or(rest.len());
        if rest[end..].starts_with('[') {
            let close = end
                + rest[end..]
                    .find(']')
                    .unwrap_or_else(|| panic!("{hostlist}: no `]`"));
            total += rest[end + 1..close].split(',').map(range).sum::<u16>();
            rest = &rest[close + 1..];
            assert!(
                rest.is_empty() || rest.starts_with(','),
                "{hostlist}: text after `]`"
            );
        } else {
            total += 1;
            rest = &rest[end..];
        }
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    total
}

fn range(text: &str) -> u16 {
    let number = |text: &str| {
        text.parse::<u16>()
            .unwrap_or_else(|error| panic!("{text:?}: {error}"))
    };
    text.split_once('-')
        .map_or(1, |(from, to)| number(to) - number(from) + 1)
}

/// The name that slurmctld knows this machine by: up to the first dot.
fn hostname() -> String {
    let name = nix::sys::utsname::uname()
        .expect("uname")
        .nodename()
        .to_string_lossy()
        .into_owned();
    name.split('.').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn nodes_are_counted() {
        assert_eq!(count("c[1-3]"), 3);
        assert_eq!(count("a,b[1-3,07],c[001-100],d"), 106);
        assert_eq!(count("c[1-50000]"), 50_000);
    }
}
