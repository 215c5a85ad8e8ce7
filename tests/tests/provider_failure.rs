//! A provider that cannot deliver: Slurm hears it at once, keeps the reason, and
//! gets the node back; the next placement of the ladder takes over.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs
)]

use std::thread::sleep;
use std::time::{Duration, Instant};

use slurmburst_tests::burst::{Build, Burst, site_text};
use slurmburst_tests::{
    Cluster, NodeInfo, SlurmUser, SlurmVersion, on_both, on_both_and_idle, stdout,
};

const RESUME_TIMEOUT: u32 = 10;
const COOL_OFF: &str = "[cool_off]\ncapacity = \"16s\"\n";

fn here(dir: &std::path::Path) -> String {
    format!(
        "[provider.here]\nkind = \"local\"\nrun_dir = \"{}/run/burst\"\n",
        dir.display()
    )
}

fn group(placements: &[&str]) -> String {
    let mut text = "[[nodes]]\nhostlist = \"c[1-3]\"\n".to_owned();
    for provider in placements {
        text += &format!("  [[nodes.placement]]\n  provider = \"{provider}\"\n");
    }
    text
}

fn ours(node: &NodeInfo) -> bool {
    node.reason
        .as_deref()
        .is_some_and(|r| r.starts_with("slurmburst: capacity"))
}

fn no_capacity(version: SlurmVersion, idle_on_node_suspend: bool) {
    let (Some(_), Some(bin)) = (version.or_skip(), Build::Fake.or_skip()) else {
        return;
    };
    let builder = Cluster::builder(version)
        .user(SlurmUser::Slurm)
        .idle_on_node_suspend(idle_on_node_suspend)
        .suspend_time(60)
        .suspend_timeout(2)
        .resume_timeout(RESUME_TIMEOUT);
    let cloud = "[provider.cloud]\nkind = \"fake\"\nfail = \"capacity\"\n";
    let failing = format!("{COOL_OFF}{cloud}{}", group(&["cloud"]));
    let failing = site_text(builder.dir(), "", &failing);
    let working = format!(
        "{COOL_OFF}{cloud}{}{}",
        here(builder.dir()),
        group(&["here"])
    );
    let working = site_text(builder.dir(), "", &working);
    let burst = Burst::start(builder, &bin, &failing);
    let cluster = &burst.cluster;

    let first = cluster.sbatch(&["-w", "c1"], "#!/bin/sh\ntrue\n");
    cluster.wait_for(
        "ResumeProgram to be called",
        Duration::from_secs(10),
        || burst.log().contains("invoked resume"),
    );
    let called = Instant::now();
    let shown = |node: &NodeInfo| {
        ours(node)
            && node.is(&["DOWN"])
            && (node.is(&["POWERED_DOWN"]) || node.is(&["POWERING_DOWN"]))
    };
    cluster.wait_for_nodes(
        "c1 to be DOWN with our reason",
        Duration::from_secs(5),
        &["c1"],
        shown,
    );
    assert_eq!(
        cluster.job_state(first).as_deref(),
        Some("PENDING"),
        "{}",
        burst.log()
    );
    let told = called.elapsed();
    println!("told within {:.1} s", told.as_secs_f32());
    assert!(told < Duration::from_secs(5), "{told:?}");
    let job = stdout(&cluster.scontrol(&["show", "job", "-o", &first.to_string()]));
    assert!(job.contains(" Restarts=1 "), "not requeued: {job}");
    cluster.run("scancel", &[first.to_string()]);
    burst.write_site(&working);

    // Nobody but the cool-off ends it: not ResumeTimeout, which would write its own reason.
    sleep(
        (called + Duration::from_secs(u64::from(RESUME_TIMEOUT) + 2))
            .duration_since(Instant::now()),
    );
    let node = cluster.node_states().remove("c1").unwrap();
    assert!(
        node.is(&["DOWN", "POWERED_DOWN"]) && ours(&node),
        "{node:?}\n{}",
        burst.log()
    );

    cluster.wait_for_nodes(
        "c1 to return to service",
        Duration::from_secs(15),
        &["c1"],
        |node| node.is(&["IDLE", "POWERED_DOWN"]),
    );
    println!("returned after {:.1} s", called.elapsed().as_secs_f32());
    let second = cluster.sbatch(&["-w", "c1"], "#!/bin/sh\ntrue\n");
    cluster.wait_for(
        "the second job to run on c1",
        Duration::from_secs(50),
        || cluster.job_state(second).as_deref() == Some("COMPLETED"),
    );
    assert_eq!(burst.events("c1", "power-down-force"), 1, "{}", burst.log());
    assert_eq!(burst.events("c1", "marked-down"), 1, "{}", burst.log());
    assert_eq!(burst.events("c1", "returned"), 1, "{}", burst.log());
    assert_eq!(burst.events("c1", "up"), 1, "{}", burst.log());
    assert_eq!(cluster.slurmd_pids("c1").len(), 1);
}

fn capacity_ladder(version: SlurmVersion) {
    let (Some(_), Some(bin)) = (version.or_skip(), Build::Fake.or_skip()) else {
        return;
    };
    let builder = Cluster::builder(version)
        .user(SlurmUser::Slurm)
        .suspend_time(60)
        .resume_timeout(30);
    let cloud = "[provider.cloud]\nkind = \"fake\"\ncapacity = 0\n";
    let site = format!(
        "{COOL_OFF}{cloud}{}{}",
        here(builder.dir()),
        group(&["cloud", "here"])
    );
    let site = site_text(builder.dir(), "", &site);
    let burst = Burst::start(builder, &bin, &site);
    let cluster = &burst.cluster;

    let out = cluster.scontrol(&["update", "nodename=c1", "state=power_up"]);
    assert!(out.status.success(), "{out:?}");
    cluster.wait_for_nodes(
        "c1 to come up elsewhere",
        Duration::from_secs(20),
        &["c1"],
        |node| node.is_up(),
    );
    let job = cluster.sbatch(&["-w", "c1"], "#!/bin/sh\ntrue\n");
    cluster.wait_for("the job to run", Duration::from_secs(20), || {
        cluster.job_state(job).as_deref() == Some("COMPLETED")
    });
    // The provider looks for a while whether slurmd stays.
    cluster.wait_for("c1 to be settled", Duration::from_secs(5), || {
        burst.events("c1", "up") == 1
    });
    let log = burst.log();
    assert_eq!(
        log.matches(" invoked ").count(),
        1,
        "one resume, nothing else: {log}"
    );
    assert_eq!(cluster.slurmd_pids("c1").len(), 1, "{log}");
    assert_eq!(burst.events("c1", "refused"), 1, "{log}");
    assert_eq!(burst.events("c1", "running"), 1, "{log}");
    assert_eq!(burst.events("c1", "up"), 1, "{log}");
    assert_eq!(burst.events("c1", "failed"), 0, "{log}");
    let ran = log
        .lines()
        .find(|l| l.contains("\"what\":\"running\""))
        .unwrap();
    assert!(ran.contains("\"placement\":\"here\""), "{ran}");
}

on_both_and_idle!(no_capacity);
on_both!(capacity_ladder);
