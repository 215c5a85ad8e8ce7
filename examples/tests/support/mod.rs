//! A site of local nodes in a temporary folder, and the built programs.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "test code: each file uses its part, and what is wrong ends the test"
)]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

pub(crate) const SLURMBURST: &str = env!("CARGO_BIN_EXE_slurmburst");

/// What Slurm's own says where no slurmctld runs, without its ten seconds of trying.
const SCONTROL: &str = "#!/bin/sh
if [ \"$1\" = --version ]; then echo slurm 24.11.5; exit; fi
echo 'slurm_load_node error: Unable to contact slurm controller (connect failure)' >&2
exit 1
";

/// The operator's command, with nothing of this process's environment.
pub(crate) fn slurmburst(args: &[&str]) -> Command {
    let mut command = Command::new(SLURMBURST);
    command.args(args).env_clear().stdin(Stdio::null());
    command
}

/// Standard output of a command that succeeds.
pub(crate) fn stdout_of(args: &[&str]) -> String {
    let output = slurmburst(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", err(&output));
    out(&output)
}

pub(crate) fn with_input(args: &[&str], input: &str) -> Output {
    let mut command = slurmburst(args);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

pub(crate) fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Runs it at a terminal of its own, types `input`, and answers what is shown.
pub(crate) fn at_a_terminal(mut command: Command, input: &str) -> String {
    let pty = nix::pty::openpty(None, None).unwrap();
    let stdio = || Stdio::from(pty.slave.try_clone().unwrap());
    command.stdin(stdio()).stdout(stdio()).stderr(stdio());
    let mut child = command.spawn().unwrap();
    drop((command, pty.slave));
    let mut master = File::from(pty.master);
    master.write_all(input.as_bytes()).unwrap();
    let mut shown = Vec::new();
    // Ends with an error once nobody has the other side open.
    _ = master.read_to_end(&mut shown);
    child.wait().unwrap();
    String::from_utf8_lossy(&shown).into_owned()
}

/// slurm.conf and site file of three local nodes. No slurmctld runs.
pub(crate) struct Site {
    dir: tempfile::TempDir,
}

impl Site {
    pub(crate) fn new() -> Site {
        let site = Site {
            dir: tempfile::tempdir().unwrap(),
        };
        let user =
            String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
        let dir = site.dir.path().display();
        site.write(
            "slurm.conf",
            &format!(
                "ClusterName=test\nSlurmctldHost=nowhere(127.0.0.1)\nSlurmctldPort=1\nSlurmUser={}\n\
                 PrivateData=cloud\nSuspendTime=60\nSlurmdPidFile={dir}/%n.pid\nSlurmdSpoolDir={dir}/%n\n\
                 NodeName=c[1-3] State=CLOUD\nPartitionName=cloud Nodes=ALL\n",
                user.trim()
            ),
        );
        site.write("slurmburst.toml", &site.text("local", ""));
        site.scontrol(SCONTROL);
        site
    }

    pub(crate) fn text(&self, kind: &str, more: &str) -> String {
        let dir = self.dir.path().display();
        let run_dir = if kind == "local" {
            format!("run_dir = \"{dir}/run\"")
        } else {
            String::new()
        };
        format!(
            "cluster_id = \"test-1\"\nstate_dir = \"{dir}/state\"\nlog_file = \"{dir}/log\"\n{more}\n\
             [slurm]\nscontrol = \"{dir}/scontrol\"\n\
             [provider.here]\nkind = \"{kind}\"\n{run_dir}\n\
             [[nodes]]\nhostlist = \"c[1-3]\"\n[[nodes.placement]]\nprovider = \"here\"\n"
        )
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Puts this program in the place of scontrol.
    pub(crate) fn scontrol(&self, script: &str) {
        self.write("scontrol", script);
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.path("scontrol"), mode).unwrap();
    }

    /// The command for this site: found beside $SLURM_CONF.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        slurmburst(args)
            .env("SLURM_CONF", self.path("slurm.conf"))
            .output()
            .unwrap()
    }

    pub(crate) fn json(&self, args: &[&str]) -> serde_json::Value {
        let output = self.run(args);
        serde_json::from_str(&out(&output))
            .unwrap_or_else(|e| panic!("{args:?}: {e}: {}", err(&output)))
    }
}
