//! The site file: TOML text to a checked [`Site`].
//!
//! [`Site::parse`] does no I/O; [`Site::load`] reads the file first, and
//! [`load_or_last_good`] falls back to the last text that was good, so that a
//! typing error stops new power-ups and nothing else. [`locate`] finds the
//! file. Every error names file, line, column and key, and what to do.
//!
//! A provider's part of the file is handed to its
//! [`ProviderKind`]: what is not read here is
//! checked there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::config::{ConfigError, ConfigTable};
use crate::error::ErrorKind;
use crate::hostlist::{HostSet, NodeName};
use crate::kind::ProviderKind;
use crate::policy::{Group, SitePolicy};
use crate::provider::{CloudProvider, Placement};

mod groups;
mod last_good;
mod load;
mod locate;
mod naming;
mod providers;
mod settings;
mod text;

#[cfg(test)]
mod tests;

pub use last_good::{LAST_GOOD, Loaded, load_or_last_good};
pub use load::MAX_BYTES;
pub use locate::{DEFAULT_FILE, FILE_NAME, locate};

/// Where the ledger is unless the site file says otherwise.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/slurmburst";
/// Where the log is unless the site file says otherwise.
pub const DEFAULT_LOG_FILE: &str = "/var/log/slurm/power_save.log";
/// Where slurm.conf is if neither the site file nor `$SLURM_CONF` says.
pub const DEFAULT_SLURM_CONF: &str = "/etc/slurm/slurm.conf";
/// Where scontrol is unless the site file says otherwise.
pub const DEFAULT_SCONTROL: &str = "/usr/bin/scontrol";
/// The most nodes that a site may have.
pub const MAX_NODES: u64 = 1 << 20;

/// A site file that was read and found good.
#[derive(Debug, Clone)]
pub struct Site {
    /// The file it was read from.
    pub file: PathBuf,
    /// The cluster's name, for people.
    pub cluster: String,
    /// The owner tag of everything this cluster makes.
    pub cluster_id: String,
    /// Where the ledger is.
    pub state_dir: PathBuf,
    /// The log that administrators read.
    pub log_file: PathBuf,
    /// How long the programs wait for outcomes before they return to slurmctld.
    pub return_after: Duration,
    /// How far apart the two passes are that must both find a node unwanted.
    pub orphan_grace: Duration,
    /// Power-ups of one node in an hour; 0 is no limit.
    pub max_power_ups_per_hour: u32,
    /// What is done with a node of no group.
    pub unknown_nodes: UnknownNodes,
    /// How long a placement that failed is left alone.
    pub cool_off: CoolOff,
    /// `deadline_margin`, if it is set; see [`Site::margin`].
    pub deadline_margin: Option<Duration>,
    /// How Slurm is reached.
    pub slurm: SlurmSection,
    /// The providers, in the order of the file.
    pub providers: Vec<SiteProvider>,
    /// The groups, in the order of the file.
    pub policy: SitePolicy,
    /// What it was read from, for the last good copy.
    text: Text,
}

/// The file's text, which belongs in no log.
#[derive(Clone)]
struct Text(Arc<str>);

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// What is done with a node that is in no group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownNodes {
    /// It is refused, by name, and Slurm is told.
    #[default]
    Refuse,
    /// It is left alone: another program may own it.
    Ignore,
}

/// How long a placement and its node are left alone after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoolOff {
    /// After [`ErrorKind::Capacity`].
    pub capacity: Duration,
    /// After the other kinds that a person must look at: Quota, Auth, Invalid, Unsupported.
    pub failure: Duration,
}

impl CoolOff {
    /// How long after a failure of this kind; `None` where it has no cool-off.
    ///
    /// ```
    /// use std::time::Duration;
    /// use slurmburst_core::error::ErrorKind;
    /// use slurmburst_core::site::CoolOff;
    ///
    /// let site = CoolOff { capacity: Duration::from_secs(300), failure: Duration::from_secs(600) };
    /// assert_eq!(site.after(ErrorKind::Quota), Some(Duration::from_secs(600)));
    /// assert_eq!(site.after(ErrorKind::Throttled), None);
    /// ```
    pub fn after(&self, kind: ErrorKind) -> Option<Duration> {
        match kind {
            ErrorKind::Capacity => Some(self.capacity),
            kind if kind.has_cool_off() => Some(self.failure),
            _ => None,
        }
    }
}

/// The table `[slurm]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlurmSection {
    /// slurm.conf.
    pub conf: PathBuf,
    /// scontrol, by its absolute path.
    pub scontrol: PathBuf,
    /// Whether nodes' addresses are told to Slurm.
    pub set_node_addr: SetNodeAddr,
    /// How long one run of scontrol may take.
    pub timeout: Duration,
}

/// Whether a node's address is told to Slurm once the cloud has said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SetNodeAddr {
    /// Where names are not resolved and Slurm has no address from registration.
    #[default]
    Auto,
    /// Each time.
    Always,
    /// Never: something else sees to it.
    Never,
}

/// A `[provider.NAME]`.
#[derive(Debug, Clone)]
pub struct SiteProvider {
    /// NAME.
    pub name: String,
    /// The word after `kind =`.
    pub kind: String,
    /// The provider.
    pub provider: Arc<dyn CloudProvider>,
    /// Its table without `kind`, as its [`ProviderKind`] reads it.
    pub config: ConfigTable,
}

/// What a site file's defaults depend on beyond the file.
#[derive(Debug, Clone, Default)]
pub struct SiteContext {
    /// `$SLURM_CONF`.
    pub slurm_conf: Option<PathBuf>,
    /// ClusterName of slurm.conf, if it is known.
    pub cluster_name: Option<String>,
    /// Kinds that exist but were left out of this build, to say so by name.
    pub absent_kinds: Vec<String>,
}

impl Site {
    /// Reads a site file's text. `file` only names it in errors. No I/O.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(
        file: &Path,
        text: &str,
        kinds: &[Arc<dyn ProviderKind>],
        ctx: &SiteContext,
    ) -> Result<Site, ConfigError> {
        let root = text::parse(file, text)?;
        let settings = settings::read(&root, kinds, ctx)?;
        let providers = providers::read(&root, &settings, kinds, ctx)?;
        let policy = groups::read(&root, &providers, kinds)?;
        Ok(Site {
            file: file.to_owned(),
            cluster: settings.cluster,
            cluster_id: settings.cluster_id.tag,
            state_dir: settings.state_dir,
            log_file: settings.log_file,
            return_after: settings.return_after,
            orphan_grace: settings.orphan_grace,
            max_power_ups_per_hour: settings.max_power_ups_per_hour,
            unknown_nodes: settings.unknown_nodes,
            cool_off: settings.cool_off,
            deadline_margin: settings.deadline_margin,
            slurm: settings.slurm,
            providers,
            policy,
            text: Text(text.into()),
        })
    }

    /// How long before Slurm's own timeout a node is given up, so that Slurm
    /// hears why from us: `deadline_margin`, or a tenth of the timeout and at
    /// most 5 s; never more than half of it.
    pub fn margin(&self, timeout: Duration) -> Duration {
        let usual = || (timeout / 10).min(Duration::from_secs(5));
        self.deadline_margin.unwrap_or_else(usual).min(timeout / 2)
    }

    /// The group of a node.
    pub fn group_of(&self, node: &NodeName) -> Option<&Group> {
        self.policy.group_of(node)
    }

    /// The provider of this name.
    pub fn provider(&self, name: &str) -> Option<&SiteProvider> {
        self.providers.iter().find(|p| p.name == name)
    }

    /// The placement of this name.
    pub fn placement(&self, name: &str) -> Option<&Arc<Placement>> {
        self.policy.placement(name)
    }

    /// The nodes of all groups.
    pub fn nodes(&self) -> HostSet {
        let groups = self.policy.groups().iter();
        groups.fold(HostSet::default(), |all, group| &all | &group.nodes)
    }
}

/// What a site file says even where it is not good as a whole: enough to find
/// the last good copy, and to complain in the right log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Glimpse {
    /// `state_dir`.
    pub state_dir: Option<PathBuf>,
    /// `log_file`.
    pub log_file: Option<PathBuf>,
    /// `cluster`.
    pub cluster: Option<String>,
    /// `slurm.conf`.
    pub slurm_conf: Option<PathBuf>,
}

impl Glimpse {
    /// What can be read of `text`, which may be broken.
    pub fn of(text: &str) -> Glimpse {
        let root = text::recover(Path::new(""), text);
        let path = |table: &ConfigTable, key| table.path_of(key).ok().flatten();
        let slurm = root.table("slurm").ok().flatten();
        Glimpse {
            state_dir: path(&root, "state_dir"),
            log_file: path(&root, "log_file"),
            cluster: root.str("cluster").ok().flatten().map(str::to_owned),
            slurm_conf: slurm.and_then(|table| path(table, "conf")),
        }
    }
}

/// `text`, or its beginning where it is too long for a message.
fn brief(text: &str) -> String {
    const LENGTH: usize = 200;
    match text.char_indices().nth(LENGTH) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}...", &text[..at]),
    }
}
