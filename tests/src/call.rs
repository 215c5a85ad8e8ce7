//! Our programs called as slurmctld calls them, and their processes watched.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::burst::Burst;

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// With what.
    pub status: ExitStatus,
    /// After how long, the start of the process included.
    pub took: Duration,
}

/// The signals that slurmctld 22.05 blocks in its programs.
pub const BLOCKED: &str = "HUP,INT,QUIT,ABRT,USR1,USR2,PIPE,ALRM,TERM,CHLD,TSTP,XCPU";

impl Burst {
    /// Calls a program with nothing in its environment but `SLURM_CONF` and, if
    /// there is one, `SLURM_RESUME_FILE`.
    pub fn call(&self, program: &str, hostlist: &str, resume_file: Option<&Path>) -> Ended {
        let mut command = self.cluster.command("env");
        command.arg("-i").args(self.environment(resume_file));
        ended(command.arg(self.program(program)).arg(hostlist))
    }

    /// Calls a program as 22.05 does, which is the hardest way: descriptors 0 to
    /// 2 closed, twelve signals blocked.
    pub fn call_bare(&self, program: &Path, args: &[&str]) -> Ended {
        let mut command = self.cluster.command("sh");
        // `env` has its own way with signals; a shell closes descriptors.
        command.args(["-c", "exec env \"$@\" <&- >&- 2>&-", "sh", "-i"]);
        command.arg(format!("--block-signal={BLOCKED}"));
        ended(command.args(self.environment(None)).arg(program).args(args))
    }

    fn environment(&self, resume_file: Option<&Path>) -> Vec<String> {
        let conf = format!("SLURM_CONF={}", self.cluster.conf_path().display());
        let file = resume_file.map(|file| format!("SLURM_RESUME_FILE={}", file.display()));
        [conf].into_iter().chain(file).collect()
    }

    /// The processes of this cluster that were called by this name, such as
    /// `slurmburst-resume` or `slurmburst-converge`.
    pub fn pids(&self, name: &str) -> Vec<i32> {
        let conf = format!("SLURM_CONF={}", self.cluster.conf_path().display());
        let entries = fs::read_dir("/proc").expect("/proc");
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let first = line.split(|byte| *byte == 0).next().unwrap_or_default();
            let base = first.rsplit(|byte| *byte == b'/').next();
            base == Some(name.as_bytes())
                && fs::read(format!("/proc/{pid}/environ")).is_ok_and(|all| {
                    all.split(|byte| *byte == 0)
                        .any(|var| var == conf.as_bytes())
                })
        })
        .collect()
    }

    /// Waits until slurmctld calls this program, then until that process has
    /// ended, and says how long it ran; to about 20 ms.
    pub fn watch_call(&self, name: &str, limit: Duration) -> Duration {
        let give_up = Instant::now() + limit;
        let pid = loop {
            if let Some(pid) = self.pids(name).first() {
                break *pid;
            }
            assert!(
                Instant::now() < give_up,
                "{name} was not called within {limit:?}"
            );
            std::thread::sleep(Duration::from_millis(5));
        };
        let seen = Instant::now();
        while self.is_running(pid, name) {
            assert!(
                Instant::now() < give_up,
                "{name} still runs after {limit:?}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        seen.elapsed()
    }

    fn is_running(&self, pid: i32, name: &str) -> bool {
        // A zombie has no command line.
        fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(name))
    }
}

fn ended(command: &mut Command) -> Ended {
    let start = Instant::now();
    let status = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("called");
    Ended {
        status,
        took: start.elapsed(),
    }
}
