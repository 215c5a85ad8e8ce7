//! What only a person at a terminal sees: colours and questions.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong ends the test")]

mod support;

use support::{Site, at_a_terminal, slurmburst};

fn status(site: &Site, environment: &[(&str, &str)]) -> String {
    let mut command = slurmburst(&["status"]);
    command.env("SLURM_CONF", site.path("slurm.conf"));
    command.envs(environment.iter().copied());
    at_a_terminal(command, "")
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let site = Site::new();
    assert!(status(&site, &[("TERM", "xterm")]).contains("\x1b[1mNODE\x1b[0m"));
    for plain in [
        &[("TERM", "xterm"), ("NO_COLOR", "1")][..],
        &[("TERM", "dumb")],
        &[],
    ] {
        let shown = status(&site, plain);
        assert!(
            shown.contains("NODE  SLURM  PHASE") && !shown.contains('\x1b'),
            "{plain:?}: {shown}"
        );
    }
}

#[test]
fn init_asks_for_what_no_flag_says() {
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("slurm.conf").display().to_string();
    // An empty answer takes the default, or is asked again where there is none.
    let mut command = slurmburst(&["init", "--slurm-conf", &conf]);
    command.current_dir(dir.path());
    let shown = at_a_terminal(command, "\nhpc7\nc[1-4]\n\n\n\n\n");
    let site = std::fs::read_to_string(dir.path().join("slurmburst-hpc7/slurmburst.toml"));
    assert_eq!(shown.matches("Name of the cluster").count(), 2, "{shown}");
    assert!(
        site.is_ok_and(|s| s.contains("cluster = \"hpc7\"")),
        "{shown}"
    );
}
