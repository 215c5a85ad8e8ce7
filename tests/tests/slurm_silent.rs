//! Slurm gives no answer, or none that means anything: nothing is powered down.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use slurmburst_tests::burst::{Build, Burst, local_site, site_text};
use slurmburst_tests::{Cluster, NodeInfo, SlurmUser, SlurmVersion, on_both, stdout};

const TOP: &str = "orphan_grace = \"1s\"\n";

/// A site with another scontrol.
fn with_scontrol(site: &str, scontrol: &str) -> String {
    site.replace(
        "[slurm]\n",
        &format!("[slurm]\nscontrol = \"{scontrol}\"\ntimeout = \"1s\"\n"),
    )
}

/// c1 runs, scontrol is this script; full passes and a suspend follow.
fn nothing_is_powered_down(version: SlurmVersion, script: &str, said: &str) {
    let (Some(_), Some(bin)) = (version.or_skip(), Build::Site.or_skip()) else {
        return;
    };
    let builder = Cluster::builder(version)
        .user(SlurmUser::Slurm)
        .suspend_time(300);
    let scontrol = builder.script("scontrol", script);
    let site = local_site(builder.dir(), "c[1-3]", TOP);
    let burst = Burst::start(builder, &bin, &site);
    let cluster = &burst.cluster;
    cluster.scontrol(&["update", "nodename=c1", "state=power_up"]);
    cluster.wait_for_nodes(
        "c1 to be up",
        Duration::from_secs(20),
        &["c1"],
        NodeInfo::is_up,
    );
    cluster.wait_for("the converger to be done", Duration::from_secs(10), || {
        burst.pids("slurmburst-converge").is_empty()
    });
    let runs = cluster.slurmd_pids("c1");
    assert_eq!(runs.len(), 1);

    burst.write_site(&with_scontrol(&site, &scontrol.display().to_string()));
    for _ in 0..3 {
        let out = burst.slurmburst(&["reconcile", "--wait"]);
        assert!(out.status.success(), "{out:?}");
        let text = stdout(&out);
        assert!(
            text.contains("held back: ") && text.contains(said),
            "{text}"
        );
        sleep(Duration::from_millis(700));
    }
    assert_eq!(cluster.slurmd_pids("c1"), runs, "{}", burst.log());
    assert_eq!(burst.events("c1", "down"), 0);

    // But Slurm's own call is obeyed: whoever cannot ask must not keep a machine.
    assert!(burst.run("slurmburst-suspend", &["c1"]).status.success());
    cluster.wait_for("the slurmd of c1 to end", Duration::from_secs(15), || {
        cluster.slurmd_pids("c1").is_empty()
    });
}

fn scontrol_prints_nothing(version: SlurmVersion) {
    nothing_is_powered_down(version, "#!/bin/sh\nexit 0\n", "so nothing is done");
}

fn scontrol_hangs(version: SlurmVersion) {
    nothing_is_powered_down(version, "#!/bin/sh\nexec sleep 60\n", "no answer within 1s");
}

/// What it says of the controller is true, and that there are no nodes is not.
fn scontrol_shows_no_nodes(version: SlurmVersion) {
    let script = "#!/bin/sh\ncase \"$*\" in\n*show*) echo 'No nodes in the system' ;;\n*) exec /usr/bin/scontrol \"$@\" ;;\nesac\n";
    nothing_is_powered_down(version, script, "Slurm shows no nodes");
}

/// As user slurm and without PrivateData=cloud 22.05 hides what is powered off.
/// The newer one shows it, so there the same pass powers the same node down.
fn hidden_nodes_are_unknown(version: SlurmVersion) {
    let (Some(release), Some(bin)) = (version.or_skip(), Build::Fake.or_skip()) else {
        return;
    };
    let hides = release.year < 23;
    let builder = Cluster::builder(version)
        .user(SlurmUser::Slurm)
        .suspend_time(300)
        .private_data_cloud(false);
    let dir = builder.dir().display();
    let rest = format!(
        "[provider.here]\nkind = \"local\"\nrun_dir = \"{dir}/run/burst\"\n[provider.cloud]\nkind = \"fake\"\n\
         [[nodes]]\nhostlist = \"c1\"\n  [[nodes.placement]]\n  provider = \"here\"\n\
         [[nodes]]\nhostlist = \"c[2-3]\"\n  [[nodes.placement]]\n  provider = \"cloud\"\n"
    );
    let site = site_text(builder.dir(), TOP, &rest);
    let burst = Burst::start(builder, &bin, &site);
    let cluster = &burst.cluster;

    // An instance of a node that Slurm takes for powered off.
    assert!(
        burst
            .run("slurmburst-resume", &["--wait", "c2"])
            .status
            .success(),
        "{}",
        burst.log()
    );
    let full_passes = || {
        for _ in 0..3 {
            let out = burst.slurmburst(&["reconcile", "--wait"]);
            assert!(out.status.success(), "{out:?}");
            sleep(Duration::from_millis(700));
        }
    };
    if hides {
        // Slurm shows none at all: as good as no answer.
        assert_eq!(
            stdout(&cluster.scontrol(&["show", "node", "-o"])).trim(),
            "No nodes in the system"
        );
        full_passes();
        assert_eq!(burst.events("c2", "down"), 0, "{}", burst.log());
    }
    // Slurm shows c1 alone.
    cluster.scontrol(&["update", "nodename=c1", "state=power_up"]);
    cluster.wait_for("the slurmd of c1", Duration::from_secs(20), || {
        cluster.slurmd_pids("c1").len() == 1
            && cluster.node_states().get("c1").is_some_and(NodeInfo::is_up)
    });
    let runs = cluster.slurmd_pids("c1");
    full_passes();
    assert_eq!(cluster.node_states().contains_key("c2"), !hides);
    assert_eq!(cluster.slurmd_pids("c1"), runs, "{}", burst.log());
    assert_eq!(burst.events("c1", "down"), 0, "{}", burst.log());
    assert_eq!(
        burst.events("c2", "down"),
        usize::from(!hides),
        "{}",
        burst.log()
    );
    let books = fs::read_to_string(cluster.dir().join("state/burst/fake-cloud.json")).unwrap();
    assert!(books.contains("\"c2\""), "{books}");
}

on_both!(
    scontrol_prints_nothing,
    scontrol_hangs,
    scontrol_shows_no_nodes,
    hidden_nodes_are_unknown,
);
