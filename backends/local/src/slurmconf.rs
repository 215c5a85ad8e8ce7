//! The few keys of slurm.conf that matter to several slurmds on one machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::books::absent_is_fine;

/// The text of a slurm.conf; empty where it cannot be read. `Include` is not
/// followed: what is not found is left as it is.
#[derive(Debug)]
pub(crate) struct Conf(String);

impl Conf {
    pub(crate) fn read(path: &Path) -> Conf {
        let bytes = fs::read(path).unwrap_or_default();
        Conf(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A value of a line of its own; keys are compared as Slurm does, without case.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.lines().rev().find_map(|line| {
            let line = line.split('#').next().unwrap_or_default();
            let (name, value) = line.split_once('=')?;
            name.trim()
                .eq_ignore_ascii_case(key)
                .then(|| value.trim().trim_matches('"'))
        })
    }

    fn path_for(&self, key: &str, node: &str) -> Option<PathBuf> {
        let value = self.get(key)?;
        // Without %n it is every node's, and never one's to delete.
        value
            .contains("%n")
            .then(|| PathBuf::from(value.replace("%n", node)))
    }

    /// Removes what a slurmd that was killed left: its pid file and its spool
    /// folder, if they are this node's alone and inside `within`.
    pub(crate) fn clean(&self, node: &str, within: &Path) -> io::Result<()> {
        let inside = |path: &PathBuf| {
            path.starts_with(within)
                && path
                    .components()
                    .all(|c| c != std::path::Component::ParentDir)
        };
        if let Some(pid_file) = self.path_for("SlurmdPidFile", node).filter(inside) {
            absent_is_fine(fs::remove_file(pid_file))?;
        }
        if let Some(spool) = self.path_for("SlurmdSpoolDir", node).filter(inside) {
            absent_is_fine(fs::remove_dir_all(spool))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_no_case_and_the_last_one_counts() {
        let conf = Conf("slurmdpidfile = /a/%n # x\n#SlurmdPidFile=/no\nSlurmdPidFile=/b/%n\nNodeName=a CPUs=1\n".into());
        assert_eq!(conf.get("SlurmdPidFile"), Some("/b/%n"));
        assert_eq!(conf.get("SlurmdSpoolDir"), None);
    }

    #[test]
    fn only_what_is_the_nodes_own_and_inside_is_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["spool/c1", "shared", "out/c1"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        let clean = |value: String| {
            Conf(format!("SlurmdSpoolDir={value}"))
                .clean("c1", &path("spool"))
                .unwrap();
        };
        clean(format!("{}/out/%n", dir.path().display()));
        clean(format!("{}/spool/../out/%n", dir.path().display()));
        clean(format!("{}/spool", dir.path().display()));
        assert!(path("out/c1").exists() && path("spool/c1").exists());
        clean(format!("{}/spool/%n", dir.path().display()));
        assert!(!path("spool/c1").exists());
    }
}
