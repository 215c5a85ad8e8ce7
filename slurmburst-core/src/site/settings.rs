//! The keys that are not a provider's or a group's.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{
    CoolOff, DEFAULT_LOG_FILE, DEFAULT_SCONTROL, DEFAULT_SLURM_CONF, DEFAULT_STATE_DIR,
    SetNodeAddr, SiteContext, SlurmSection, UnknownNodes,
};
use crate::config::{ConfigError, ConfigTable};
use crate::kind::ProviderKind;

/// Every key at the top of the file.
const TOP: [&str; 13] = [
    "cluster",
    "cluster_id",
    "cool_off",
    "deadline_margin",
    "log_file",
    "max_power_ups_per_hour",
    "nodes",
    "orphan_grace",
    "provider",
    "return_after",
    "slurm",
    "state_dir",
    "unknown_nodes",
];

/// Slurm's own times are far below; arithmetic with it cannot overflow.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// What [`read`] found.
pub(super) struct Settings {
    pub(super) cluster: String,
    pub(super) cluster_id: ClusterId,
    pub(super) state_dir: PathBuf,
    pub(super) log_file: PathBuf,
    pub(super) return_after: Duration,
    pub(super) orphan_grace: Duration,
    pub(super) max_power_ups_per_hour: u32,
    pub(super) unknown_nodes: UnknownNodes,
    pub(super) cool_off: CoolOff,
    pub(super) deadline_margin: Option<Duration>,
    pub(super) slurm: SlurmSection,
}

/// The owner tag, and whether the file states it.
pub(super) struct ClusterId {
    pub(super) tag: String,
    pub(super) stated: bool,
}

pub(super) fn read(
    root: &ConfigTable,
    kinds: &[Arc<dyn ProviderKind>],
    ctx: &SiteContext,
) -> Result<Settings, ConfigError> {
    known_at_top(root, kinds)?;
    let cluster = cluster(root, ctx)?;
    Ok(Settings {
        cluster_id: cluster_id(root, &cluster)?,
        cluster,
        state_dir: path(root, "state_dir", DEFAULT_STATE_DIR)?,
        log_file: path(root, "log_file", DEFAULT_LOG_FILE)?,
        return_after: time(root, "return_after", Duration::ZERO, Duration::from_secs(1))?,
        orphan_grace: time(
            root,
            "orphan_grace",
            Duration::ZERO,
            Duration::from_secs(90),
        )?,
        max_power_ups_per_hour: root
            .integer("max_power_ups_per_hour", 0..=i64::from(u32::MAX))?
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(6),
        unknown_nodes: match root.word("unknown_nodes", &["refuse", "ignore"])? {
            Some("ignore") => UnknownNodes::Ignore,
            _ => UnknownNodes::Refuse,
        },
        cool_off: cool_off(root)?,
        deadline_margin: optional_time(root, "deadline_margin", Duration::ZERO)?,
        slurm: slurm(root, ctx)?,
    })
}

/// As [`ConfigTable::only`]; a table that lacks its section's name is told it.
fn known_at_top(root: &ConfigTable, kinds: &[Arc<dyn ProviderKind>]) -> Result<(), ConfigError> {
    for (key, _) in root.entries() {
        if !TOP.contains(&key) && kinds.iter().any(|kind| kind.name() == key) {
            let message = format!(
                "a kind of provider is no section; write [provider.NAME] with kind = \"{key}\""
            );
            return Err(root.key_error(key, message));
        }
    }
    root.only(&TOP)
}

/// As [`ConfigTable::only`], for a table below the top: a key of the top that
/// was written below a `[table]` line is TOML's most common surprise.
pub(super) fn only(table: &ConfigTable, known: &[&str]) -> Result<(), ConfigError> {
    table.only(known).map_err(|error| {
        let misplaced = table
            .entries()
            .find(|(key, _)| !known.contains(key) && error.key().ends_with(&format!(".{key}")))
            .filter(|(key, _)| TOP.contains(key));
        match misplaced {
            Some((key, _)) => table.key_error(
                key,
                "belongs to the top of the file, above the first line in brackets; move it there",
            ),
            None => error,
        }
    })
}

fn path(table: &ConfigTable, key: &str, default: &str) -> Result<PathBuf, ConfigError> {
    Ok(table
        .path_of(key)?
        .unwrap_or_else(|| PathBuf::from(default)))
}

fn optional_time(
    table: &ConfigTable,
    key: &str,
    least: Duration,
) -> Result<Option<Duration>, ConfigError> {
    match table.duration(key)? {
        Some(time) if time < least => {
            Err(table.error(key, format!("must be at least \"{}ms\"", least.as_millis())))
        }
        Some(time) if time > LONGEST => Err(table.error(key, "must be at most \"365d\"")),
        other => Ok(other),
    }
}

fn time(
    table: &ConfigTable,
    key: &str,
    least: Duration,
    default: Duration,
) -> Result<Duration, ConfigError> {
    Ok(optional_time(table, key, least)?.unwrap_or(default))
}

fn cluster(root: &ConfigTable, ctx: &SiteContext) -> Result<String, ConfigError> {
    let Some(name) = root.str("cluster")?.or(ctx.cluster_name.as_deref()) else {
        let message = "is required here, because no ClusterName was found in slurm.conf; \
                       add cluster = \"NAME\"";
        return Err(root.error("cluster", message));
    };
    let good = !name.is_empty()
        && name.len() <= 64
        && name.chars().all(|c| !c.is_whitespace() && !c.is_control());
    if good {
        return Ok(name.to_owned());
    }
    let message = format!(
        "must be 1 to 64 characters without spaces, is \"{}\"",
        super::brief(name)
    );
    Err(root.error("cluster", message))
}

fn cluster_id(root: &ConfigTable, cluster: &str) -> Result<ClusterId, ConfigError> {
    let Some(tag) = root.str("cluster_id")? else {
        return Ok(ClusterId {
            tag: tag_from(cluster),
            stated: false,
        });
    };
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = (1..=63).contains(&tag.len())
        && tag.starts_with(|c: char| c.is_ascii_lowercase())
        && tag.chars().all(allowed);
    if good {
        return Ok(ClusterId {
            tag: tag.to_owned(),
            stated: true,
        });
    }
    let message = format!(
        "must be 1 to 63 of a-z, 0-9 and -, the first a letter, is \"{}\"",
        super::brief(tag)
    );
    Err(root.error("cluster_id", message))
}

/// The cluster's name as a tag, for providers that write none anywhere.
fn tag_from(cluster: &str) -> String {
    let word = |c: char| {
        let c = c.to_ascii_lowercase();
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            c
        } else {
            '-'
        }
    };
    let prefix = if cluster.starts_with(|c: char| c.is_ascii_alphabetic()) {
        ""
    } else {
        "c-"
    };
    prefix
        .chars()
        .chain(cluster.chars().map(word))
        .take(63)
        .collect()
}

fn cool_off(root: &ConfigTable) -> Result<CoolOff, ConfigError> {
    let empty = root.empty("cool_off");
    let table = root.table("cool_off")?.unwrap_or(&empty);
    only(table, &["capacity", "failure"])?;
    Ok(CoolOff {
        capacity: time(table, "capacity", Duration::ZERO, Duration::from_secs(300))?,
        failure: time(table, "failure", Duration::ZERO, Duration::from_secs(600))?,
    })
}

fn slurm(root: &ConfigTable, ctx: &SiteContext) -> Result<SlurmSection, ConfigError> {
    let empty = root.empty("slurm");
    let table = root.table("slurm")?.unwrap_or(&empty);
    only(table, &["conf", "scontrol", "set_node_addr", "timeout"])?;
    let conf = table.path_of("conf")?.or_else(|| ctx.slurm_conf.clone());
    Ok(SlurmSection {
        conf: conf.unwrap_or_else(|| PathBuf::from(DEFAULT_SLURM_CONF)),
        scontrol: path(table, "scontrol", DEFAULT_SCONTROL)?,
        set_node_addr: match table.word("set_node_addr", &["auto", "always", "never"])? {
            Some("always") => SetNodeAddr::Always,
            Some("never") => SetNodeAddr::Never,
            _ => SetNodeAddr::Auto,
        },
        timeout: time(
            table,
            "timeout",
            Duration::from_millis(100),
            Duration::from_secs(10),
        )?,
    })
}
