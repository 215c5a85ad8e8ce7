//! The harness itself: a Slurm starts, its nodes come up for a job and go down again, and nothing is left behind.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::env;
use std::fs;
use std::time::{Duration, Instant};

use slurmburst_tests::{Cluster, NodeInfo, SlurmUser, SlurmVersion, stdout};

const NODES: [&str; 3] = ["c1", "c2", "c3"];

fn cycle(version: SlurmVersion, user: SlurmUser) {
    let Some(release) = version.or_skip() else {
        return;
    };
    let start = Instant::now();
    let at = || start.elapsed().as_secs_f32();

    let cluster = Cluster::builder(version)
        .user(user)
        .suspend_time(5)
        .suspend_timeout(4)
        .resume_timeout(20)
        .plain_programs()
        .start();
    let up = at();
    let off = |node: &NodeInfo| node.is(&["IDLE", "CLOUD", "POWERED_DOWN"]);
    cluster.wait_for_nodes("every node to be off at first", Duration::ZERO, &NODES, off);

    let job = cluster.run("srun", &["-N3", "hostname"]);
    assert!(job.status.success(), "srun: {job:?}");
    assert_eq!(stdout(&job).lines().count(), 3, "{job:?}");
    let ran = at();
    for node in NODES {
        assert_eq!(cluster.slurmd_pids(node).len(), 1, "{node}");
    }
    cluster.wait_for_nodes(
        "every node to be off again",
        Duration::from_secs(30),
        &NODES,
        off,
    );
    let down = at();
    for node in NODES {
        assert_eq!(cluster.slurmd_pids(node), [0; 0], "{node}");
    }
    let log = fs::read_to_string(cluster.log_path("power_save.log")).unwrap();
    let as_user = match user {
        SlurmUser::Root => "resume c[1-3] as root",
        SlurmUser::Slurm => "resume c[1-3] as slurm",
    };
    assert!(log.lines().any(|line| line.ends_with(as_user)), "{log}");

    let dir = cluster.dir().to_owned();
    drop(cluster);
    assert_eq!(dir.exists(), env::var_os("SLURMBURST_TEST_KEEP").is_some());
    println!(
        "{release} {user:?}: up {up:.2} s, job ran {ran:.2} s, nodes off {down:.2} s, ended {:.2} s",
        at()
    );
}

#[test]
fn packaged_root() {
    cycle(SlurmVersion::Packaged, SlurmUser::Root);
}

#[test]
fn packaged_slurm() {
    cycle(SlurmVersion::Packaged, SlurmUser::Slurm);
}

#[test]
fn newer_root() {
    cycle(SlurmVersion::Newer, SlurmUser::Root);
}

#[test]
fn newer_slurm() {
    cycle(SlurmVersion::Newer, SlurmUser::Slurm);
}
