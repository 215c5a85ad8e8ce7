//! What slurmctld hands to its programs, and in which state it starts them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs
)]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use slurmburst_tests::burst::{Build, Burst, local_site, site_text};
use slurmburst_tests::{Cluster, NodeInfo, Signal, SlurmUser, SlurmVersion, on_both};

/// One group with nodes of the simulated cloud.
fn fake_site(dir: &Path, hostlist: &str, top: &str, keys: &str) -> String {
    let rest = format!(
        "[provider.cloud]\nkind = \"fake\"\n{keys}\n[[nodes]]\nhostlist = \"{hostlist}\"\n  [[nodes.placement]]\n  provider = \"cloud\"\n"
    );
    site_text(dir, top, &rest)
}

/// Every recorded resume file of every version; none, and said aloud, where they are not at hand.
fn samples() -> Vec<PathBuf> {
    let shared = std::env::var_os("SLURMBURST_SHARED")
        .map_or_else(|| PathBuf::from("../../shared"), PathBuf::from);
    let folder = shared.join("slurm/samples");
    // The programs are called with the files, from somewhere else.
    let folder = folder.canonicalize().unwrap_or(folder);
    let Ok(entries) = fs::read_dir(&folder) else {
        println!(
            "SKIPPED: no samples at {} (set SLURMBURST_SHARED)",
            folder.display()
        );
        return Vec::new();
    };
    let folders = entries.flatten().map(|e| e.path()).filter(|p| {
        p.file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with("resume_"))
    });
    let files = folders.flat_map(|f| fs::read_dir(f).unwrap().flatten().map(|e| e.path()));
    let mut files: Vec<PathBuf> = files
        .filter(|p| p.extension().is_some_and(|e| e == "json"))
        .collect();
    files.sort();
    assert!(files.len() > 20, "{files:?}");
    files
}

/// Files of our own, and whether they can be read.
const OURS: [(&str, &str, bool); 6] = [
    (
        "2205",
        r#"{"jobs":[{"job_id":1,"nodes":"c[1-3]"}],"all_nodes":"c[1-3]"}"#,
        true,
    ),
    (
        "2411",
        r#"{"jobs":[{"extra":null,"job_id":1,"features":null,"nodes_alloc":"c[1-3]","nodes_resume":"c1","oversubscribe":"OK","partition":"cloud","reservation":null}],"all_nodes_resume":"c1"}"#,
        true,
    ),
    (
        "later",
        r#"{"jobs":[{"job_id":7,"unheard":{"of":[1]}}],"all_nodes_resume":"c1","more":9}"#,
        true,
    ),
    ("no-jobs", r#"{"jobs":[],"all_nodes":"c1"}"#, true),
    ("garbage", "\u{0}\u{1}{\"jobs\"", false),
    ("empty", "", false),
];

fn resume_files(version: SlurmVersion) {
    let (Some(_), Some(bin)) = (version.or_skip(), Build::Fake.or_skip()) else {
        return;
    };
    let builder = Cluster::builder(version)
        .user(SlurmUser::Slurm)
        .suspend_time(300);
    let top = "return_after = \"0s\"\nmax_power_ups_per_hour = 0\n";
    let site = fake_site(builder.dir(), "c[1-3]", top, "");
    let burst = Burst::start(builder, &bin, &site);
    let work = burst.cluster.dir().join("work");
    let mut files: Vec<(PathBuf, bool)> = samples().into_iter().map(|file| (file, true)).collect();
    for (name, text, good) in OURS {
        let file = work.join(name);
        fs::write(&file, text).unwrap();
        files.push((file, good));
    }
    files.push((work.clone(), false));
    files.push((work.join("no-such-file"), false));
    for (file, good) in &files {
        let before = burst.log().len();
        let ended = burst.call("slurmburst-resume", "c1", Some(file));
        let said = burst.log().split_off(before);
        let shown = file.display();
        assert_eq!(ended.status.code(), Some(0), "{shown}: {said}");
        assert!(
            said.contains("\"node\":\"c1\""),
            "{shown} not recorded: {said}"
        );
        let words = if *good {
            "resume file: "
        } else {
            "no resume file: "
        };
        assert!(
            said.contains(&format!("\"note\":\"{words}")),
            "{shown}: {said}"
        );
    }
    assert_eq!(burst.events("c1", "recorded"), files.len());
    println!("{} files", files.len());
}

/// The longest argument that the kernel lets through, of names that no hostlist folds.
fn longest_argument(version: SlurmVersion) {
    const NODES: usize = 4_681;
    let (Some(_), Some(bin)) = (version.or_skip(), Build::Fake.or_skip()) else {
        return;
    };
    let names: Vec<String> = (0..NODES)
        .map(|n| format!("queue1-dy-c5xlarge-{n:05}-ib"))
        .collect();
    let list = names.join(",");
    assert_eq!(list.len(), 131_067);
    let builder = Cluster::builder(version)
        .user(SlurmUser::Slurm)
        .nodes(&list)
        .suspend_time(600)
        .resume_timeout(300)
        // Otherwise Slurm asks for 300 a minute.
        .conf_line("ResumeRate=0");
    let site = fake_site(builder.dir(), "queue1-dy-c5xlarge-[00000-04680]-ib", "", "");
    let burst = Burst::start(builder, &bin, &site);
    let out = burst
        .cluster
        .scontrol(&["update", "nodename=ALL", "state=power_up"]);
    assert!(out.status.success(), "{out:?}");
    let took = burst.watch_call("slurmburst-resume", Duration::from_secs(30));
    println!("slurmburst-resume took {:.2} s", took.as_secs_f32());
    // return_after and half a second; a build without optimisation gets a second more.
    let limit = if cfg!(debug_assertions) { 3_500 } else { 2_500 };
    assert!(took < Duration::from_millis(limit), "{took:?}");
    let log = burst.log();
    assert_eq!(log.matches(" invoked resume ").count(), 1);
    assert_eq!(log.matches("\"what\":\"recorded\"").count(), NODES);
    assert!(log.contains(&format!("\"node\":\"{}\"", names[NODES - 1])));
}

/// 22.05 closes 0, 1 and 2 and blocks twelve signals.
fn bare_start(version: SlurmVersion) {
    let (Some(_), Some(bin)) = (version.or_skip(), Build::Fake.or_skip()) else {
        return;
    };
    let builder = Cluster::builder(version)
        .user(SlurmUser::Slurm)
        .suspend_time(300);
    let site = fake_site(builder.dir(), "c[1-3]", "", "boot_delay = \"60s\"\n");
    let burst = Burst::start(builder, &bin, &site);

    // That the launcher does what it says.
    let copy = |what: &str| {
        let to = burst.cluster.dir().join("work").join(what);
        let from = format!("/proc/self/{what}");
        // It copies well, then fails to close the standard output that it does not have.
        burst.call_bare(Path::new("/bin/cp"), &[&from, &to.display().to_string()]);
        fs::read_to_string(to).unwrap()
    };
    // 1 2 3 6 10 12 13 14 15 17 20 24
    assert!(copy("status").contains("SigBlk:\t0000000000897a27\n"));
    assert_eq!(
        copy("environ"),
        format!("SLURM_CONF={}\0", burst.cluster.conf_path().display())
    );
    for descriptor in ["0", "1", "2"] {
        let link = format!("/proc/self/fd/{descriptor}");
        let open = burst.call_bare(Path::new("/usr/bin/test"), &["-L", &link]);
        assert_eq!(open.status.code(), Some(1), "{descriptor} is open");
    }

    let ended = burst.call_bare(&burst.program("slurmburst-resume"), &["c1"]);
    assert_eq!(ended.status.code(), Some(0), "{}", burst.log());
    assert_eq!(burst.events("c1", "recorded"), 1, "{}", burst.log());
    burst
        .cluster
        .wait_for("the cloud to accept", Duration::from_secs(10), || {
            burst.events("c1", "accepted") == 1
        });
    let convergers = burst.pids("slurmburst-converge");
    let [converger] = convergers[..] else {
        panic!("one converger: {convergers:?}")
    };
    let status = fs::read_to_string(format!("/proc/{converger}/status")).unwrap();
    assert!(status.contains("SigBlk:\t0000000000000000"), "{status}");
    let group = nix::unistd::getpgid(Some(nix::unistd::Pid::from_raw(converger))).unwrap();
    assert_eq!(group.as_raw(), converger, "its own process group");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(converger), Signal::SIGTERM).unwrap();
    burst.cluster.wait_for(
        "the converger to end by SIGTERM",
        Duration::from_secs(2),
        || burst.pids("slurmburst-converge").is_empty(),
    );
    // The next program's converger goes on where it was.
    assert_eq!(
        burst
            .call_bare(&burst.program("slurmburst-suspend"), &["c1"])
            .status
            .code(),
        Some(0)
    );
    burst
        .cluster
        .wait_for("c1 to be down", Duration::from_secs(10), || {
            burst.events("c1", "down") == 1
        });
}

/// Started as root where SlurmUser is slurm.
fn root_becomes_slurm_user(version: SlurmVersion) {
    let (Some(_), Some(bin)) = (version.or_skip(), Build::Site.or_skip()) else {
        return;
    };
    let builder = Cluster::builder(version)
        .user(SlurmUser::Slurm)
        .suspend_time(300);
    let rest = "boot_delay = \"3s\"\n";
    let site = local_site(builder.dir(), "c[1-3]", "")
        .replace("kind = \"local\"\n", &format!("kind = \"local\"\n{rest}"));
    let burst = Burst::start(builder, &bin, &site);
    let dir = burst.cluster.dir();
    let slurm = nix::unistd::User::from_name("slurm")
        .unwrap()
        .unwrap()
        .uid
        .as_raw();

    // The namespace without the change of user.
    let wrapper = burst.cluster.command_wrapper();
    let wrapper: Vec<String> = wrapper
        .into_iter()
        .take_while(|word| word != "setpriv")
        .collect();
    let mut words = wrapper;
    words.push("env".to_owned());
    words.push(format!(
        "SLURM_CONF={}",
        burst.cluster.conf_path().display()
    ));
    words.push(burst.program("slurmburst-resume").display().to_string());
    words.push("c1".to_owned());
    let out = std::process::Command::new(&words[0])
        .args(&words[1..])
        .output()
        .unwrap();
    assert!(out.status.success(), "{out:?}\n{}", burst.log());
    assert!(
        burst.log().contains(" User slurm invoked resume "),
        "{}",
        burst.log()
    );
    let convergers = burst.pids("slurmburst-converge");
    let [converger] = convergers[..] else {
        panic!("one converger: {convergers:?}")
    };
    let status = fs::read_to_string(format!("/proc/{converger}/status")).unwrap();
    assert!(
        status.contains(&format!("Uid:\t{slurm}\t{slurm}\t{slurm}\t{slurm}\n")),
        "{status}"
    );
    burst
        .cluster
        .wait_for("the slurmd of c1", Duration::from_secs(15), || {
            burst.events("c1", "up") == 1
        });
    let mut files = vec![dir.join("log/power_save.log")];
    for folder in ["state/burst", "run/burst"] {
        let mut folders = vec![dir.join(folder)];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next).unwrap().flatten() {
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                }
                files.push(entry.path());
            }
        }
    }
    assert!(files.len() > 4, "{files:?}");
    for file in files {
        let meta = fs::symlink_metadata(&file).unwrap();
        assert_eq!(meta.uid(), slurm, "{}", file.display());
    }
}

/// A site changes its log in the middle of a boot.
fn log_is_rotated(version: SlurmVersion) {
    let (Some(_), Some(bin)) = (version.or_skip(), Build::Site.or_skip()) else {
        return;
    };
    let builder = Cluster::builder(version)
        .user(SlurmUser::Slurm)
        .suspend_time(300);
    let site = local_site(builder.dir(), "c[1-3]", "").replace(
        "kind = \"local\"\n",
        "kind = \"local\"\nboot_delay = \"3s\"\n",
    );
    let burst = Burst::start(builder, &bin, &site);
    let cluster = &burst.cluster;
    let (log, old) = (
        cluster.log_path("power_save.log"),
        cluster.log_path("power_save.log.1"),
    );
    cluster.scontrol(&["update", "nodename=c1", "state=power_up"]);
    cluster.wait_for("c1 to be accepted", Duration::from_secs(10), || {
        burst.events("c1", "accepted") == 1
    });
    fs::rename(&log, &old).unwrap();
    cluster.wait_for_nodes(
        "c1 to be up",
        Duration::from_secs(20),
        &["c1"],
        NodeInfo::is_up,
    );
    cluster.wait_for("the new log to tell it", Duration::from_secs(5), || {
        burst.events("c1", "up") == 1
    });
    let old = fs::read_to_string(old).unwrap();
    assert!(
        old.contains(" invoked resume ") && old.ends_with('\n'),
        "{old}"
    );
    assert!(!old.contains("\"what\":\"up\""), "{old}");
    for line in burst.log().lines() {
        assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
    }
}

fn log_cannot_be_written(version: SlurmVersion) {
    let (Some(_), Some(bin)) = (version.or_skip(), Build::Site.or_skip()) else {
        return;
    };
    let builder = Cluster::builder(version)
        .user(SlurmUser::Slurm)
        .suspend_time(300)
        .suspend_timeout(3);
    // Root's folder, and SlurmUser is not root.
    let site =
        local_site(builder.dir(), "c[1-3]", "").replace("/log/power_save.log", "/power_save.log");
    let burst = Burst::start(builder, &bin, &site);
    let cluster = &burst.cluster;
    let start = Instant::now();
    cluster.scontrol(&["update", "nodename=c1", "state=power_up"]);
    cluster.wait_for_nodes(
        "c1 to be up",
        Duration::from_secs(20),
        &["c1"],
        NodeInfo::is_up,
    );
    println!("up after {:.1} s", start.elapsed().as_secs_f32());
    cluster.scontrol(&["update", "nodename=c1", "state=power_down"]);
    cluster.wait_for_nodes("c1 to be off", Duration::from_secs(20), &["c1"], |node| {
        node.is(&["POWERED_DOWN"])
    });
    cluster.wait_for("its slurmd to be gone", Duration::from_secs(5), || {
        cluster.slurmd_pids("c1").is_empty()
    });
    assert!(!cluster.dir().join("power_save.log").exists());
    let history = slurmburst_tests::stdout(&burst.slurmburst(&["history", "c1"]));
    assert!(
        history.contains("up") && history.contains("down"),
        "{history}"
    );
}

on_both!(
    resume_files,
    longest_argument,
    bare_start,
    root_becomes_slurm_user,
    log_is_rotated,
    log_cannot_be_written,
);
