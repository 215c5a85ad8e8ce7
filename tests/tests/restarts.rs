//! slurmctld restarted or killed while nodes boot.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::time::Duration;

use slurmburst_tests::burst::Burst;
use slurmburst_tests::instances::Watch;
use slurmburst_tests::{Signal, SlurmVersion, local, on_both};

on_both!(
    slurmctld_restarted_while_a_node_boots,
    slurmctld_killed_while_a_node_boots,
    slurmctld_killed_at_the_call,
    slurmctld_asks_again_for_what_has_booted,
);

fn ends_well(burst: &Burst, watch: &Watch, instances: usize) {
    burst.wait_up(&["c1"]);
    burst.job_runs_on(&["c1"]);
    watch.saw(&[("c1", instances)]);
    burst.all_down("c1", &["c1"]);
    assert_eq!(burst.events("c1", "failed"), 0, "{}", burst.log());
}

/// As `systemctl restart slurmctld` does it.
fn slurmctld_restarted_while_a_node_boots(version: SlurmVersion) {
    let Some(burst) = local::burst(version, true, |b| b, |_| "boot_delay = \"4s\"".to_owned())
    else {
        return;
    };
    let watch = Watch::start(&burst);
    burst.set_state("c1", "power_up");
    burst.wait_event("c1", "accepted", 1);
    let job = burst
        .cluster
        .sbatch(&["-w", "c1", "--mem=10"], "#!/bin/sh\ntrue\n");
    burst.cluster.restart_slurmctld();
    burst.wait_up(&["c1"]);
    burst.wait_job(job, 50);
    ends_well(&burst, &watch, 1);
}

/// A newer slurmctld has forgotten the power-up, and asks for it again.
fn slurmctld_killed_while_a_node_boots(version: SlurmVersion) {
    let Some(burst) = local::burst(version, true, |b| b, |_| "boot_delay = \"6s\"".to_owned())
    else {
        return;
    };
    killed(&burst, "accepted");
}

/// The instance is there before slurmctld is again.
fn slurmctld_killed_at_the_call(version: SlurmVersion) {
    let Some(burst) = local::burst(version, true, |b| b, |_| String::new()) else {
        return;
    };
    killed(&burst, "recorded");
}

fn killed(burst: &Burst, when: &str) {
    let watch = Watch::start(burst);
    let job = burst
        .cluster
        .sbatch(&["-w", "c1", "--mem=10"], "#!/bin/sh\ntrue\n");
    burst.wait_event("c1", when, 1);
    // What slurmctld has not saved yet it forgets, jobs too.
    let saved = burst.cluster.dir().join("state/job_state");
    burst
        .cluster
        .wait_for("the job to be saved", Duration::from_secs(10), || {
            saved.exists()
        });
    burst.cluster.kill_slurmctld(Signal::SIGKILL);
    burst.cluster.start_slurmctld();
    burst.wait_job(job, 50);
    ends_well(burst, &watch, 1);
}

/// A machine whose slurmd comes six seconds after its boot and tells that boot's time, as a real one does.
const MACHINE: &str = "#!/bin/sh
up=$(cut -d. -f1 /proc/uptime)
sleep 6
shift 2 # -D -b
exec unshare --time --boottime \"-$up\" /usr/sbin/slurmd -D \"$@\"
";

/// The machine has booted when slurmctld, which has forgotten that it asked, asks again: slurmctld then goes on waiting
/// for a boot that is newer than its wish. So the machine is replaced, once, and in time.
fn slurmctld_asks_again_for_what_has_booted(version: SlurmVersion) {
    let Some((builder, built)) = local::builder(version, true) else {
        return;
    };
    let machine = builder.script("slurmd-of-a-machine", MACHINE);
    let text = local::site(
        builder.dir(),
        "c[1-3]",
        &format!("slurmd = \"{}\"", machine.display()),
    );
    let burst = Burst::start(builder, &built, &text);
    let watch = Watch::start(&burst);
    burst.set_state("c1", "power_up");
    burst.wait_event("c1", "up", 1);
    burst.cluster.kill_slurmctld(Signal::SIGKILL);
    burst.cluster.start_slurmctld();
    burst.wait_event("c1", "recorded", 2);
    ends_well(&burst, &watch, 2);
}
