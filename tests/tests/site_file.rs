//! What the site file decides: broken, a node that it does not name, limits, a pause.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::thread::sleep;
use std::time::Duration;

use slurmburst_tests::burst::{Build, Burst, local_site};
use slurmburst_tests::{
    Cluster, ClusterBuilder, NodeInfo, SlurmUser, SlurmVersion, on_both, on_both_and_idle, stdout,
};

fn builder(version: SlurmVersion, idle_on_node_suspend: bool) -> ClusterBuilder {
    Cluster::builder(version)
        .user(SlurmUser::Slurm)
        .idle_on_node_suspend(idle_on_node_suspend)
        .suspend_time(300)
        .suspend_timeout(2)
        .resume_timeout(25)
}

fn power_up(burst: &Burst, nodes: &str) {
    let out = burst
        .cluster
        .scontrol(&["update", &format!("nodename={nodes}"), "state=power_up"]);
    assert!(out.status.success(), "{out:?}");
}

fn wait_up(burst: &Burst, node: &str) {
    burst.cluster.wait_for_nodes(
        &format!("{node} to be up"),
        Duration::from_secs(20),
        &[node],
        |n| n.is_up(),
    );
    burst
        .cluster
        .wait_for("its wish to be settled", Duration::from_secs(10), || {
            burst.events(node, "up") > burst.events(node, "down")
        });
}

/// c2 was refused: Slurm shows it out of service and why.
fn wait_refused(burst: &Burst, node: &str, why: &str) {
    let what = format!("{node} to be DOWN with {why}");
    burst
        .cluster
        .wait_for_nodes(&what, Duration::from_secs(8), &[node], |n| {
            let reason = n.reason.as_deref().unwrap_or_default();
            n.is(&["DOWN"])
                && (n.is(&["POWERING_DOWN"]) || n.is(&["POWERED_DOWN"]))
                && reason.starts_with("slurmburst: ")
                && reason.contains(why)
        });
    assert!(burst.cluster.slurmd_pids(node).is_empty());
    burst
        .cluster
        .wait_for_nodes("and to stay so", Duration::from_secs(10), &[node], |n| {
            n.is(&["DOWN", "POWERED_DOWN"])
        });
}

fn broken_site_file(version: SlurmVersion, idle_on_node_suspend: bool) {
    let (Some(_), Some(bin)) = (version.or_skip(), Build::Site.or_skip()) else {
        return;
    };
    let builder = builder(version, idle_on_node_suspend);
    let site = local_site(builder.dir(), "c[1-3]", "");
    let burst = Burst::start(builder, &bin, &site);
    let cluster = &burst.cluster;
    power_up(&burst, "c1");
    wait_up(&burst, "c1");

    let broken = site.replace("hostlist = ", "hostlst = ");
    let line = 1 + broken
        .lines()
        .position(|l| l.starts_with("hostlst"))
        .unwrap();
    burst.write_site(&broken);
    cluster.scontrol(&["update", "nodename=c1", "state=power_down"]);
    cluster.wait_for("the slurmd of c1 to end", Duration::from_secs(15), || {
        cluster.slurmd_pids("c1").is_empty()
    });
    let place = format!("slurmburst.toml:{line}:1");
    let log = burst.log();
    let loud = log
        .lines()
        .find(|l| l.contains("SITE FILE BROKEN"))
        .unwrap_or_else(|| panic!("{log}"));
    assert!(
        loud.contains(&place) && loud.contains("did you mean `hostlist`"),
        "{loud}"
    );

    // Nothing new: refused by name, and Slurm's reason says where to look.
    power_up(&burst, "c2");
    wait_refused(&burst, "c2", &format!("invalid SiteFileBroken {place}"));
    assert_eq!(burst.events("c2", "failed"), 1, "{}", burst.log());

    // Mended, everything works again; the other node is used at once.
    burst.write_site(&site);
    power_up(&burst, "c3");
    wait_up(&burst, "c3");
}

fn unknown_node_is_refused(version: SlurmVersion, idle_on_node_suspend: bool) {
    let (Some(_), Some(bin)) = (version.or_skip(), Build::Site.or_skip()) else {
        return;
    };
    let builder = builder(version, idle_on_node_suspend);
    let site = local_site(builder.dir(), "c[1-2]", "");
    let burst = Burst::start(builder, &bin, &site);
    // In one call with a node that is known, which must not suffer.
    power_up(&burst, "c[1,3]");
    wait_refused(&burst, "c3", "invalid UnknownNode");
    wait_up(&burst, "c1");
    let log = burst.log();
    assert!(log.contains("c3 is in no [[nodes]] group of "), "{log}");
    assert_eq!(
        (burst.events("c1", "failed"), burst.events("c3", "failed")),
        (0, 1),
        "{log}"
    );
}

fn unknown_node_is_ignored(version: SlurmVersion) {
    let (Some(_), Some(bin)) = (version.or_skip(), Build::Site.or_skip()) else {
        return;
    };
    let builder = builder(version, true);
    let site = local_site(builder.dir(), "c[1-2]", "unknown_nodes = \"ignore\"\n");
    let burst = Burst::start(builder, &bin, &site);
    power_up(&burst, "c[1,3]");
    wait_up(&burst, "c1");
    sleep(Duration::from_secs(3));
    let c3 = burst.cluster.node_states().remove("c3").unwrap();
    assert!(
        c3.is(&["POWERING_UP"]) && !c3.is(&["DOWN"]) && c3.reason.is_none(),
        "{c3:?}"
    );
    assert!(!burst.log().contains("\"node\":\"c3\""), "{}", burst.log());
    // Its owner, another program, brings it up; a full pass leaves it alone too.
    let out = burst.slurmburst(&["reconcile"]);
    assert!(out.status.success(), "{out:?}");
    let c3 = burst.cluster.node_states().remove("c3").unwrap();
    assert!(c3.is(&["POWERING_UP"]), "{c3:?}\n{}", burst.log());
}

fn too_many_power_ups(version: SlurmVersion, idle_on_node_suspend: bool) {
    let (Some(_), Some(bin)) = (version.or_skip(), Build::Site.or_skip()) else {
        return;
    };
    let builder = builder(version, idle_on_node_suspend);
    let site = local_site(builder.dir(), "c[1-3]", "max_power_ups_per_hour = 2\n");
    let burst = Burst::start(builder, &bin, &site);
    let cluster = &burst.cluster;
    for _ in 0..2 {
        power_up(&burst, "c1");
        wait_up(&burst, "c1");
        cluster.scontrol(&["update", "nodename=c1", "state=power_down"]);
        cluster.wait_for_nodes(
            "c1 to be off",
            Duration::from_secs(20),
            &["c1"],
            |node: &NodeInfo| node.is(&["IDLE", "POWERED_DOWN"]),
        );
    }
    power_up(&burst, "c1");
    wait_refused(&burst, "c1", "quota TooManyPowerUps");
    let log = burst.log();
    assert!(
        log.contains("max_power_ups_per_hour is 2; see `slurmburst history c1`"),
        "{log}"
    );
    assert_eq!(burst.events("c1", "up"), 2, "{log}");
    // The others are not concerned.
    power_up(&burst, "c2");
    wait_up(&burst, "c2");
}

fn pause(version: SlurmVersion) {
    let (Some(_), Some(bin)) = (version.or_skip(), Build::Site.or_skip()) else {
        return;
    };
    let builder = builder(version, true);
    let site = local_site(builder.dir(), "c[1-3]", "");
    let burst = Burst::start(builder, &bin, &site);
    let cluster = &burst.cluster;
    power_up(&burst, "c1");
    wait_up(&burst, "c1");
    let out = burst.slurmburst(&["pause"]);
    assert!(stdout(&out).starts_with("paused"), "{out:?}");

    power_up(&burst, "c2");
    cluster.wait_for("the wish for c2", Duration::from_secs(10), || {
        burst.events("c2", "recorded") == 1
    });
    cluster.scontrol(&["update", "nodename=c1", "state=power_down"]);
    cluster.wait_for(
        "c1 to go down although paused",
        Duration::from_secs(15),
        || cluster.slurmd_pids("c1").is_empty() && burst.events("c1", "down") == 1,
    );
    sleep(Duration::from_secs(3));
    assert!(cluster.slurmd_pids("c2").is_empty(), "{}", burst.log());

    let out = burst.slurmburst(&["unpause"]);
    assert!(stdout(&out).starts_with("no longer paused"), "{out:?}");
    wait_up(&burst, "c2");
}

on_both_and_idle!(
    broken_site_file,
    unknown_node_is_refused,
    too_many_power_ups
);
on_both!(unknown_node_is_ignored, pause);
