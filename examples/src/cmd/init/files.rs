//! The files of a new site, from the answers. Pure.

use super::answers::Answers;
use crate::failure::{Failure, USAGE};

/// The site file's name.
pub(super) const SITE: &str = "slurmburst.toml";

/// A file to be written.
pub(super) struct File {
    pub(super) name: &'static str,
    pub(super) text: String,
}

/// The units as they are in examples/systemd, where they can be used as they
/// stand; here the paths are replaced.
const SERVICE: &str = include_str!("../../../systemd/slurmburst-reconcile.service");
const TIMER: &str = include_str!("../../../systemd/slurmburst-reconcile.timer");
const DROP_IN: &str = include_str!("../../../systemd/slurmctld.service.d/slurmburst.conf");

pub(super) fn all(a: &Answers) -> Result<Vec<File>, Failure> {
    Ok(vec![
        File {
            name: SITE,
            text: site(a)?,
        },
        File {
            name: "slurm.conf.snippet",
            text: snippet(a),
        },
        File {
            name: "systemd/slurmburst-reconcile.service",
            text: unit(SERVICE, a),
        },
        File {
            name: "systemd/slurmburst-reconcile.timer",
            text: unit(TIMER, a),
        },
        File {
            name: "systemd/slurmctld.service.d/slurmburst.conf",
            text: unit(DROP_IN, a),
        },
    ])
}

fn unit(text: &str, a: &Answers) -> String {
    text.replace(
        "/etc/slurm/slurmburst.toml",
        &a.site_file.display().to_string(),
    )
    .replace("/etc/slurm/slurm.conf", &a.slurm_conf.display().to_string())
    .replace(
        "/usr/sbin/slurmburst",
        &a.bin_dir.join("slurmburst").display().to_string(),
    )
    .replace("User=slurm\n", &format!("User={}\n", a.slurm_user))
}

fn site(a: &Answers) -> Result<String, Failure> {
    let provider = match a.provider.as_str() {
        "local" => {
            "\
# Nodes that are slurmd processes on this machine: for trying things out.
[provider.here]
kind = \"local\"
slurmd = \"/usr/sbin/slurmd\"
run_dir = \"/run/slurmburst\"
# Pretend that a boot takes this long.
#boot_delay = \"0s\"
"
        }
        #[cfg(feature = "fake")]
        "fake" => "[provider.here]\nkind = \"fake\"\n",
        other => {
            let text = format!(
                "--provider {other}: only a `local` site can be begun here; for another kind, begin with it and write [provider.NAME] by that kind's page"
            );
            return Err(Failure::new(USAGE, text));
        }
    };
    let Answers {
        nodes,
        slurm_conf,
        state_dir,
        ..
    } = a;
    let (cluster, cluster_id) = (quoted(&a.cluster), quoted(&a.cluster_id));
    let (nodes, slurm_conf) = (
        quoted(&nodes.to_string()),
        quoted(&slurm_conf.display().to_string()),
    );
    let state_dir = quoted(&state_dir.display().to_string());
    Ok(format!(
        "\
# The site file of slurmburst; docs/site-file.md lists every key. Lines that begin
# with `#` and no space show a key with its default.
# After a change: slurmburst check. A running converger notices by itself.

# The cluster's name in logs.
cluster = {cluster}
# The owner tag of every machine that this cluster makes in a cloud. Never change it
# while nodes are up: they would no longer be ours.
cluster_id = {cluster_id}
# The ledger. A local disk, mode 0700, SlurmUser's.
state_dir = {state_dir}
# The log that administrators read.
#log_file = \"/var/log/slurm/power_save.log\"
# How long the programs wait for outcomes before they return to slurmctld.
#return_after = \"1s\"
# An instance that no node wants is powered down after two passes, this far apart.
#orphan_grace = \"90s\"
# Per node; 0 is no limit.
#max_power_ups_per_hour = 6
# A node of no group: \"refuse\" it, or \"ignore\" it, since another program may own it.
#unknown_nodes = \"refuse\"

# How long a placement that failed, and the node that failed on it, are left alone.
[cool_off]
#capacity = \"5m\"
#failure = \"10m\"

[slurm]
conf = {slurm_conf}
#scontrol = \"/usr/bin/scontrol\"

{provider}
[[nodes]]
hostlist = {nodes}
# Made on resume, deleted on suspend. The other one is \"start-deallocate\".
#lifecycle = \"create-delete\"

  # Where they may run, in order of preference; there may be several.
  [[nodes.placement]]
  provider = \"here\"
"
    ))
}

/// A TOML string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn snippet(a: &Answers) -> String {
    let local = a.provider == "local";
    let bin = a.bin_dir.display();
    let nodes = &a.nodes;
    let (resume, suspend) = if local { (60, 30) } else { (600, 300) };
    let communication = if local {
        "\
# Not needed with nodes on this machine; with a cloud's, whose addresses change:
#CommunicationParameters=NoAddrCache
"
    } else {
        "\
# A node comes back with another address: look it up each time. If there is such a
# line already, add the word to it.
CommunicationParameters=NoAddrCache
"
    };
    let node_lines = if local {
        local_nodes(a)
    } else {
        cloud_nodes(&nodes.to_string())
    };
    format!(
        "\
# Lines for {conf}. Each of these keys may be there once:
# where one is there already, change it there. Then `scontrol reconfigure`; after a
# change of NodeName lines, restart slurmctld where its version asks for that.

# The programs. Absolute, nobody but their owner may write to them, no arguments:
# otherwise Slurm turns power saving off, and says so in its log only.
ResumeProgram={bin}/slurmburst-resume
SuspendProgram={bin}/slurmburst-suspend
# Called for nodes that did not come up in time. SuspendProgram is not: without this,
# what was started for them keeps running until the next reconcile.
ResumeFailProgram={bin}/slurmburst-resume-fail

# How long a node may take from ResumeProgram to its slurmd's registration, in
# seconds: more than a boot ever takes. slurmburst gives up a little earlier, so that
# Slurm hears why.
ResumeTimeout={resume}
# How long a node may take to go down before Slurm may want it up again.
SuspendTimeout={suspend}
# Idle for so long, and a node is powered down. This is for all nodes of slurm.conf:
# name those that are always up in SuspendExcNodes or SuspendExcParts.
SuspendTime=600
#SuspendExcNodes=

# Show nodes that are powered down. Without it, Slurm 22.05 hides them from everybody,
# root too, and slurmburst can do nothing for them. Newer versions show them anyway.
# If there is a PrivateData line already, add the word to it.
PrivateData=cloud

# 22.05 only: take a node's address from its registration. Newer versions always do,
# and complain of the word.
#SlurmctldParameters=cloud_reg_addrs
# A choice, on all versions: idle_on_node_suspend makes drained and down nodes idle
# when they are powered down. An administrator's DRAIN is lost by that; without it,
# they stay drained~ until `scontrol update state=resume`. slurmburst works with both.

{communication}
# Nodes and a partition. End node names in a number: Slurm passes all nodes of a call
# as one argument, and starts no program at all if that is longer than 131,071 bytes;
# names with text after their number do not fold.
{node_lines}PartitionName=cloud Nodes={nodes} Default=NO MaxTime=INFINITE State=UP
",
        conf = a.slurm_conf.display(),
    )
}

fn cloud_nodes(nodes: &str) -> String {
    format!(
        "\
# CPUs and RealMemory as `slurmd -C` prints them on such a machine, memory a little less.
NodeName={nodes} CPUs=2 RealMemory=3500 State=CLOUD
"
    )
}

/// Several slurmds on one machine: a port each, and no file shared.
fn local_nodes(a: &Answers) -> String {
    const FIRST_PORT: u64 = 17_001;
    let count = a.nodes.len();
    let ports = match count {
        1 => format!("{FIRST_PORT}"),
        n => format!("[{FIRST_PORT}-{}]", FIRST_PORT + n - 1),
    };
    format!(
        "\
# Each node is a slurmd on this machine: with its own port, pid file and spool folder.
SlurmdPidFile=/run/slurmburst/slurmd.%n.pid
SlurmdSpoolDir=/run/slurmburst/spool.%n
SlurmdUser={user}
NodeName={nodes} NodeAddr=127.0.0.1 Port={ports} CPUs=1 RealMemory=500 State=CLOUD
",
        user = a.slurm_user,
        nodes = a.nodes,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_of_anything_is_toml() {
        assert_eq!(quoted("a\"b\\c\n"), "\"a\\\"b\\\\c\\u000A\"");
    }

    #[test]
    fn the_units_have_what_is_replaced() {
        for needle in [
            "/etc/slurm/slurmburst.toml",
            "/etc/slurm/slurm.conf",
            "/usr/sbin/slurmburst ",
            "User=slurm\n",
        ] {
            assert!(SERVICE.contains(needle), "{needle}");
        }
        assert!(
            DROP_IN.contains("\nKillMode=process\n") && TIMER.contains("\nOnCalendar=minutely\n")
        );
    }
}
