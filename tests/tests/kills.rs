//! Our programs killed with SIGKILL at any moment, on a real Slurm; then `slurmburst reconcile`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use slurmburst_tests::burst::Burst;
use slurmburst_tests::instances::Watch;
use slurmburst_tests::{SlurmVersion, local, on_both};

on_both!(
    resume_killed_at_any_moment,
    suspend_killed_at_any_moment,
    converger_killed_while_nodes_boot,
    converger_killed_while_nodes_go_down,
);

const NODES: [&str; 4] = ["c1", "c2", "c3", "c4"];
/// From before it could read its arguments to after it has kicked the converger.
const MOMENTS: [&str; 4] = ["0.001", "0.008", "0.02", "0.3"];
const SECONDS_10: Duration = Duration::from_secs(10);

/// Puts a script in the program's place that kills the program after so many seconds.
fn kill_after(burst: &Burst, program: &str, seconds: &str) {
    let path = burst.program(program);
    let real = path.with_extension("real");
    if !real.exists() {
        fs::copy(&path, &real).unwrap();
    }
    let real = real.display();
    burst.replace(
        program,
        &format!("#!/bin/sh\n{real} \"$@\" &\n/bin/sleep {seconds}\nkill -KILL $!\ntrue\n"),
    );
}

fn restore(burst: &Burst, program: &str) {
    let path = burst.program(program);
    let new = path.with_extension("new");
    fs::copy(path.with_extension("real"), &new).unwrap();
    fs::rename(new, path).unwrap();
}

fn called(burst: &Burst, program: &str, nodes: &[&str]) -> bool {
    let text = fs::read_to_string(burst.cluster.log_path("slurmctld.log")).unwrap_or_default();
    let last = nodes[nodes.len() - 1];
    text.lines().any(|l| {
        l.contains("power_save:") && l.contains(&format!("{program} nodes")) && l.ends_with(last)
    })
}

/// One node per moment; a converger that was kicked goes on, what nobody has recorded reconcile finds.
fn resume_killed_at_any_moment(version: SlurmVersion) {
    let configure = |b: slurmburst_tests::ClusterBuilder| b.nodes("c[1-4]").resume_timeout(60);
    let Some(burst) = local::burst(version, true, configure, |_| String::new()) else {
        return;
    };
    let watch = Watch::start(&burst);
    for (node, moment) in NODES.into_iter().zip(MOMENTS) {
        kill_after(&burst, "slurmburst-resume", moment);
        burst.set_state(node, "power_up");
        burst
            .cluster
            .wait_for("the call", SECONDS_10, || called(&burst, "waking", &[node]));
    }
    burst.reconcile();
    burst.wait_up(&NODES);
    burst.job_runs_on(&NODES);
    watch.saw(&NODES.map(|node| (node, 1)));
    burst.all_down("c[1-4]", &NODES);
}

/// The same on the way down.
fn suspend_killed_at_any_moment(version: SlurmVersion) {
    let Some(burst) = local::burst(version, true, |b| b.nodes("c[1-4]"), |_| String::new()) else {
        return;
    };
    let watch = Watch::start(&burst);
    burst.set_state("c[1-4]", "power_up");
    burst.wait_up(&NODES);
    for (node, moment) in NODES.into_iter().zip(MOMENTS) {
        kill_after(&burst, "slurmburst-suspend", moment);
        burst.set_state(node, "power_down");
        burst.cluster.wait_for("the call", SECONDS_10, || {
            called(&burst, "suspending", &[node])
        });
    }
    burst.wait_off(&NODES);
    burst.reconcile();
    burst.wait_nothing_left();
    restore(&burst, "slurmburst-suspend");
    // What was left running has not come back to Slurm meanwhile, and all can be used again.
    burst.set_state("c[1-4]", "power_up");
    burst.wait_up(&NODES);
    burst.job_runs_on(&NODES);
    watch.saw(&NODES.map(|node| (node, 2)));
    burst.all_down("c[1-4]", &NODES);
}

fn kill_converger(burst: &Burst) {
    burst
        .cluster
        .wait_for("a converger", SECONDS_10, || !burst.convergers().is_empty());
    for pid in burst.convergers() {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    burst.wait_idle();
}

/// At once, while it waits for a boot, and around the start of a slurmd; each time something else goes on.
fn converger_killed_while_nodes_boot(version: SlurmVersion) {
    let configure = |b: slurmburst_tests::ClusterBuilder| b.nodes("c[1-4]").resume_timeout(60);
    let Some(burst) = local::burst(version, true, configure, |_| {
        "boot_delay = \"2s\"".to_owned()
    }) else {
        return;
    };
    let watch = Watch::start(&burst);
    // As soon as there is one.
    burst.set_state("c1", "power_up");
    kill_converger(&burst);
    // Another program goes on for it.
    burst.set_state("c2", "power_up");
    burst.wait_event("c2", "accepted", 1);
    kill_converger(&burst);
    // When the pretended boot is nearly over, and every so often after.
    burst.set_state("c[3-4]", "power_up");
    burst.wait_event("c4", "accepted", 1);
    kill_converger(&burst);
    for wait in [1_500, 100, 100, 100, 200, 200] {
        let mut converge = burst.cluster.command(burst.program("slurmburst"));
        let mut converge = converge.args(["reconcile", "--wait"]).spawn().unwrap();
        sleep(Duration::from_millis(wait));
        converge.kill().unwrap();
        converge.wait().unwrap();
        for pid in burst.convergers() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
    burst.reconcile();
    burst.wait_up(&NODES);
    burst.job_runs_on(&NODES);
    watch.saw(&NODES.map(|node| (node, 1)));
    burst.all_down("c[1-4]", &NODES);
}

/// The slurmds do not end when they are told to, so that there is time.
fn converger_killed_while_nodes_go_down(version: SlurmVersion) {
    let Some(burst) = local::burst(version, true, |b| b, |_| "stop_timeout = \"2s\"".to_owned())
    else {
        return;
    };
    let watch = Watch::start(&burst);
    burst.set_state("c[1-3]", "power_up");
    burst.wait_up(&["c1", "c2", "c3"]);
    burst.wait_idle();
    for node in ["c1", "c2", "c3"] {
        let slurmd = burst.cluster.slurmd_pids(node)[0];
        kill(Pid::from_raw(slurmd), Signal::SIGSTOP).unwrap();
    }
    burst.set_state("c1", "power_down");
    kill_converger(&burst);
    burst.set_state("c[2-3]", "power_down");
    burst.wait_event("c3", "recorded", 2);
    kill_converger(&burst);
    burst.wait_off(&["c1", "c2", "c3"]);
    burst.reconcile();
    burst.wait_nothing_left();
    burst.set_state("c1", "power_up");
    burst.wait_up(&["c1"]);
    burst.job_runs_on(&["c1"]);
    watch.saw(&[("c1", 2), ("c2", 1), ("c3", 1)]);
    burst.all_down("c1", &["c1"]);
}
