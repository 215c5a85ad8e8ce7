//! Power-ups and power-downs that cross on a real Slurm.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use slurmburst_tests::instances::{Watch, running};
use slurmburst_tests::{SlurmVersion, local, on_both, on_both_and_idle};

on_both_and_idle!(suspend_while_a_resume_runs, power_up_on_a_down_node);
on_both!(
    resume_while_a_suspend_runs,
    power_up_twice,
    suspend_of_a_node_without_an_instance,
    ten_programs_at_once,
);

/// The slurmd does not end when it is told to, so that Slurm wants the node again while the old instance still dies.
fn resume_while_a_suspend_runs(version: SlurmVersion) {
    let Some(burst) = local::burst(version, true, |b| b, |_| "stop_timeout = \"7s\"".to_owned())
    else {
        return;
    };
    let watch = Watch::start(&burst);
    burst.set_state("c1", "power_up");
    burst.wait_up(&["c1"]);
    // A stopped process whose parent ends goes on.
    burst.wait_idle();
    let old = burst.cluster.slurmd_pids("c1");
    kill(Pid::from_raw(old[0]), Signal::SIGSTOP).unwrap();
    burst.set_state("c1", "power_down");
    // SuspendTimeout is 2 s: over long before the slurmd is killed.
    burst.wait_off(&["c1"]);
    assert_eq!(
        burst.cluster.slurmd_pids("c1"),
        old,
        "the suspend still runs"
    );
    burst.set_state("c1", "power_up");
    burst.wait_event("c1", "recorded", 3);
    assert_eq!(
        burst.cluster.slurmd_pids("c1"),
        old,
        "the suspend still runs"
    );
    burst.wait_up(&["c1"]);
    assert_ne!(burst.cluster.slurmd_pids("c1"), old);
    burst.job_runs_on(&["c1"]);
    watch.saw(&[("c1", 2)]);
    burst.all_down("c1", &["c1"]);
}

/// Slurm gives a node up that is still booting.
fn suspend_while_a_resume_runs(version: SlurmVersion, idle: bool) {
    let Some(burst) = local::burst(version, idle, |b| b, |_| "boot_delay = \"4s\"".to_owned())
    else {
        return;
    };
    let watch = Watch::start(&burst);
    burst.set_state("c[1-2]", "power_up");
    burst.wait_event("c1", "accepted", 1);
    burst.set_state("c1", "power_down_force");
    burst.wait_event("c1", "down", 1);
    burst.wait_up(&["c2"]);
    burst.wait_off(&["c1"]);
    watch.saw(&[("c1", 0), ("c2", 1)]);
    assert_eq!(burst.books().into_iter().collect::<Vec<_>>(), ["c2"]);
    // And again, now to the end.
    burst.set_state("c1", "power_up");
    burst.wait_up(&["c1"]);
    burst.job_runs_on(&["c1", "c2"]);
    watch.saw(&[("c1", 1), ("c2", 1)]);
    burst.all_down("c[1-2]", &["c1", "c2"]);
}

/// An administrator who is impatient.
fn power_up_twice(version: SlurmVersion) {
    let Some(burst) = local::burst(version, true, |b| b, |_| "boot_delay = \"3s\"".to_owned())
    else {
        return;
    };
    let watch = Watch::start(&burst);
    burst.set_state("c1", "power_up");
    burst.set_state("c1", "power_up");
    burst.wait_event("c1", "accepted", 1);
    burst.set_state("c1", "power_up");
    burst.wait_up(&["c1"]);
    burst.set_state("c1", "power_up");
    burst.job_runs_on(&["c1"]);
    watch.saw(&[("c1", 1)]);
    burst.all_down("c1", &["c1"]);
}

/// What makes Slurm call ResumeProgram again without a SuspendProgram between.
fn power_up_on_a_down_node(version: SlurmVersion, idle: bool) {
    let Some(burst) = local::burst(version, idle, |b| b, |_| "boot_delay = \"4s\"".to_owned())
    else {
        return;
    };
    let watch = Watch::start(&burst);
    burst.set_state("c1", "power_up");
    burst.wait_event("c1", "accepted", 1);
    let down = ["update", "nodename=c1", "state=down", "reason=look at it"];
    assert!(burst.cluster.scontrol(&down).status.success());
    burst
        .cluster
        .wait_for_nodes("c1 to be down", Duration::from_secs(5), &["c1"], |node| {
            node.is(&["DOWN", "POWERING_UP"])
        });
    burst.set_state("c1", "power_up");
    burst.wait_event("c1", "recorded", 2);
    burst.wait_up(&["c1"]);
    burst.job_runs_on(&["c1"]);
    watch.saw(&[("c1", 1)]);
    burst.all_down("c1", &["c1"]);
}

/// `state=power_down` of a node that is off calls SuspendProgram.
fn suspend_of_a_node_without_an_instance(version: SlurmVersion) {
    let Some(burst) = local::burst(version, true, |b| b, |_| String::new()) else {
        return;
    };
    burst.set_state("c1", "power_down");
    burst.wait_event("c1", "down", 1);
    burst.wait_off(&["c1"]);
    burst.wait_nothing_left();
    assert_eq!(
        burst.events("c1", "failed") + burst.events("c1", "down-failed"),
        0,
        "{}",
        burst.log()
    );
    burst.set_state("c1", "power_up");
    burst.wait_up(&["c1"]);
    burst.job_runs_on(&["c1"]);
    burst.all_down("c1", &["c1"]);
}

/// Twelve programs by hand, of which two suspend, while Slurm powers the same nodes up: one instance each.
fn ten_programs_at_once(version: SlurmVersion) {
    let Some(burst) = local::burst(
        version,
        true,
        |b| b.nodes("c[1-6]"),
        |_| "boot_delay = \"8s\"".to_owned(),
    ) else {
        return;
    };
    let watch = Watch::start(&burst);
    let nodes = ["c1", "c2", "c3", "c4", "c5", "c6"];
    burst.set_state("c[1-6]", "power_up");
    burst.cluster.wait_for_nodes(
        "all nodes to boot",
        Duration::from_secs(10),
        &nodes,
        |node| node.is(&["POWERING_UP"]),
    );
    let lists = [
        "c[1-6]", "c[1-3]", "c[2-4]", "c[3-5]", "c[4-6]", "c1,c6", "c2,c5", "c3", "c[1,3,5]",
        "c[2,4,6]",
    ];
    let resumes = lists.map(|list| ("slurmburst-resume", list));
    let suspends = [
        ("slurmburst-suspend", "c[1-2]"),
        ("slurmburst-suspend", "c[2-3]"),
    ];
    let calls: Vec<_> = resumes.into_iter().chain(suspends).collect();
    std::thread::scope(|scope| {
        for (program, list) in calls {
            let burst = &burst;
            scope.spawn(move || {
                let out = burst.run(program, &[list]);
                assert!(out.status.success(), "{program} {list}: {out:?}");
            });
        }
    });
    burst.wait_up(&nodes);
    burst.job_runs_on(&nodes);
    let seen = running(burst.cluster.dir());
    assert_eq!(seen.len(), 6, "{seen:?}");
    watch.saw(&nodes.map(|node| (node, 1)));
    burst.all_down("c[1-6]", &nodes);
}
