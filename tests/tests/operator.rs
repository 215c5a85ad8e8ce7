//! The operator's command against a real slurmctld.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use slurmburst_tests::burst::{Build, Burst, local_site};
use slurmburst_tests::{Cluster, SlurmUser, SlurmVersion, stdout};

fn operator(version: SlurmVersion, user: SlurmUser) {
    let (Some(_), Some(bin)) = (version.or_skip(), Build::Site.or_skip()) else {
        return;
    };
    let builder = Cluster::builder(version)
        .user(user)
        .suspend_time(300)
        .resume_timeout(30);
    let site = local_site(builder.dir(), "c[1-3]", "");
    let burst = Burst::start(builder, &bin, &site);

    let check = burst.slurmburst(&["check"]);
    let text = stdout(&check);
    assert!(check.status.success(), "{text}");
    assert!(text.contains("all of ours among them"), "{text}");

    // Powered down, as Slurm says it, and nothing in the cloud.
    let status = burst.slurmburst(&["status"]);
    let text = stdout(&status);
    assert_eq!(text.matches("POWERED_DOWN").count(), 3, "{text}");
    assert!(
        text.contains("3 nodes: 3 never wished; 0 instances"),
        "{text}"
    );

    // Paused, a wish waits; unpaused, it comes true without anybody else's doing.
    assert!(burst.slurmburst(&["pause"]).status.success());
    burst
        .cluster
        .run("scontrol", &["update", "nodename=c1", "state=power_up"]);
    let phase = |burst: &Burst, words: &str| {
        burst
            .cluster
            .wait_for(words, std::time::Duration::from_secs(30), || {
                let text = stdout(&burst.slurmburst(&["status", "c1"]));
                text.lines()
                    .any(|l| l.starts_with("c1 ") && l.contains(words))
            });
    };
    phase(&burst, " queued-up ");
    assert!(burst.slurmburst(&["unpause"]).status.success());
    phase(&burst, " up ");
    let text = stdout(&burst.slurmburst(&["status"]));
    assert!(text.contains("1 instance, 1 billed"), "{text}");

    let dry = burst.slurmburst(&["reconcile", "--dry-run", "--wait"]);
    assert!(
        stdout(&dry).contains("everything is as it should be"),
        "{}",
        stdout(&dry)
    );
    let text = stdout(&burst.slurmburst(&["history", "c1"]));
    assert!(
        text.contains(" wish-up ") && text.contains(" up\n"),
        "{text}"
    );
}

#[test]
fn operators_command_as_root_packaged() {
    operator(SlurmVersion::Packaged, SlurmUser::Root);
}

#[test]
fn operators_command_as_slurm_packaged() {
    operator(SlurmVersion::Packaged, SlurmUser::Slurm);
}

#[test]
fn operators_command_as_slurm_newer() {
    operator(SlurmVersion::Newer, SlurmUser::Slurm);
}
