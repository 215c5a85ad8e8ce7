//! [`SlurmConf`]: what of `slurm.conf` matters to power saving.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::conf_text::{self, Line};
use crate::hostlist::{Dialect, HostList, HostSet, Limits, NodeName};

/// What Slurm takes where slurm.conf says nothing, in seconds.
const RESUME_TIMEOUT: Duration = Duration::from_secs(60);
const SUSPEND_TIMEOUT: Duration = Duration::from_secs(30);
/// What `INFINITE` counts as where a time must be reckoned with: a year.
pub const INFINITE: Duration = Duration::from_secs(365 * 24 * 3600);

/// What cannot be read in slurm.conf, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlurmConfError {
    /// The file: slurm.conf or one that it includes.
    pub file: PathBuf,
    /// The line, from 1; none when it is about the whole file.
    pub line: Option<usize>,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for SlurmConfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.message)
    }
}

impl std::error::Error for SlurmConfError {}

/// What of `slurm.conf` matters to power saving. Other keys are passed over,
/// and whether the file is right is for Slurm to say.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct SlurmConf {
    /// `ClusterName`.
    pub cluster_name: Option<String>,
    /// `SlurmUser`; `root` if it says nothing.
    pub slurm_user: String,
    /// The controllers, the primary first.
    pub controllers: Vec<Controller>,
    /// `ResumeTimeout`; see [`SlurmConf::resume_timeout`] for a node's own.
    pub resume_timeout: Duration,
    /// `SuspendTimeout`; see [`SlurmConf::suspend_timeout`] for a node's own.
    pub suspend_timeout: Duration,
    /// `SuspendTime`; none when nodes are never suspended.
    pub suspend_time: Option<Duration>,
    /// `ResumeProgram`.
    pub resume_program: Option<String>,
    /// `SuspendProgram`.
    pub suspend_program: Option<String>,
    /// `ResumeFailProgram`.
    pub resume_fail_program: Option<String>,
    /// `SlurmctldParameters`, item by item.
    pub slurmctld_parameters: Vec<String>,
    /// `PrivateData`, item by item.
    pub private_data: Vec<String>,
    /// The `NodeName` lines.
    pub nodes: Vec<NodeLine>,
    /// The `PartitionName` lines.
    pub partitions: Vec<Partition>,
}

/// A controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Controller {
    /// Its name.
    pub host: String,
    /// Its address, when it is given.
    pub addr: Option<String>,
}

/// A `NodeName` line.
#[derive(Debug, Clone)]
pub struct NodeLine {
    /// The nodes.
    pub nodes: HostSet,
    /// `State`, in upper case; `UNKNOWN` if it says nothing.
    pub state: String,
    /// `Features`.
    pub features: Vec<String>,
}

impl NodeLine {
    /// Whether these are nodes that Slurm powers up when they are needed and
    /// takes for powered down at the start.
    #[must_use]
    pub fn is_cloud(&self) -> bool {
        self.state == "CLOUD"
    }
}

/// A `PartitionName` line, with what `PartitionName=DEFAULT` gave it.
#[derive(Debug, Clone)]
pub struct Partition {
    /// Its name.
    pub name: String,
    /// Its nodes; none stands for all that there are.
    pub nodes: Option<HostSet>,
    /// Its own `ResumeTimeout`.
    pub resume_timeout: Option<Duration>,
    /// Its own `SuspendTimeout`.
    pub suspend_timeout: Option<Duration>,
}

impl Partition {
    /// Whether the node is in it.
    #[must_use]
    pub fn contains(&self, node: &NodeName) -> bool {
        self.nodes.as_ref().is_none_or(|nodes| nodes.contains(node))
    }
}

impl SlurmConf {
    /// Reads a slurm.conf and what it includes.
    ///
    /// # Errors
    /// [`SlurmConfError`] for a file that cannot be read, a hostlist or a time
    /// that is none.
    pub fn load(path: impl AsRef<Path>) -> Result<SlurmConf, SlurmConfError> {
        SlurmConf::from_lines(&conf_text::read(path.as_ref())?)
    }

    /// How long Slurm waits for this node to come up: the largest of the
    /// partitions that say so and have the node, else the general one.
    #[must_use]
    pub fn resume_timeout(&self, node: &NodeName) -> Duration {
        self.largest(node, |p| p.resume_timeout)
            .unwrap_or(self.resume_timeout)
    }

    /// How long Slurm waits before it takes this node for powered down.
    #[must_use]
    pub fn suspend_timeout(&self, node: &NodeName) -> Duration {
        self.largest(node, |p| p.suspend_timeout)
            .unwrap_or(self.suspend_timeout)
    }

    /// Whether some `NodeName` line has this node.
    #[must_use]
    pub fn has_node(&self, node: &NodeName) -> bool {
        self.nodes.iter().any(|line| line.nodes.contains(node))
    }

    /// Whether `SlurmctldParameters` has this item, with or without a value.
    #[must_use]
    pub fn has_parameter(&self, name: &str) -> bool {
        self.slurmctld_parameters.iter().any(|p| {
            p.split('=')
                .next()
                .is_some_and(|key| key.trim().eq_ignore_ascii_case(name))
        })
    }

    /// `SlurmctldParameters=cloud_dns`: nodes are found by their names.
    #[must_use]
    pub fn cloud_dns(&self) -> bool {
        self.has_parameter("cloud_dns")
    }

    /// `SlurmctldParameters=cloud_reg_addrs`: addresses come with registration,
    /// which newer versions do always.
    #[must_use]
    pub fn cloud_reg_addrs(&self) -> bool {
        self.has_parameter("cloud_reg_addrs")
    }

    /// `SlurmctldParameters=idle_on_node_suspend`.
    #[must_use]
    pub fn idle_on_node_suspend(&self) -> bool {
        self.has_parameter("idle_on_node_suspend")
    }

    /// `PrivateData=cloud`: nodes that are powered down are shown too.
    #[must_use]
    pub fn shows_powered_down(&self) -> bool {
        self.private_data
            .iter()
            .any(|p| p.eq_ignore_ascii_case("cloud"))
    }

    fn largest(
        &self,
        node: &NodeName,
        own: impl Fn(&Partition) -> Option<Duration>,
    ) -> Option<Duration> {
        self.partitions
            .iter()
            .filter_map(|p| own(p).filter(|_| p.contains(node)))
            .max()
    }

    fn from_lines(lines: &[Line]) -> Result<SlurmConf, SlurmConfError> {
        let mut conf = SlurmConf {
            slurm_user: "root".to_owned(),
            resume_timeout: RESUME_TIMEOUT,
            suspend_timeout: SUSPEND_TIMEOUT,
            ..SlurmConf::default()
        };
        let mut old = OldControllers::default();
        let mut sets = Vec::new();
        let mut partitions = Vec::new();
        // What the last `DEFAULT` lines gave.
        let (mut node_default, mut partition_default) = (None, None);
        for line in lines {
            let Some((first, value)) = line.pairs.first() else {
                continue;
            };
            match first.to_ascii_lowercase().as_str() {
                "nodename" if is_default(value) => node_default = Some(line),
                "nodename" => conf.nodes.push(node_line(line, value, node_default)?),
                "partitionname" if is_default(value) => partition_default = Some(line),
                "partitionname" => partitions.push((line, partition_default)),
                "nodeset" => sets.push(line),
                // Their lines have keys that mean something else elsewhere.
                "downnodes" | "frontendname" | "switchname" => {}
                _ => conf.general(line, &mut old)?,
            }
        }
        if conf.controllers.is_empty() {
            conf.controllers = old.controllers();
        }
        let sets = conf.node_sets(&sets)?;
        for (line, default) in partitions {
            let partition = partition(line, default, &sets)?;
            conf.partitions.push(partition);
        }
        Ok(conf)
    }

    /// A line of keys that stand for themselves.
    fn general(&mut self, line: &Line, old: &mut OldControllers) -> Result<(), SlurmConfError> {
        for (key, value) in &line.pairs {
            let text = || (!value.is_empty()).then(|| value.clone());
            match key.to_ascii_lowercase().as_str() {
                "clustername" => self.cluster_name = text(),
                "slurmuser" => self.slurm_user = text().unwrap_or_else(|| "root".to_owned()),
                "slurmctldhost" => self.controllers.extend(controller(value)),
                "controlmachine" => old.machines[0] = text(),
                "controladdr" => old.addrs[0] = text(),
                "backupcontroller" => old.machines[1] = text(),
                "backupaddr" => old.addrs[1] = text(),
                "resumetimeout" => {
                    self.resume_timeout = seconds(line, key, value)?.unwrap_or(INFINITE);
                }
                "suspendtimeout" => {
                    self.suspend_timeout = seconds(line, key, value)?.unwrap_or(INFINITE);
                }
                "suspendtime" => self.suspend_time = seconds(line, key, value)?,
                "resumeprogram" => self.resume_program = text(),
                "suspendprogram" => self.suspend_program = text(),
                "resumefailprogram" => self.resume_fail_program = text(),
                "slurmctldparameters" => self.slurmctld_parameters = items(value),
                "privatedata" => self.private_data = items(value),
                _ => {}
            }
        }
        Ok(())
    }

    /// The node sets by name.
    fn node_sets(&self, lines: &[&Line]) -> Result<Vec<(String, HostSet)>, SlurmConfError> {
        let mut sets = Vec::new();
        for line in lines {
            let mut all = HostSet::default();
            if let Some(text) = line.get("Nodes") {
                all = &all | &hostset(line, "Nodes", text)?;
            }
            for wanted in line.get("Feature").map(items).unwrap_or_default() {
                let have = |n: &&NodeLine| n.features.contains(&wanted);
                for with in self.nodes.iter().filter(have) {
                    all = &all | &with.nodes;
                }
            }
            sets.push((line.get("NodeSet").unwrap_or_default().to_owned(), all));
        }
        Ok(sets)
    }
}

/// `ControlMachine` and its kind, of old files.
#[derive(Default)]
struct OldControllers {
    machines: [Option<String>; 2],
    addrs: [Option<String>; 2],
}

impl OldControllers {
    fn controllers(self) -> Vec<Controller> {
        let both = self.machines.into_iter().zip(self.addrs);
        both.filter_map(|(host, addr)| Some(Controller { host: host?, addr }))
            .collect()
    }
}

/// `host` or `host(address)`.
fn controller(value: &str) -> Option<Controller> {
    let (host, addr) = match value.split_once('(') {
        Some((host, addr)) => (host, Some(addr.trim_end_matches(')').to_owned())),
        None => (value, None),
    };
    let host = host.trim().to_owned();
    (!host.is_empty()).then_some(Controller { host, addr })
}

fn node_line(line: &Line, names: &str, default: Option<&Line>) -> Result<NodeLine, SlurmConfError> {
    let get = |key| line.get(key).or_else(|| default.and_then(|d| d.get(key)));
    let features = get("Features").or_else(|| get("Feature"));
    Ok(NodeLine {
        nodes: hostset(line, "NodeName", names)?,
        state: get("State").unwrap_or("UNKNOWN").to_ascii_uppercase(),
        features: features.map(items).unwrap_or_default(),
    })
}

fn partition(
    line: &Line,
    default: Option<&Line>,
    sets: &[(String, HostSet)],
) -> Result<Partition, SlurmConfError> {
    let timeout = |key| -> Result<Option<Duration>, SlurmConfError> {
        let own = line.get(key).map(|v| (line, v));
        match own.or_else(|| default.and_then(|d| Some((d, d.get(key)?)))) {
            Some((line, value)) => Ok(Some(seconds(line, key, value)?.unwrap_or(INFINITE))),
            None => Ok(None),
        }
    };
    let own = line.get("Nodes").map(|v| (line, v));
    let nodes = match own.or_else(|| default.and_then(|d| Some((d, d.get("Nodes")?)))) {
        Some((_, text)) if text.eq_ignore_ascii_case("ALL") => None,
        Some((line, text)) => Some(with_sets(hostset(line, "Nodes", text)?, sets)),
        None => Some(HostSet::default()),
    };
    Ok(Partition {
        name: line.get("PartitionName").unwrap_or_default().to_owned(),
        nodes,
        resume_timeout: timeout("ResumeTimeout")?,
        suspend_timeout: timeout("SuspendTimeout")?,
    })
}

/// `nodes`, with the nodes of every set that is named among them.
fn with_sets(nodes: HostSet, sets: &[(String, HostSet)]) -> HostSet {
    let named = |name: &str| NodeName::new(name).is_ok_and(|name| nodes.contains(&name));
    let mut all = nodes.clone();
    for (_, set) in sets.iter().filter(|(name, _)| named(name)) {
        all = &all | set;
    }
    all
}

fn is_default(name: &str) -> bool {
    name.eq_ignore_ascii_case("DEFAULT")
}

fn hostset(line: &Line, key: &str, text: &str) -> Result<HostSet, SlurmConfError> {
    let limits = Limits::slurm();
    HostList::parse_with(text, Dialect::SlurmCompat, &limits)
        .and_then(|list| list.try_to_set(&limits))
        .map_err(|e| line.error(format!("{key}: {e}")))
}

fn items(value: &str) -> Vec<String> {
    value
        .split(',')
        .map(str::trim)
        .filter(|s| !s.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A time in seconds; none for `INFINITE`, `UNLIMITED` and `-1`.
fn seconds(line: &Line, key: &str, value: &str) -> Result<Option<Duration>, SlurmConfError> {
    let never = ["INFINITE", "UNLIMITED", "-1"];
    if never.iter().any(|word| value.eq_ignore_ascii_case(word)) {
        return Ok(None);
    }
    match value.parse::<u32>() {
        Ok(seconds) => Ok(Some(Duration::from_secs(seconds.into()))),
        Err(_) => Err(line.error(format!("{key}={value}: give whole seconds or INFINITE"))),
    }
}

#[cfg(test)]
#[path = "conf_tests.rs"]
mod tests;
