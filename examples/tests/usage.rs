//! Help, wrong usage, and what must not be in a program that a site installs.
#![allow(clippy::unwrap_used, reason = "test code: what is wrong ends the test")]

mod support;

use support::{SLURMBURST, Site, err, out, slurmburst, stdout_of};

#[test]
fn every_command_explains_itself() {
    let all = stdout_of(&["--help"]);
    for word in ["EXIT STATUS", "SLURM_CONF", "NO_COLOR", "slurmburst.toml"] {
        assert!(all.contains(word), "{word}: {all}");
    }
    for command in [
        "init",
        "check",
        "plan",
        "status",
        "history",
        "reconcile",
        "vm",
        "images",
        "quota",
        "pause",
        "unpause",
        "hostlist",
    ] {
        assert!(all.contains(&format!("\n  {command} ")), "{command}");
        let help = stdout_of(&[command, "--help"]);
        assert!(
            help.contains("EXIT STATUS") && help.contains("--config"),
            "{command}: {help}"
        );
    }
}

#[test]
fn every_vm_command_says_what_it_means_for_slurm() {
    for command in [
        "create",
        "start",
        "deallocate",
        "delete",
        "restart",
        "stop",
        "adopt",
    ] {
        let help = stdout_of(&["vm", command, "--help"]);
        for word in [
            "WHAT IT MEANS FOR SLURM",
            "EXIT STATUS",
            "--yes",
            "--no-wait",
            "--json",
        ] {
            assert!(help.contains(word), "{command}: {word}: {help}");
        }
    }
    for command in ["list", "show"] {
        assert!(stdout_of(&["vm", command, "--help"]).contains("EXIT STATUS"));
    }
    assert!(stdout_of(&["vm", "stop", "--help"]).contains("--still-billed"));
}

#[test]
fn wrong_usage_is_exit_status_2() {
    for args in [
        &["frobnicate"][..],
        &[],
        &["plan"],
        &["plan", "--resume", "c1", "--suspend", "c1"],
        &["reconcile", "--confirm", "x"],
        &["vm"],
        &["vm", "start"],
        &["images", "--offer", "x"],
    ] {
        let output = slurmburst(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(
            err(&output).contains("--help"),
            "{args:?}: {}",
            err(&output)
        );
    }
}

#[test]
fn without_a_site_every_place_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let output = slurmburst(&["status"])
        .env("SLURM_CONF", dir.path().join("slurm.conf"))
        .output()
        .unwrap();
    // Another site may be installed on this machine; then that one is read.
    if !std::path::Path::new("/etc/slurm/slurmburst.toml").exists() {
        assert_eq!(output.status.code(), Some(2));
        assert!(
            err(&output).contains("slurmburst init") && err(&output).contains("beside $SLURM_CONF"),
            "{}",
            err(&output)
        );
    }
}

#[test]
fn a_wrong_site_file_is_named_with_line_and_column() {
    let site = Site::new();
    site.write(
        "slurmburst.toml",
        &site.text("local", "").replace("hostlist =", "hostlst ="),
    );
    for args in [
        &["plan", "--resume", "c1"][..],
        &["status"],
        &["history"],
        &["reconcile"],
        &["pause"],
    ] {
        let output = site.run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let place = format!(
            "{}:11:1: nodes.hostlst: ",
            site.path("slurmburst.toml").display()
        );
        let text = err(&output);
        assert!(
            text.contains(&place) && text.contains("did you mean `hostlist`?"),
            "{args:?}: {text}"
        );
    }
    let output = site.run(&["check"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        out(&output).contains(":11:1: nodes.hostlst"),
        "{}",
        out(&output)
    );
}

#[test]
fn a_wrong_hostlist_is_shown_with_its_place() {
    let site = Site::new();
    for args in [
        &["plan", "--resume", "c[3-1]"][..],
        &["status", "c[3-1]"],
        &["history", "c[3-1]"],
    ] {
        let output = site.run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(
            err(&output).contains("\n|   ^^^"),
            "{args:?}: {}",
            err(&output)
        );
    }
}

/// A message of the simulated cloud's own.
const ONLY_IN_THE_FAKE: &str = "a fault of the site file";

fn has(program: &str, text: &str) -> bool {
    String::from_utf8_lossy(&std::fs::read(program).unwrap()).contains(text)
}

#[test]
#[cfg(not(feature = "fake"))]
fn no_program_of_a_site_has_the_simulated_cloud() {
    let site = Site::new();
    site.write("slurmburst.toml", &site.text("fake", ""));
    let output = site.run(&["plan", "--resume", "c1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        err(&output).contains("unknown kind \"fake\""),
        "{}",
        err(&output)
    );
    let programs = [
        SLURMBURST,
        env!("CARGO_BIN_EXE_slurmburst-resume"),
        env!("CARGO_BIN_EXE_slurmburst-suspend"),
        env!("CARGO_BIN_EXE_slurmburst-resume-fail"),
    ];
    for program in programs {
        assert!(
            !has(program, ONLY_IN_THE_FAKE),
            "{program} has the fake in it"
        );
    }
}

#[test]
#[cfg(feature = "fake")]
fn a_test_build_has_the_simulated_cloud() {
    let site = Site::new();
    site.write("slurmburst.toml", &site.text("fake", ""));
    assert_eq!(site.run(&["plan", "--resume", "c1"]).status.code(), Some(0));
    assert!(
        has(SLURMBURST, ONLY_IN_THE_FAKE),
        "the other test looks for something else"
    );
}
