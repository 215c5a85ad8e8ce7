//! `[provider.NAME]` with `kind = "local"`, and the request that it renders.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use slurmburst_core::config::{ConfigError, ConfigTable};
use slurmburst_core::kind::Surroundings;

const KEYS: [&str; 7] = [
    "kind",
    "slurmd",
    "run_dir",
    "boot_delay",
    "args",
    "max_batch",
    "stop_timeout",
];

/// What the provider is told by the site file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LocalConfig {
    /// The NAME of `[provider.NAME]`.
    pub name: String,
    /// The slurmd to run.
    pub slurmd: PathBuf,
    /// The slurm.conf that it is given.
    pub slurm_conf: PathBuf,
    /// Where the books, and the folders in which the slurmds run, are.
    pub run_dir: PathBuf,
    /// How long a boot is pretended to take.
    pub boot_delay: Duration,
    /// Further arguments for slurmd.
    pub args: Vec<String>,
    /// The most nodes that one call may name.
    pub max_batch: usize,
    /// How long a slurmd may take to end by itself before it is killed.
    pub stop_timeout: Duration,
}

impl LocalConfig {
    /// The defaults, for this slurm.conf.
    pub fn new(name: impl Into<String>, slurm_conf: impl Into<PathBuf>) -> LocalConfig {
        LocalConfig {
            name: name.into(),
            slurmd: PathBuf::from("/usr/sbin/slurmd"),
            slurm_conf: slurm_conf.into(),
            run_dir: PathBuf::from("/run/slurmburst"),
            boot_delay: Duration::ZERO,
            args: Vec::new(),
            max_batch: 1000,
            stop_timeout: Duration::from_secs(5),
        }
    }

    /// Reads `[provider.NAME]`.
    ///
    /// # Errors
    /// The first unknown or wrong key.
    pub fn read(table: &ConfigTable, around: &Surroundings) -> Result<LocalConfig, ConfigError> {
        table.only(&KEYS)?;
        let mut config = LocalConfig::new(&around.provider, &around.slurm_conf);
        if let Some(path) = table.path_of("slurmd")? {
            config.slurmd = path;
        }
        if let Some(path) = table.path_of("run_dir")? {
            config.run_dir = path;
        }
        if let Some(delay) = table.duration("boot_delay")? {
            config.boot_delay = delay;
        }
        if let Some(args) = table.strings("args")? {
            // These are how a node's slurmd is recognised, so they are ours to give.
            let taken = |a: &&str| ["-N", "-f", "-D"].iter().any(|flag| a.starts_with(flag));
            if let Some(flag) = args.iter().find(|a| taken(a)) {
                let message = format!("\"{flag}\" is given by the provider itself; leave it out");
                return Err(table.error("args", message));
            }
            if args.iter().any(|a| a.contains('\0')) {
                return Err(table.error("args", "an argument must not hold a NUL character"));
            }
            config.args = args.into_iter().map(str::to_owned).collect();
        }
        if let Some(n) = table.integer("max_batch", 1..=100_000)? {
            config.max_batch = usize::try_from(n).unwrap_or(usize::MAX);
        }
        if let Some(timeout) = table.duration("stop_timeout")? {
            config.stop_timeout = timeout;
        }
        Ok(config)
    }

    /// What a call stores in the ledger and is replayed with.
    pub(crate) fn request(&self) -> Request {
        Request {
            slurmd: self.slurmd.clone(),
            conf: self.slurm_conf.clone(),
            args: self.args.clone(),
            boot_delay_ms: u64::try_from(self.boot_delay.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// The request of a call: the same for all its nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    pub(crate) slurmd: PathBuf,
    pub(crate) conf: PathBuf,
    #[serde(default)]
    pub(crate) args: Vec<String>,
    #[serde(default)]
    pub(crate) boot_delay_ms: u64,
}

impl Request {
    /// slurmd's arguments. `-D`: it stays the process that we started, also
    /// through a reconfiguration. `-b`: it says that the node has booted now,
    /// without which slurmctld waits for a boot that never comes.
    pub(crate) fn argv(&self, node: &str) -> Vec<String> {
        let mut argv = vec!["-D".to_owned(), "-b".to_owned(), "-f".to_owned()];
        argv.push(self.conf.to_string_lossy().into_owned());
        argv.push("-N".to_owned());
        argv.push(node.to_owned());
        argv.extend(self.args.iter().cloned());
        argv
    }
}
