//! The harness itself: how clusters stop, and that nothing of them is left behind, whatever happens to the test.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use slurmburst_tests::{Cluster, NodeInfo, Signal, SlurmUser, SlurmVersion, stdout};

const SECONDS_20: Duration = Duration::from_secs(20);

/// Set in the process that one of the tests starts in order to kill it.
const VICTIM: &str = "SLURMBURST_TEST_VICTIM";

/// Starts a job on a node that is up, and returns when its process is there.
fn with_job(cluster: &Cluster, seconds: u32) {
    let power_up = cluster.scontrol(&["update", "nodename=c1", "state=power_up"]);
    assert!(power_up.status.success(), "{power_up:?}");
    // Powered up by an administrator, so that the job does not wait for Slurm's half-minute look at booting jobs.
    cluster.wait_for_nodes("c1 to be up", SECONDS_20, &["c1"], NodeInfo::is_up);
    let job = cluster.sbatch(&["-w", "c1"], &format!("#!/bin/sh\nsleep {seconds}\n"));
    cluster.wait_for("the job to run", SECONDS_20, || {
        cluster.job_state(job).as_deref() == Some("RUNNING") && sleeper(seconds).is_some()
    });
}

/// The `sleep` of one test, by its seconds. One that has ended and waits for init has no command line.
fn sleeper(seconds: u32) -> Option<i32> {
    let wanted = format!("sleep\0{seconds}\0");
    processes().find(|pid| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == wanted.as_bytes())
    })
}

fn processes() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// The processes that name the cluster's folder, have a file open in it, or are in it.
fn processes_of(dir: &Path) -> Vec<i32> {
    let text = dir.display().to_string();
    let names = |file: PathBuf| {
        fs::read(file).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(&text))
    };
    let points = |link: PathBuf| fs::read_link(link).is_ok_and(|target| target.starts_with(dir));
    processes()
        .filter(|pid| {
            let proc = PathBuf::from(format!("/proc/{pid}"));
            let mut files = fs::read_dir(proc.join("fd"))
                .into_iter()
                .flatten()
                .flatten();
            names(proc.join("cmdline"))
                || names(proc.join("environ"))
                || points(proc.join("cwd"))
                || files.any(|file| points(file.path()))
        })
        .collect()
}

fn a_running_job_ends_with_the_cluster(version: SlurmVersion, user: SlurmUser, seconds: u32) {
    if version.or_skip().is_none() {
        return;
    }
    let cluster = Cluster::builder(version)
        .user(user)
        .plain_programs()
        .start();
    let dir = cluster.dir().to_owned();
    with_job(&cluster, seconds);
    assert_eq!(cluster.slurmd_pids("c1").len(), 1);
    assert_eq!(cluster.slurmd_pids("c2"), [0; 0]);
    assert!(
        processes_of(&dir).len() >= 4,
        "munged, slurmctld, slurmd, slurmstepd"
    );
    drop(cluster);
    assert_eq!(sleeper(seconds), None);
    assert_eq!(processes_of(&dir), [0; 0]);
    assert_eq!(dir.exists(), env::var_os("SLURMBURST_TEST_KEEP").is_some());
}

#[test]
fn packaged_root_ends_with_a_job() {
    a_running_job_ends_with_the_cluster(SlurmVersion::Packaged, SlurmUser::Root, 7_101);
}

#[test]
fn packaged_slurm_ends_with_a_job() {
    a_running_job_ends_with_the_cluster(SlurmVersion::Packaged, SlurmUser::Slurm, 7_102);
}

#[test]
fn newer_root_ends_with_a_job() {
    a_running_job_ends_with_the_cluster(SlurmVersion::Newer, SlurmUser::Root, 7_103);
}

#[test]
fn newer_slurm_ends_with_a_job() {
    a_running_job_ends_with_the_cluster(SlurmVersion::Newer, SlurmUser::Slurm, 7_104);
}

/// Such a program has no file of the cluster open, only `SLURM_CONF` in its environment.
fn a_program_that_hangs_ends_with_the_cluster(version: SlurmVersion, seconds: u32) {
    if version.or_skip().is_none() {
        return;
    }
    let builder = Cluster::builder(version).suspend_program("/bin/true");
    let text = format!("#!/bin/sh\nexec </dev/null >/dev/null 2>&1\nexec sleep {seconds}\n");
    let resume = builder.script("resume", &text);
    let cluster = builder.resume_program(resume).start();
    let power_up = cluster.scontrol(&["update", "nodename=c1", "state=power_up"]);
    assert!(power_up.status.success(), "{power_up:?}");
    cluster.wait_for("the program to hang", SECONDS_20, || {
        sleeper(seconds).is_some()
    });
    drop(cluster);
    assert_eq!(sleeper(seconds), None);
}

#[test]
fn packaged_ends_with_a_program() {
    a_program_that_hangs_ends_with_the_cluster(SlurmVersion::Packaged, 7_107);
}

#[test]
fn newer_ends_with_a_program() {
    a_program_that_hangs_ends_with_the_cluster(SlurmVersion::Newer, 7_108);
}

fn slurmctld_starts_again(version: SlurmVersion) {
    if version.or_skip().is_none() {
        return;
    }
    let cluster = Cluster::builder(version)
        .user(SlurmUser::Slurm)
        .nodes("c[1-2],d5")
        .start();
    let drained =
        |node: &NodeInfo| node.is(&["DRAIN"]) && node.reason.as_deref() == Some("a = b [c]");
    let drain = cluster.scontrol(&["update", "nodename=d5", "state=drain", "reason=a = b [c]"]);
    assert!(drain.status.success(), "{drain:?}");
    cluster.wait_for_nodes("d5 to drain", SECONDS_20, &["d5"], drained);

    let start = Instant::now();
    cluster.restart_slurmctld();
    println!("restarted in {:.2} s", start.elapsed().as_secs_f32());
    cluster.wait_for_nodes("d5 still to drain", Duration::ZERO, &["d5"], drained);

    cluster.kill_slurmctld(Signal::SIGKILL);
    let ping = stdout(&cluster.scontrol(&["ping"]));
    assert!(ping.contains(" is DOWN"), "{ping}");
    let start = Instant::now();
    cluster.start_slurmctld();
    println!(
        "started after SIGKILL in {:.2} s",
        start.elapsed().as_secs_f32()
    );
    assert_eq!(
        cluster.node_states().into_keys().collect::<Vec<_>>(),
        ["c1", "c2", "d5"]
    );
}

#[test]
fn packaged_starts_again() {
    slurmctld_starts_again(SlurmVersion::Packaged);
}

#[test]
fn newer_starts_again() {
    slurmctld_starts_again(SlurmVersion::Newer);
}

fn a_killed_test_leaves_no_process(version: SlurmVersion, test: &str, seconds: u32) {
    if version.or_skip().is_none() {
        return;
    }
    if env::var_os(VICTIM).is_some() {
        let cluster = Cluster::builder(version).plain_programs().start();
        with_job(&cluster, seconds);
        println!("dir={}", cluster.dir().display());
        sleep(Duration::from_secs(600));
    }
    let mut victim = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let dir = lines
        .map_while(Result::ok)
        .find_map(|line| line.split_once("dir=").map(|(_, dir)| PathBuf::from(dir)));
    let dir = dir.expect("the victim's cluster");
    assert!(processes_of(&dir).len() >= 4);
    victim.kill().unwrap();
    victim.wait().unwrap();
    let deadline = Instant::now() + SECONDS_20;
    while !processes_of(&dir).is_empty() {
        assert!(Instant::now() < deadline, "{:?}", processes_of(&dir));
        sleep(Duration::from_millis(50));
    }
    assert!(
        dir.join("log/slurmctld.log").exists(),
        "logs of a killed test are kept"
    );
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn packaged_killed() {
    a_killed_test_leaves_no_process(SlurmVersion::Packaged, "packaged_killed", 7_105);
}

#[test]
fn newer_killed() {
    a_killed_test_leaves_no_process(SlurmVersion::Newer, "newer_killed", 7_106);
}

#[test]
fn a_failure_says_how_the_cluster_looks_and_keeps_it() {
    if SlurmVersion::Packaged.or_skip().is_none() {
        return;
    }
    let builder = Cluster::builder(SlurmVersion::Packaged);
    let dir = builder.dir().to_owned();
    let failure = catch_unwind(AssertUnwindSafe(move || {
        let cluster = builder.start();
        cluster.wait_for("Godot", Duration::from_millis(100), || false);
    }));
    let message = failure.unwrap_err().downcast::<String>().unwrap();
    assert!(message.starts_with("waited 0.1 s for Godot\n"), "{message}");
    assert!(
        message.contains("  c1 CLOUD+IDLE+POWERED_DOWN"),
        "{message}"
    );
    assert!(dir.join("log/slurmctld.log").exists());
    assert_eq!(processes_of(&dir), [0; 0]);
    fs::remove_dir_all(dir).unwrap();
}
