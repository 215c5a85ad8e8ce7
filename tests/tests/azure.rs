//! A real slurmctld, our programs, and an Azure behind TLS whose machines are
//! slurmd processes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::time::Duration;

use slurmburst_azure_emulator::{Books, Settings};
use slurmburst_tests::azure::Azure;
use slurmburst_tests::burst::{Build, Burst, site_text};
use slurmburst_tests::{Cluster, SlurmUser, SlurmVersion, on_both, stdout};

const NODES: u16 = 20;
/// A create of 88 s takes less than 5, a delete of 330 s about 16.
const SPEED: f64 = 20.0;

fn burst(version: SlurmVersion, azure: &Azure, lifecycle: &str) -> Option<Burst> {
    let (Some(_), Some(bin)) = (version.or_skip(), Build::Fake.or_skip()) else {
        return None;
    };
    let nodes = format!("c[1-{NODES}]");
    let builder = Cluster::builder(version)
        .user(SlurmUser::Slurm)
        .nodes(&nodes)
        .suspend_time(3)
        .suspend_timeout(10)
        .resume_timeout(120);
    let rest = azure.site(&builder, &nodes, lifecycle);
    let site = site_text(builder.dir(), "orphan_grace = \"2s\"", &rest);
    let burst = Burst::start(builder, &bin, &site);
    azure.machines_of(&burst.cluster);
    Some(burst)
}

/// All nodes up, a job on all of them, all nodes off; what Azure has of it.
fn cycle(burst: &Burst, azure: &Azure, gone: impl Fn(&Books) -> bool) -> Books {
    let cluster = &burst.cluster;
    let out = cluster.run("srun", &[&format!("-N{NODES}"), "hostname"]);
    assert!(out.status.success(), "{out:?}\n{}", burst.log());
    assert_eq!(stdout(&out).lines().count(), usize::from(NODES));
    cluster.wait_for("all nodes off", Duration::from_secs(90), || {
        let nodes = cluster.node_states();
        nodes.values().all(|n| n.is(&["POWERED_DOWN"]))
    });
    cluster.wait_for("Azure to be done", Duration::from_secs(90), || {
        gone(&azure.cloud().books())
    });
    let books = azure.cloud().books();
    assert!(books.duplicates.is_empty(), "{books:?}");
    assert!(books.refusals.is_empty(), "{:?}", books.refusals);
    for node in 1..=NODES {
        let pids = cluster.slurmd_pids(&format!("c{node}"));
        assert_eq!(pids, [0; 0], "c{node}\n{}", burst.log());
    }
    books
}

fn twenty_nodes_are_created_and_deleted(version: SlurmVersion) {
    let azure = Azure::start(Settings::default(), SPEED);
    let Some(burst) = burst(version, &azure, "create-delete") else {
        return;
    };
    let books = cycle(&burst, &azure, |b| (b.vms, b.nics, b.disks) == (0, 0, 0));
    let count = |call: &str| books.calls.get(call).copied().unwrap_or_default();
    assert_eq!(
        count("PUT virtualMachines"),
        u64::from(NODES),
        "{:?}",
        books.calls
    );
    assert_eq!(
        books.classes["writes"],
        u64::from(NODES),
        "{:?}",
        books.calls
    );
}

fn twenty_nodes_are_started_and_deallocated(version: SlurmVersion) {
    let azure = Azure::start(Settings::default(), SPEED);
    for node in 1..=NODES {
        azure.make_deallocated(&format!("c{node}"));
    }
    let before = azure.cloud().books();
    let Some(burst) = burst(version, &azure, "start-deallocate") else {
        return;
    };
    let books = cycle(&burst, &azure, |b| b.running == 0);
    assert_eq!(books.vms, usize::from(NODES), "none is deleted");
    for (_, power, _) in azure.cloud().vms() {
        assert_eq!(power, "deallocated", "a VM that is only stopped is billed");
    }
    assert_eq!(
        books.classes["writes"] - before.classes["writes"],
        2 * u64::from(NODES),
        "{:?}",
        books.calls
    );
}

on_both! {
    twenty_nodes_are_created_and_deleted,
    twenty_nodes_are_started_and_deallocated,
}
