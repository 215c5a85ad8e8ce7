//! What has to be known: from flags, from slurm.conf, or asked on a terminal.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use slurmburst::hostlist::HostSet;
use slurmburst::site::{DEFAULT_SLURM_CONF, DEFAULT_STATE_DIR, FILE_NAME};
use slurmburst::slurm::conf::SlurmConf;

use super::{Args, random_tag};
use crate::failure::{BAD_NEWS, Failure, USAGE};
use crate::site::{environment, nodes};

/// Everything that the files say.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) cluster: String,
    pub(super) cluster_id: String,
    pub(super) nodes: HostSet,
    pub(super) provider: String,
    pub(super) slurm_conf: PathBuf,
    pub(super) slurm_user: String,
    /// Where the site file will be.
    pub(super) site_file: PathBuf,
    pub(super) state_dir: PathBuf,
    pub(super) bin_dir: PathBuf,
    pub(super) out: PathBuf,
}

pub(super) fn gather(args: &Args, config: Option<&Path>) -> Result<Answers, Failure> {
    let ask = io::stdin().is_terminal() && io::stdout().is_terminal();
    let path = |flag: &Option<PathBuf>| flag.as_ref().map(|p| p.display().to_string());
    let question = |flag: Option<String>, what: &str, default: Option<String>| match flag {
        Some(value) => Ok(value),
        None if ask => prompt(what, default.as_deref()),
        None => default
            .ok_or_else(|| Failure::new(USAGE, format!("{what} is not known; give it as a flag"))),
    };

    let found = environment()
        .slurm_conf
        .unwrap_or_else(|| DEFAULT_SLURM_CONF.into());
    let slurm_conf = question(
        path(&args.slurm_conf),
        "Path of slurm.conf",
        Some(found.display().to_string()),
    )?;
    let slurm_conf = absolute("--slurm-conf", &slurm_conf)?;
    // A help for defaults only: it may not be there yet.
    let conf = SlurmConf::load(&slurm_conf).ok();

    let named = conf.as_ref().and_then(|c| c.cluster_name.clone());
    let cluster = question(
        args.cluster.clone(),
        "Name of the cluster (--cluster)",
        named,
    )?;
    let cluster_id = match &args.cluster_id {
        Some(tag) => tag.clone(),
        None => {
            let random =
                random_tag().map_err(|e| Failure::new(BAD_NEWS, format!("/dev/urandom: {e}")))?;
            format!("{}-{random}", tag_of(&cluster))
        }
    };

    let cloud = conf
        .as_ref()
        .map(cloud_nodes)
        .filter(|nodes| !nodes.is_empty());
    let hostlist = question(
        args.hostlist.clone(),
        "Nodes that may be powered up and down (--hostlist)",
        cloud.map(|nodes| nodes.to_string()),
    )?;
    let nodes = nodes(&hostlist)?;
    if nodes.is_empty() {
        return Err(Failure::new(USAGE, "--hostlist names no node"));
    }

    let kinds: Vec<&str> = slurmburst::kinds().iter().map(|k| k.name()).collect();
    let what = format!("Kind of provider ({})", kinds.join(", "));
    let provider = question(
        args.provider.clone(),
        &what,
        // The one whose whole site can be written here, where this build has it.
        (kinds.iter().find(|k| **k == "local").or(kinds.first())).map(|k| (*k).to_owned()),
    )?;
    let state_dir = question(
        path(&args.state_dir),
        "Folder of the ledger, on a local disk",
        Some(DEFAULT_STATE_DIR.into()),
    )?;
    let here = std::env::current_exe()
        .ok()
        .and_then(|exe| exe.parent().map(|p| p.display().to_string()));
    let bin_dir = question(
        path(&args.bin_dir),
        "Folder of the programs",
        Some(here.unwrap_or_else(|| "/usr/sbin".into())),
    )?;
    let out = question(
        path(&args.out),
        "Folder to write to",
        Some(format!("slurmburst-{}", tag_of(&cluster))),
    )?;

    let site_file = config.map_or_else(|| slurm_conf.with_file_name(FILE_NAME), Path::to_owned);
    Ok(Answers {
        site_file: absolute("--config", &site_file.display().to_string())?,
        slurm_user: conf.map_or_else(|| "slurm".to_owned(), |c| c.slurm_user),
        state_dir: absolute("--state-dir", &state_dir)?,
        bin_dir: absolute("--bin-dir", &bin_dir)?,
        out: PathBuf::from(out),
        cluster,
        cluster_id,
        nodes,
        provider,
        slurm_conf,
    })
}

/// Asks until there is an answer.
fn prompt(what: &str, default: Option<&str>) -> Result<String, Failure> {
    loop {
        let mut stdout = io::stdout();
        match default {
            Some(default) => write!(stdout, "{what} [{default}]: ")?,
            None => write!(stdout, "{what}: ")?,
        }
        stdout.flush()?;
        let mut line = String::new();
        let read = io::stdin()
            .read_line(&mut line)
            .map_err(|e| Failure::new(USAGE, format!("standard input: {e}")))?;
        match (line.trim(), default) {
            ("", Some(default)) => return Ok(default.to_owned()),
            ("", None) if read == 0 => return Err(Failure::new(USAGE, "no answer")),
            ("", None) => {}
            (answer, _) => return Ok(answer.to_owned()),
        }
    }
}

fn cloud_nodes(conf: &SlurmConf) -> HostSet {
    let cloud = conf.nodes.iter().filter(|line| line.is_cloud());
    cloud.fold(HostSet::default(), |all, line| &all | &line.nodes)
}

/// A path that every file it goes into takes as it stands: TOML, slurm.conf,
/// and systemd's units, which each read some characters as something else.
fn absolute(flag: &str, text: &str) -> Result<PathBuf, Failure> {
    let plain = |c: char| c.is_alphanumeric() || "/._-+@:,=".contains(c);
    if !text.starts_with('/') {
        return Err(Failure::new(
            USAGE,
            format!("{flag}: `{text}` is no absolute path"),
        ));
    }
    match text.chars().find(|c| !plain(*c)) {
        None => Ok(PathBuf::from(text)),
        Some(c) => Err(Failure::new(
            USAGE,
            format!(
                "{flag}: a path with {c:?} is read differently by slurm.conf and systemd; take another"
            ),
        )),
    }
}

/// The cluster's name as the beginning of a tag: a-z, 0-9 and `-`, a letter first.
fn tag_of(cluster: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let tag: String = cluster.chars().map(plain).take(50).collect();
    let tag = tag.trim_matches('-');
    match tag.starts_with(|c: char| c.is_ascii_lowercase()) {
        true => tag.to_owned(),
        false => format!("c{tag}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_makes_a_tag() {
        for (name, tag) in [
            ("hpc1", "hpc1"),
            ("My Cluster", "my-cluster"),
            ("1st", "c1st"),
            ("-", "c"),
            ("ä", "c"),
        ] {
            assert_eq!(tag_of(name), tag);
        }
    }

    #[test]
    fn paths_are_plain() {
        assert!(absolute("--out", "/var/lib/x-1_2.d").is_ok());
        for bad in ["x", "/a b", "/a\"b", "/a%b", "/a\nb", "/a#b"] {
            assert!(absolute("--out", bad).is_err(), "{bad}");
        }
    }
}
