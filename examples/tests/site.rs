//! The commands about a site, where no slurmctld runs.

mod support;

use std::fs;

use support::{Site, err, out, slurmburst};

#[test]
fn init_makes_a_site_that_check_reads() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let args = [
        "init",
        "--cluster",
        "hpc1",
        "--hostlist",
        "c[1-3]",
        "--slurm-conf",
        &path("slurm.conf"),
        "--state-dir",
        &path("state"),
        "--bin-dir",
        &path("bin"),
        "--out",
        &path("new"),
    ];
    let first = slurmburst(&args).output().unwrap();
    assert!(first.status.success(), "{}", err(&first));
    let said = out(&first);
    assert!(
        said.contains("What to do next") && said.contains("slurmburst --config"),
        "{said}"
    );
    let read = |name: &str| fs::read_to_string(dir.path().join("new").join(name)).unwrap();
    let site = read("slurmburst.toml");
    let id = site
        .lines()
        .find_map(|l| l.strip_prefix("cluster_id = \"hpc1-"))
        .unwrap();
    assert!(
        id.len() == 7
            && id
                .trim_end_matches('"')
                .chars()
                .all(|c| c.is_ascii_hexdigit()),
        "{id}"
    );
    let snippet = read("slurm.conf.snippet");
    for line in [
        &format!("ResumeProgram={}", path("bin/slurmburst-resume")),
        &format!("SuspendProgram={}", path("bin/slurmburst-suspend")),
        &format!("ResumeFailProgram={}", path("bin/slurmburst-resume-fail")),
        "PrivateData=cloud",
        "ResumeTimeout=60",
        "SuspendTime=600",
        "PartitionName=cloud Nodes=c[1-3] Default=NO MaxTime=INFINITE State=UP",
    ] {
        assert!(snippet.lines().any(|l| l == line), "{line}: {snippet}");
    }
    let service = read("systemd/slurmburst-reconcile.service");
    let start = format!(
        "ExecStart={} --config {} reconcile --quiet",
        path("bin/slurmburst"),
        path("slurmburst.toml")
    );
    assert!(service.lines().any(|l| l == start), "{service}");
    assert!(read("systemd/slurmctld.service.d/slurmburst.conf").contains("KillMode=process"));

    // What is there stays, unless it is said otherwise; a new tag is a new cluster.
    let again = slurmburst(&args).output().unwrap();
    assert_eq!(again.status.code(), Some(1));
    assert!(err(&again).contains("--force"), "{}", err(&again));
    assert_eq!(read("slurmburst.toml"), site);
    assert!(
        slurmburst(&[&args[..], &["--force"]].concat())
            .output()
            .unwrap()
            .status
            .success()
    );
    assert_ne!(read("slurmburst.toml"), site);

    // The snippet is a slurm.conf that the site file fits to.
    let user = String::from_utf8(
        std::process::Command::new("id")
            .arg("-un")
            .output()
            .unwrap()
            .stdout,
    )
    .unwrap();
    let conf = format!("ClusterName=hpc1\nSlurmUser={user}{snippet}");
    fs::write(dir.path().join("slurm.conf"), conf).unwrap();
    let checked = slurmburst(&["--config", &path("new/slurmburst.toml"), "check", "--json"])
        .output()
        .unwrap();
    let checked: serde_json::Value = serde_json::from_str(&out(&checked)).unwrap();
    let found = |what: &str| {
        let findings = checked["findings"].as_array().unwrap();
        findings
            .iter()
            .find(|f| f["what"] == what)
            .unwrap_or_else(|| panic!("{what}: {checked}"))
            .clone()
    };
    for what in [
        "slurm.conf",
        "site file",
        "nodes",
        "times",
        "SuspendTime",
        "state_dir",
        "ledger",
    ] {
        assert_eq!(found(what)["level"], "ok", "{checked}");
    }
    // The programs are not there.
    let program = found("ResumeProgram");
    assert_eq!(program["level"], "error");
    assert!(
        program["fix"].as_str().unwrap().contains("ResumeProgram="),
        "{program}"
    );
}

#[test]
fn init_asks_nobody_without_a_terminal_and_writes_nothing_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("slurm.conf").display().to_string();
    let new = dir.path().join("new").display().to_string();
    let base = ["init", "--slurm-conf", &conf, "--out", &new];
    for (more, word) in [
        (&["--hostlist", "c1"][..], "--cluster"),
        (&["--cluster", "x"], "--hostlist"),
        (&["--cluster", "x", "--hostlist", "c[2-1]"], "^^^"),
        (
            &["--cluster", "x", "--hostlist", "c1", "--cluster-id", "X Y"],
            "cluster_id",
        ),
        (
            &["--cluster", "x", "--hostlist", "c1", "--state-dir", "rel"],
            "absolute",
        ),
        (
            &["--cluster", "x", "--hostlist", "c1", "--bin-dir", "/a b"],
            "--bin-dir",
        ),
        (
            &["--cluster", "x", "--hostlist", "c1", "--provider", "moon"],
            "moon",
        ),
    ] {
        let output = slurmburst(&[&base[..], more].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{more:?}");
        assert!(err(&output).contains(word), "{more:?}: {}", err(&output));
    }
    assert!(!dir.path().join("new").exists());
    // What slurm.conf knows needs no flag.
    fs::write(
        &conf,
        "ClusterName=known\nNodeName=k[1-9] State=CLOUD\nNodeName=login\n",
    )
    .unwrap();
    let output = slurmburst(&base).output().unwrap();
    assert!(output.status.success(), "{}", err(&output));
    let site = fs::read_to_string(dir.path().join("new/slurmburst.toml")).unwrap();
    assert!(
        site.contains("cluster = \"known\"") && site.contains("hostlist = \"k[1-9]\""),
        "{site}"
    );
}

#[test]
fn check_says_what_is_wrong_and_how_to_mend_it() {
    let site = Site::new();
    let open = site.path("open");
    fs::write(&open, "#!/bin/sh\n").unwrap();
    let mut mode = fs::metadata(&open).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o777);
    fs::set_permissions(&open, mode).unwrap();
    let conf = fs::read_to_string(site.path("slurm.conf")).unwrap();
    let more = format!(
        "ResumeProgram={}\nSuspendProgram=relative\nNodeName=d1 State=CLOUD\n",
        open.display()
    );
    site.write("slurm.conf", &(conf.replace("c[1-3]", "c[1-2]") + &more));
    let output = site.run(&["check"]);
    assert_eq!(output.status.code(), Some(1));
    let text = out(&output);
    for words in [
        "Slurm refuses to run it",
        &format!("fix: chmod go-w {}", open.display()),
        "relative is no absolute path",
        "ResumeFailProgram",
        "c3: in ",
        "d1: State=CLOUD in ",
        "this would not work: ",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains('\x1b'), "no colours in a pipe");
    assert!(!site.path("state").exists(), "check makes nothing");
}

#[test]
fn plan_says_what_would_be_called_and_does_nothing() {
    let site = Site::new();
    let plan = site.json(&["plan", "--resume", "c[1-2],other", "--json"]);
    assert_eq!(plan["calls"][0]["nodes"], "c[1-2]");
    assert_eq!(plan["calls"][0]["placement"], "here");
    assert_eq!(plan["calls"][0]["request"]["slurmd"], "/usr/sbin/slurmd");
    assert_eq!(plan["refused"][0]["nodes"], "other");
    assert_eq!(
        site.run(&["plan", "--resume", "other"]).status.code(),
        Some(1)
    );
    let down = site.json(&["plan", "--suspend", "c[1-3]", "--json"]);
    assert_eq!(down["power_downs"][0]["mode"], "terminate");
    assert_eq!(down["power_downs"][0]["nodes"], "c[1-3]");
    let text = out(&site.run(&["plan", "--resume", "c[1-3]"]));
    assert!(
        text.starts_with("PLACEMENT  COUNT  NODES\nhere       3      c[1-3]\n"),
        "{text}"
    );
    assert!(
        !site.path("state").exists() && !site.path("log").exists(),
        "plan makes nothing"
    );
    site.write(
        "slurmburst.toml",
        &site.text("local", "unknown_nodes = \"ignore\""),
    );
    let plan = site.json(&["plan", "--resume", "other", "--json"]);
    assert_eq!(
        (&plan["ignored"], &plan["refused"]),
        (&"other".into(), &serde_json::json!([]))
    );
}

#[test]
fn status_shows_what_there_is_when_slurm_does_not_answer() {
    let site = Site::new();
    let status = site.json(&["status", "--json"]);
    assert_eq!(status["slurm"]["answered"], false);
    assert!(
        status["slurm"]["problem"]
            .as_str()
            .is_some_and(|p| !p.is_empty()),
        "{status}"
    );
    assert_eq!(status["ledger"]["answered"], true);
    assert_eq!(status["providers"][0]["complete"], true);
    assert_eq!(status["nodes"].as_array().map(Vec::len), Some(3));
    assert_eq!(status["nodes"][0]["phase"], "-");
    assert_eq!(status["totals"]["nodes"], 3);
    let one = site.run(&["status", "c2", "--no-cloud"]);
    assert!(one.status.success());
    let text = out(&one);
    assert!(
        text.starts_with("NODE  SLURM  PHASE\nc2    ?      -\n"),
        "{text}"
    );
    assert!(text.contains("Slurm does not answer: "), "{text}");
    assert!(!site.path("state").exists(), "status makes nothing");
    assert!(out(&site.run(&["status", "--fold"])).contains("\nc[1-3]  ?      -\n"));
    // A provider that cannot be asked is said in its place.
    site.write("run", "not a folder");
    let status = site.json(&["status", "--json"]);
    assert_eq!(status["providers"][0]["complete"], false, "{status}");
}

#[test]
fn a_pause_is_remembered_and_shown() {
    let site = Site::new();
    assert!(out(&site.run(&["pause"])).starts_with("paused: "));
    assert!(out(&site.run(&["pause"])).starts_with("was paused already"));
    assert_eq!(
        site.json(&["status", "--json", "--no-cloud"])["paused"],
        true
    );
    assert_eq!(
        site.json(&["plan", "--resume", "c1", "--json"])["paused"],
        true
    );
    let log = fs::read_to_string(site.path("log")).unwrap();
    assert_eq!(
        log.matches("paused: nothing new is started").count(),
        1,
        "{log}"
    );
    assert!(out(&site.run(&["unpause"])).starts_with("no longer paused"));
    assert_eq!(
        site.json(&["status", "--json", "--no-cloud"])["paused"],
        false
    );
}

#[test]
fn reconcile_does_nothing_while_slurm_does_not_answer() {
    let site = Site::new();
    let answer = site.json(&["reconcile", "--json"]);
    assert_eq!(answer["result"], "done");
    let held = answer["report"]["held_back"][0].as_str().unwrap();
    assert!(held.contains("controller did not answer"), "{held}");
    let quiet = site.run(&["reconcile", "--quiet"]);
    assert!(quiet.status.success() && out(&quiet).is_empty() && err(&quiet).is_empty());
    let dry = out(&site.run(&["reconcile", "--dry-run"]));
    assert!(
        dry.contains("held back: ") && dry.contains("nothing was changed"),
        "{dry}"
    );
    assert_eq!(
        site.json(&["history", "--json"])["events"],
        serde_json::json!([])
    );
    assert_eq!(out(&site.run(&["history", "c1"])), "nothing has happened\n");
}

#[test]
fn what_a_kind_does_not_offer_is_said() {
    let site = Site::new();
    for args in [
        &["vm", "list"][..],
        &["vm", "show", "c1"],
        &["vm", "restart", "c1", "--yes"],
        &["images"],
        &["quota"],
    ] {
        let output = site.run(args);
        let said = out(&output);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(
            said.contains("this kind of provider does not offer"),
            "{args:?}: {said}"
        );
    }
    let other = site.run(&["vm", "list", "--provider", "there"]);
    assert_eq!(other.status.code(), Some(2));
    assert!(err(&other).contains("it has: here"), "{}", err(&other));
}

#[test]
fn the_converger_can_be_started_from_this_program() {
    let site = Site::new();
    let config = site.path("slurmburst.toml").display().to_string();
    let output = site.run(&["--converge", "--config", &config]);
    assert!(output.status.success(), "{}", err(&output));
    assert!(site.path("state/ledger.sqlite3").exists());
}

/// A simulated cloud stands for a real one: machines run, and no Slurm answers.
#[test]
#[cfg(feature = "fake")]
fn what_was_done_is_shown() {
    let site = Site::new();
    site.write("slurmburst.toml", &site.text("fake", ""));
    let resume = |nodes: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_slurmburst-resume"));
        command
            .args(["--wait", nodes])
            .env_clear()
            .env("SLURM_CONF", site.path("slurm.conf"));
        command.output().unwrap().status.code()
    };
    assert_eq!(resume("c[1-2]"), Some(0));
    assert_eq!(resume("c3,other"), Some(1), "a node of no group is refused");
    let status = site.json(&["status", "--json"]);
    assert_eq!(status["nodes"][0]["phase"], "up", "{status}");
    assert_eq!(status["nodes"][0]["instances"][0]["state"], "running");
    assert_eq!(status["nodes"][0]["placement"], "here");
    assert_eq!(status["totals"]["billed"], 3);
    let other = site.json(&["status", "other", "--json"]);
    assert_eq!(other["nodes"][0]["phase"], "failed", "{other}");
    assert_eq!(other["nodes"][0]["error"]["code"], "UnknownNode");
    assert_eq!(other["nodes"][0]["in_site"], false);
    let text = out(&site.run(&["status"]));
    let line = text.lines().find(|l| l.starts_with("c1 ")).unwrap();
    assert!(
        line.contains(" up ") && line.contains(" running ") && line.ends_with(" here"),
        "{text}"
    );
    assert!(
        out(&site.run(&["status", "--fold"])).contains("\nc[1-3]  ?"),
        "{text}"
    );
    let history = site.json(&["history", "c1", "--json"]);
    let events = history["events"].as_array().unwrap();
    let what: Vec<&str> = events.iter().filter_map(|e| e["what"].as_str()).collect();
    assert!(
        what.first() == Some(&"wish-up") && what.last() == Some(&"up"),
        "{history}"
    );
    assert!(out(&site.run(&["history"])).contains("TIME"));
    // Powered up too often within the hour.
    site.write(
        "slurmburst.toml",
        &site.text("fake", "max_power_ups_per_hour = 1"),
    );
    let plan = site.json(&["plan", "--resume", "c1", "--json"]);
    assert!(
        plan["refused"][0]["why"]
            .as_str()
            .unwrap()
            .contains("within the hour"),
        "{plan}"
    );
}
