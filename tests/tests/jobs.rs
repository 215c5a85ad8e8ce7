//! Jobs on a real Slurm that share what is powered up for them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::fs;
use std::time::Duration;

use slurmburst_tests::instances::Watch;
use slurmburst_tests::{SlurmVersion, local, on_both, on_both_and_idle};

on_both_and_idle!(job_array);
on_both!(two_jobs_share_a_node);

const NODES: [&str; 3] = ["c1", "c2", "c3"];

/// Six tasks, two to a node: three nodes come up, once each, and go when the last task has ended.
fn job_array(version: SlurmVersion, idle: bool) {
    let Some(burst) = local::burst(version, idle, |b| b.suspend_time(4), |_| String::new()) else {
        return;
    };
    let watch = Watch::start(&burst);
    let script = "#!/bin/sh\nsleep 2\necho ran on $SLURMD_NODENAME\n";
    let job = burst
        .cluster
        .sbatch(&["--array=1-6", "--mem=100", "-c1", "-o", "out.%a"], script);
    let work = burst.cluster.dir().join("work");
    let output =
        |task: u32| fs::read_to_string(work.join(format!("out.{task}"))).unwrap_or_default();
    // Up to 30 s of it is Slurm's own look at booting jobs.
    burst
        .cluster
        .wait_for("six tasks to end", Duration::from_secs(60), || {
            (1..=6).all(|task| output(task).starts_with("ran on c"))
        });
    let mut used: Vec<String> = (1..=6).map(output).collect();
    used.sort();
    used.dedup();
    assert_eq!(used.len(), 3, "job {job} on {used:?}");
    burst.wait_off(&NODES);
    burst.wait_nothing_left();
    watch.saw(&[("c1", 1), ("c2", 1), ("c3", 1)]);
    for node in NODES {
        for what in ["recorded", "running", "up", "stopped", "down"] {
            let wanted = if what == "recorded" { 2 } else { 1 };
            assert_eq!(
                burst.events(node, what),
                wanted,
                "{what} of {node}\n{}",
                burst.log()
            );
        }
    }
}

/// Two jobs on one node: one instance, which stays until the later one has ended.
fn two_jobs_share_a_node(version: SlurmVersion) {
    let Some(burst) = local::burst(version, true, |b| b.suspend_time(4), |_| String::new()) else {
        return;
    };
    let watch = Watch::start(&burst);
    // Powered up by hand: its jobs do not wait for Slurm's half-minute look at booting ones.
    burst.set_state("c1", "power_up");
    burst.wait_up(&["c1"]);
    let args = ["-w", "c1", "--mem=100", "-c1"];
    let short = burst.cluster.sbatch(&args, "#!/bin/sh\nsleep 1\n");
    let long = burst.cluster.sbatch(&args, "#!/bin/sh\nsleep 8\n");
    burst.wait_job(short, 45);
    burst.wait_job(long, 45);
    assert_eq!(burst.events("c1", "stopped"), 0, "{}", burst.log());
    burst.wait_off(&["c1"]);
    burst.wait_nothing_left();
    watch.saw(&[("c1", 1), ("c2", 0), ("c3", 0)]);
}
