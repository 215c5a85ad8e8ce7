//! The whole way on a real Slurm: ResumeProgram, slurmd, job, SuspendProgram.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::time::Duration;

use slurmburst_tests::burst::{Build, Burst, local_site};
use slurmburst_tests::{Cluster, SlurmUser, SlurmVersion, stdout};

fn cycle(version: SlurmVersion, user: SlurmUser) {
    let (Some(_), Some(bin)) = (version.or_skip(), Build::Site.or_skip()) else {
        return;
    };
    let builder = Cluster::builder(version)
        .user(user)
        .suspend_time(3)
        .suspend_timeout(4)
        .resume_timeout(30);
    let site = local_site(builder.dir(), "c[1-3]", "");
    let burst = Burst::start(builder, &bin, &site);
    let out = burst.cluster.run("srun", &["-N3", "hostname"]);
    assert!(out.status.success(), "{out:?}\n{}", burst.log());
    assert_eq!(stdout(&out).lines().count(), 3);
    burst
        .cluster
        .wait_for("all nodes off", Duration::from_secs(40), || {
            burst
                .cluster
                .node_states()
                .values()
                .all(|n| n.is(&["POWERED_DOWN"]))
        });
    for node in ["c1", "c2", "c3"] {
        assert_eq!(
            burst.cluster.slurmd_pids(node),
            Vec::<i32>::new(),
            "{node}\n{}",
            burst.log()
        );
        assert_eq!(burst.events(node, "up"), 1, "{}", burst.log());
        assert_eq!(burst.events(node, "down"), 1, "{}", burst.log());
    }
}

#[test]
fn full_cycle_as_root_packaged() {
    cycle(SlurmVersion::Packaged, SlurmUser::Root);
}

#[test]
fn full_cycle_as_slurm_packaged() {
    cycle(SlurmVersion::Packaged, SlurmUser::Slurm);
}

#[test]
fn full_cycle_as_root_newer() {
    cycle(SlurmVersion::Newer, SlurmUser::Root);
}

#[test]
fn full_cycle_as_slurm_newer() {
    cycle(SlurmVersion::Newer, SlurmUser::Slurm);
}
