//! How processes of a cluster are started, and found again.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::unistd::Pid;

use crate::version::search_path;

/// munged in the foreground, with all of its files in `dir`.
pub(crate) fn start_munged(dir: &Path, namespace: &[String]) -> Child {
    let mut command = daemon(namespace, "munged");
    command.args(["--foreground", "--force", "--num-threads=2"]);
    for (option, file) in [
        ("key-file", "munge/key"),
        ("socket", "munge/socket"),
        ("pid-file", "munge/pid"),
        ("seed-file", "munge/seed"),
        ("log-file", "log/munged.log"),
    ] {
        command.arg(format!("--{option}={}", dir.join(file).display()));
    }
    // Never read by munged: the mark by which the keeper knows it.
    command.env("SLURM_CONF", dir.join("slurm.conf"));
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("munged")
}

/// A daemon in a session of its own, with nothing of the test's environment; root's, whoever it becomes later.
/// `setsid` keeps the pid, as no child of ours leads a group.
pub(crate) fn daemon(namespace: &[String], program: &str) -> Command {
    let mut command = wrapped(namespace, OsStr::new("setsid"));
    command
        .arg(program)
        .env_clear()
        .env("PATH", search_path())
        .stdin(Stdio::null());
    command
}

/// `WRAPPER... PROGRAM`
pub(crate) fn wrapped(wrapper: &[String], program: &OsStr) -> Command {
    let mut command = match wrapper.split_first() {
        None => Command::new(program),
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
    };
    // cargo's own, for the libraries of the compiler: nothing for Slurm.
    command
        .env("PATH", search_path())
        .env_remove("LD_LIBRARY_PATH");
    command
}

pub(crate) fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("a pid"))
}

/// The slurmd processes that run with this slurm.conf for this node.
pub(crate) fn slurmd(conf: &Path, node: &str) -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("/proc");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| is_slurmd(*pid, conf, node)).collect()
}

/// Whether a process was called `slurmd -N NODE`, with `-f CONF` or by `SLURM_CONF`.
fn is_slurmd(pid: i32, conf: &Path, node: &str) -> bool {
    let strings = |name: &str| -> Vec<String> {
        let bytes = fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        text.split_terminator('\0').map(str::to_owned).collect()
    };
    let args = strings("cmdline");
    let conf = conf.display().to_string();
    let program = args.first().and_then(|arg| arg.rsplit('/').next());
    // `slurmd-wlm` where Debian's alternative has been followed.
    program.is_some_and(|name| name == "slurmd" || name == "slurmd-wlm")
        && (args.windows(2).any(|pair| pair == ["-N", node]) || args.contains(&format!("-N{node}")))
        && (args.contains(&conf) || strings("environ").contains(&format!("SLURM_CONF={conf}")))
}
