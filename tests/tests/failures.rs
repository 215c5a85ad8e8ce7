//! Nodes that do not come up, and nodes that an administrator has taken out of service, on a real Slurm.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::path::Path;
use std::time::Duration;

use slurmburst_tests::burst::Burst;
use slurmburst_tests::instances::running;
use slurmburst_tests::{SlurmVersion, local, on_both, on_both_and_idle};

on_both_and_idle!(slurmd_never_comes, an_administrators_down_stays);
on_both!(slurmd_never_registers);

/// A slurmd that does nothing.
const HUNG: &str = "#!/bin/sh\nwhile :; do sleep 1; done\n";

/// The instance runs, and nothing ever comes from it.
fn slurmd_never_comes(version: SlurmVersion, idle: bool) {
    let Some((builder, built)) = local::builder(version, idle) else {
        return;
    };
    let builder = builder.resume_timeout(8);
    let hung = builder.script("slurmd-hung", HUNG);
    let text = local::site(
        builder.dir(),
        "c[1-3]",
        &format!("slurmd = \"{}\"", hung.display()),
    );
    let burst = Burst::start(builder, &built, &text);
    fails_and_comes_back(&burst);
}

/// The slurmd runs, and speaks to nobody.
fn slurmd_never_registers(version: SlurmVersion) {
    let nobody = |_: &Path| "args = [\"--conf-server\", \"127.0.0.1:1\"]".to_owned();
    let Some(burst) = local::burst(version, true, |b| b.resume_timeout(8), nobody) else {
        return;
    };
    fails_and_comes_back(&burst);
}

fn fails_and_comes_back(burst: &Burst) {
    burst.set_state("c1", "power_up");
    burst.wait_event("c1", "up", 1);
    assert!(running(burst.cluster.dir()).contains_key("c1"));
    burst
        .cluster
        .wait_for_nodes("ResumeTimeout", Duration::from_secs(40), &["c1"], |node| {
            node.is(&["DOWN", "POWERED_DOWN"])
        });
    // ResumeFailProgram: Slurm calls nothing else.
    burst.wait_event("c1", "down", 1);
    burst.wait_nothing_left();
    assert!(
        burst.log().contains("invoked resume-fail"),
        "{}",
        burst.log()
    );
    let reason = burst.cluster.node_states()["c1"]
        .reason
        .clone()
        .unwrap_or_default();
    assert!(reason.starts_with("ResumeTimeout reached"), "{reason}");

    burst.reconcile();
    burst.cluster.wait_for_nodes(
        "c1 to be in service",
        Duration::from_secs(5),
        &["c1"],
        |node| node.is(&["IDLE", "POWERED_DOWN"]),
    );
    burst.write_site(&local::site(burst.cluster.dir(), "c[1-3]", ""));
    burst.set_state("c1", "power_up");
    burst.wait_up(&["c1"]);
    burst.job_runs_on(&["c1"]);
    burst.all_down("c1", &["c1"]);
}

/// On a node that is off, on one that runs, and in the place of our own mark; through all that other nodes go through.
fn an_administrators_down_stays(version: SlurmVersion, idle: bool) {
    let Some((builder, built)) = local::builder(version, idle) else {
        return;
    };
    let builder = builder.nodes("c[1-4]").suspend_time(3).resume_timeout(20);
    let broken = "[cool_off]\nfailure = \"2s\"\n";
    let text = local::site(builder.dir(), "c[1-4]", "") + broken;
    let burst = Burst::start(builder, &built, &text);
    let maintain = |nodes: &str| {
        let nodes = format!("nodename={nodes}");
        let out = burst
            .cluster
            .scontrol(&["update", &nodes, "state=down", "reason=maintenance"]);
        assert!(out.status.success(), "{out:?}");
    };
    let maintained = |node: &str, when: &str| {
        let info = burst.cluster.node_states()[node].clone();
        let reason = info.reason.as_deref();
        assert!(
            info.is(&["DOWN"]) && reason == Some("maintenance"),
            "{when}: {info:?}\n{}",
            burst.log()
        );
    };

    // Off.
    maintain("c1");
    // Runs, and is powered down by Slurm; idle_on_node_suspend itself forgets such a DOWN.
    burst.set_state("c2", "power_up");
    burst.wait_up(&["c2"]);
    maintain("c2");
    burst.wait_event("c2", "down", 1);
    burst.wait_off(&["c2"]);
    if !idle {
        maintained("c2", "after its suspend");
    }
    maintain("c2");

    // Failed, and marked down by us; then by the administrator.
    let missing = local::site(
        burst.cluster.dir(),
        "c[1-4]",
        "slurmd = \"/nonexistent/slurmd\"",
    ) + broken;
    burst.write_site(&missing);
    burst.set_state("c3", "power_up");
    burst.wait_event("c3", "marked-down", 1);
    burst
        .cluster
        .wait_for_nodes("our mark", Duration::from_secs(10), &["c3"], |node| {
            node.is(&["DOWN"])
                && node
                    .reason
                    .as_deref()
                    .is_some_and(|r| r.starts_with("slurmburst: "))
        });
    maintain("c3");
    burst.write_site(&(local::site(burst.cluster.dir(), "c[1-4]", "") + broken));
    burst.wait_off(&["c3"]);

    // A cycle of another node, and full passes past the cool-off.
    burst.set_state("c4", "power_up");
    burst.wait_up(&["c4"]);
    burst.reconcile();
    burst.wait_event("c4", "down", 1);
    burst.wait_off(&["c4"]);
    burst.reconcile();
    for node in ["c1", "c2", "c3"] {
        maintained(node, "in the end");
    }
    assert_eq!(burst.events("c3", "returned"), 0, "{}", burst.log());
    burst.wait_nothing_left();
}
