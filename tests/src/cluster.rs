//! A Slurm that runs.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{panicking, sleep};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use tempfile::TempDir;

use crate::builder::{ClusterBuilder, SlurmUser};
use crate::keeper::Keeper;
use crate::nodes::{self, NodeInfo};
use crate::ports::Ports;
use crate::processes::{self, daemon, start_munged, wrapped};
use crate::version::{Release, SlurmVersion};

/// Longer than anything of Slurm takes to start or stop; an orderly stop waits for programs that run.
const DAEMON_LIMIT: Duration = Duration::from_secs(60);
/// What ends a command that does not end by itself, in seconds.
const COMMAND_LIMIT: &str = "120";

/// A Slurm of its own, on loopback. Dropping it ends every process of it.
#[derive(Debug)]
pub struct Cluster {
    release: Release,
    user: SlurmUser,
    dir: TempDir,
    namespace: Vec<String>,
    munged: Child,
    slurmctld: Mutex<Option<Child>>,
    keeper: Keeper,
    _ports: Ports,
}

impl Cluster {
    /// A cluster to be configured and started.
    pub fn builder(version: SlurmVersion) -> ClusterBuilder {
        ClusterBuilder::new(version)
    }

    pub(crate) fn start(
        release: Release,
        user: SlurmUser,
        dir: TempDir,
        ports: Ports,
        keeper: Keeper,
        namespace: Vec<String>,
    ) -> Self {
        let munged = start_munged(dir.path(), &namespace);
        let cluster = Self {
            release,
            user,
            dir,
            namespace,
            munged,
            slurmctld: Mutex::new(None),
            keeper,
            _ports: ports,
        };
        let socket = cluster.dir().join("munge/socket");
        until(DAEMON_LIMIT, || socket.exists()).expect("munged made no socket");
        cluster.start_slurmctld();
        cluster
    }

    /// The folder with slurm.conf, `log/`, `state/`, `spool/`, `run/` and, for whatever a test needs, `work/`.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The cluster's slurm.conf: the value of `SLURM_CONF`.
    pub fn conf_path(&self) -> PathBuf {
        self.dir().join("slurm.conf")
    }

    /// A log by its name: `slurmctld.log`, `slurmd.c1.log`, `munged.log`, and what programs write themselves, by
    /// custom `power_save.log`.
    pub fn log_path(&self, name: &str) -> PathBuf {
        self.dir().join("log").join(name)
    }

    /// The release that runs.
    pub fn release(&self) -> Release {
        self.release
    }

    /// What a command line has to be prefixed with to run as slurmctld's programs do: in the cluster's mount
    /// namespace, as `SlurmUser`. Empty for the packaged Slurm as root.
    pub fn command_wrapper(&self) -> Vec<String> {
        let mut wrapper = self.namespace.clone();
        if !wrapper.is_empty() {
            // Entering a namespace ends up in its root folder.
            wrapper.push(format!("--wdns={}", self.work().display()));
        }
        if self.user == SlurmUser::Slurm {
            wrapper.extend(
                ["setpriv", "--reuid=slurm", "--regid=slurm", "--init-groups"].map(str::to_owned),
            );
        }
        wrapper
    }

    /// A command that is to run under [`Self::command_wrapper`] with `SLURM_CONF`, in `work/`.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = wrapped(&self.command_wrapper(), program.as_ref());
        command
            .env("SLURM_CONF", self.conf_path())
            .current_dir(self.work())
            .stdin(Stdio::null());
        command
    }

    /// Runs [`Self::command`] to its end, which comes after two minutes at the latest.
    pub fn run<S: AsRef<OsStr>>(&self, program: impl AsRef<OsStr>, args: &[S]) -> Output {
        self.limited(program).args(args).output().expect("timeout")
    }

    /// `scontrol ARGS...`, as it answers.
    pub fn scontrol(&self, args: &[&str]) -> Output {
        self.run("scontrol", args)
    }

    /// All nodes that Slurm shows.
    pub fn node_states(&self) -> BTreeMap<String, NodeInfo> {
        nodes::parse(&stdout(&self.scontrol(&["show", "node", "-o"])))
    }

    /// Submits a script with `sbatch ARGS...` and gives the job's id. It writes to `work/slurm-ID.out` unless told.
    pub fn sbatch(&self, args: &[&str], script: &str) -> u32 {
        let mut sbatch = self.limited("sbatch");
        sbatch.arg("--parsable").args(args);
        sbatch
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = sbatch.spawn().expect("timeout");
        child
            .stdin
            .take()
            .expect("piped")
            .write_all(script.as_bytes())
            .expect("sbatch reads its script");
        let output = child.wait_with_output().expect("sbatch");
        let answer = stdout(&output);
        answer
            .trim()
            .parse()
            .unwrap_or_else(|_| panic!("sbatch {args:?} answered {output:?}"))
    }

    /// `JobState=` of a job, such as `PENDING` or `COMPLETED`; `None` when Slurm does not know it.
    pub fn job_state(&self, id: u32) -> Option<String> {
        let answer = stdout(&self.scontrol(&["show", "job", "-o", &id.to_string()]));
        answer
            .split_whitespace()
            .find_map(|word| word.strip_prefix("JobState="))
            .map(str::to_owned)
    }

    /// Looks until `done`, ten times a second.
    ///
    /// # Panics
    /// When `limit` has passed, with what was waited for and how the cluster looks.
    pub fn wait_for(&self, what: &str, limit: Duration, done: impl FnMut() -> bool) {
        if until(limit, done).is_none() {
            panic!(
                "waited {} s for {what}\n{}",
                limit.as_secs_f32(),
                self.summary()
            );
        }
    }

    /// [`Self::wait_for`] all of these nodes to be as `wanted`.
    pub fn wait_for_nodes(
        &self,
        what: &str,
        limit: Duration,
        names: &[&str],
        wanted: impl Fn(&NodeInfo) -> bool,
    ) {
        self.wait_for(what, limit, || {
            let nodes = self.node_states();
            names
                .iter()
                .all(|name| nodes.get(*name).is_some_and(&wanted))
        });
    }

    /// The slurmd processes of a node (not their slurmstepd).
    pub fn slurmd_pids(&self, node: &str) -> Vec<i32> {
        processes::slurmd(&self.conf_path(), node)
    }

    /// Starts slurmctld, which must not be running, and returns when it answers.
    pub fn start_slurmctld(&self) {
        let mut guard = self.slurmctld();
        assert!(guard.is_none(), "slurmctld runs already");
        let out = File::options()
            .create(true)
            .append(true)
            .open(self.log_path("slurmctld.out"));
        let out = out.expect("slurmctld.out");
        let mut command = daemon(&self.namespace, "slurmctld");
        command
            .arg("-D")
            .arg("-f")
            .arg(self.conf_path())
            .env("SLURM_CONF", self.conf_path());
        // The folder of the command is lost on the way into a namespace, and with it where a core file would go.
        command
            .current_dir(self.dir().join("state"))
            .stderr(out.try_clone().expect("dup"))
            .stdout(out);
        let child = guard.insert(command.spawn().expect("slurmctld"));
        let up = until(DAEMON_LIMIT, || {
            if let Some(status) = child.try_wait().expect("wait") {
                panic!("slurmctld ended at once: {status}");
            }
            stdout(&self.scontrol(&["ping"])).contains(" is UP")
        });
        assert!(up.is_some(), "slurmctld does not answer");
    }

    /// Sends slurmctld a signal. One that ends it is waited for: SIGTERM may take as long as a program that runs.
    pub fn kill_slurmctld(&self, signal: Signal) {
        let mut guard = self.slurmctld();
        let child = guard.as_mut().expect("slurmctld runs");
        kill(processes::pid(child), signal).expect("slurmctld is there");
        if matches!(
            signal,
            Signal::SIGTERM | Signal::SIGKILL | Signal::SIGINT | Signal::SIGQUIT | Signal::SIGABRT
        ) {
            let gone = until(DAEMON_LIMIT, || child.try_wait().expect("wait").is_some());
            assert!(gone.is_some(), "slurmctld lives on after {signal}");
            *guard = None;
        }
    }

    /// Stops slurmctld in good order, starts it again, and returns when it answers.
    pub fn restart_slurmctld(&self) {
        self.kill_slurmctld(Signal::SIGTERM);
        self.start_slurmctld();
    }

    fn slurmctld(&self) -> MutexGuard<'_, Option<Child>> {
        self.slurmctld
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) -> PathBuf {
        self.dir().join("work")
    }

    fn limited(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.command("timeout");
        command.args(["-k", "1", COMMAND_LIMIT]).arg(program);
        command
    }

    /// Nodes and jobs, for a message.
    fn summary(&self) -> String {
        let mut summary = String::new();
        for (name, node) in self.node_states() {
            let reason = node.reason.as_deref().unwrap_or_default();
            summary += &format!("  {name} {} {reason}\n", node.state_text());
        }
        summary + &stdout(&self.run("squeue", &["-a"]))
    }

    fn print_logs(&self) {
        let dir = self.dir().display();
        eprintln!("--- Slurm {}: everything is kept in {dir}", self.release);
        // What slurmctld says before it has read where to log is the beginning of slurmctld.out.
        let slurmctld = ["slurmctld.log", "slurmctld.out"];
        let slurmctld = slurmctld
            .into_iter()
            .find(|name| self.log_path(name).exists());
        for name in slurmctld.into_iter().chain(["power_save.log"]) {
            let Ok(log) = fs::read(self.log_path(name)) else {
                continue;
            };
            let log = String::from_utf8_lossy(&log);
            let lines: Vec<&str> = log.lines().collect();
            let end = lines[lines.len().saturating_sub(40)..].join("\n");
            eprintln!("--- the end of log/{name}:\n{end}");
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.keeper.end_all();
        let _ = self.munged.wait();
        if let Some(child) = self.slurmctld().as_mut() {
            let _ = child.wait();
        }
        let asked = env::var_os("SLURMBURST_TEST_KEEP").is_some_and(|value| value == "1");
        if panicking() {
            self.print_logs();
        } else if asked {
            eprintln!("kept: {}", self.dir().display());
        }
        self.dir.disable_cleanup(asked || panicking());
    }
}

/// What a command wrote to its standard output.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Looks ten times a second, more often at first; `None` when it took too long.
fn until(limit: Duration, mut done: impl FnMut() -> bool) -> Option<()> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(10);
    while !done() {
        if start.elapsed() > limit {
            return None;
        }
        sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
    Some(())
}
