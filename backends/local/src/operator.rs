//! [`LocalOperator`]: whether nodes would run here, and if not, why.

use std::fs;
use std::path::Path;

use async_trait::async_trait;
use nix::unistd::{AccessFlags, Uid, User, access};
use slurmburst_core::hostlist::NodeName;
use slurmburst_core::kind::{Finding, Operator};
use slurmburst_core::policy::Group;

use crate::books::Books;
use crate::config::LocalConfig;
use crate::process::Scan;
use crate::slurmconf::Conf;

/// The checks of a local provider.
#[derive(Debug, Clone)]
pub struct LocalOperator {
    config: LocalConfig,
    cluster: String,
}

impl LocalOperator {
    /// Checks for this configuration and this owner tag.
    pub fn new(config: LocalConfig, cluster: impl Into<String>) -> LocalOperator {
        LocalOperator {
            config,
            cluster: cluster.into(),
        }
    }

    fn slurmd(&self) -> Finding {
        let slurmd = &self.config.slurmd;
        let (what, shown) = ("slurmd", slurmd.display());
        if !slurmd.exists() {
            let fix = format!(
                "install Slurm's slurmd (Debian: `apt-get install slurmd`), or set provider.{}.slurmd",
                self.config.name
            );
            return Finding::error(what, format!("{shown} is not there"), fix);
        }
        if !slurmd.is_file() || access(slurmd, AccessFlags::X_OK).is_err() {
            return Finding::error(
                what,
                format!("{shown} is not executable"),
                format!("chmod 755 {shown}"),
            );
        }
        Finding::ok(what, shown.to_string())
    }

    /// Looks from `run_dir` up for the first folder that exists; makes nothing.
    fn run_dir(&self) -> Finding {
        let run_dir = &self.config.run_dir;
        let me = User::from_uid(Uid::effective())
            .ok()
            .flatten()
            .map_or_else(|| Uid::effective().to_string(), |u| u.name);
        let mut at: &Path = run_dir;
        while !at.exists() {
            let Some(parent) = at.parent() else { break };
            at = parent;
        }
        let shown = run_dir.display();
        if at.is_dir() && access(at, AccessFlags::W_OK | AccessFlags::X_OK).is_ok() {
            return Finding::ok("run_dir", format!("{shown}, writable for {me}"));
        }
        let found = format!("{} is not a folder that {me} may write to", at.display());
        Finding::error(
            "run_dir",
            found,
            format!("install -d -o {me} -m 755 {shown}"),
        )
    }

    /// Keys that several slurmds on one machine must not share.
    fn slurm_conf(&self) -> Vec<Finding> {
        let path = self.config.slurm_conf.display().to_string();
        let conf = match fs::metadata(&self.config.slurm_conf) {
            Ok(_) => Conf::read(&self.config.slurm_conf),
            Err(e) => {
                let fix = "set slurm.conf in the site file to the slurm.conf of this cluster";
                return vec![Finding::error("slurm.conf", format!("{path}: {e}"), fix)];
            }
        };
        let mut findings = Vec::new();
        for (key, usual) in [
            ("SlurmdPidFile", "/run/slurmd.%n.pid"),
            ("SlurmdSpoolDir", "/var/spool/slurmd.%n"),
        ] {
            let found = match conf.get(key) {
                Some(value) if value.contains("%n") => continue,
                Some(value) => format!("{value} has no %n"),
                None => "not set".to_owned(),
            };
            let found = format!("{found}: all nodes on this machine would share it");
            findings.push(Finding::error(
                key,
                found,
                format!("in {path}: {key}={usual}"),
            ));
        }
        if !Uid::effective().is_root() && matches!(conf.get("SlurmdUser"), None | Some("root")) {
            let fix = format!("in {path}: SlurmdUser=slurm, where SlurmUser=slurm; or run as root");
            let found = "slurmd is to run as root, and this user cannot do that";
            findings.push(Finding::error("SlurmdUser", found, fix));
        }
        if findings.is_empty() {
            findings.push(Finding::ok("slurm.conf", path));
        }
        findings
    }

    fn in_the_way(&self, nodes: &[NodeName]) -> Vec<Finding> {
        let scan = match Scan::take() {
            Ok(scan) => scan,
            Err(e) => {
                return vec![Finding::error(
                    "processes",
                    format!("/proc: {e}"),
                    "mount -t proc proc /proc",
                )];
            }
        };
        let books = Books::new(&self.config.run_dir, &self.cluster);
        nodes
            .iter()
            .filter_map(|node| scan.foreign(books.owner(), node.as_str(), &self.config.slurm_conf))
            .map(|other| {
                let pid = other.ident.pid;
                let found = format!(
                    "slurmd {pid} runs as {} and was not started by slurmburst",
                    other.node
                );
                Finding::error(other.node.clone(), found, format!("kill {pid}"))
            })
            .collect()
    }

    /// A slurmd needs about 10 MB; jobs come on top.
    fn memory(&self, nodes: usize) -> Option<Finding> {
        let text = fs::read_to_string("/proc/meminfo").ok()?;
        let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
        let kib: usize = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        let (have, need) = (kib / 1024, nodes.saturating_mul(10));
        let found = format!("{have} MB free, about {need} MB needed for {nodes} idle nodes");
        Some(if have >= need {
            Finding::ok("memory", found)
        } else {
            Finding::warning("memory", found, "name fewer local nodes in the site file")
        })
    }
}

#[async_trait]
impl Operator for LocalOperator {
    async fn check(&self, groups: &[Group]) -> Vec<Finding> {
        let nodes: Vec<NodeName> = groups.iter().flat_map(|g| &g.nodes).collect();
        let mut findings = vec![self.slurmd(), self.run_dir()];
        findings.extend(self.slurm_conf());
        findings.extend(self.memory(nodes.len()));
        findings.extend(self.in_the_way(&nodes));
        findings
    }
}
