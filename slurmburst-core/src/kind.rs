//! [`ProviderKind`]: how a `kind = "..."` of the site file becomes a provider.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use crate::config::{ConfigError, ConfigTable};
use crate::error::Result;
use crate::hostlist::NodeName;
use crate::provider::{CloudProvider, Lifecycle, Template};

/// Makes providers and templates from the site file. The facade's `kinds()`
/// lists ours; a third party adds its own to that list.
pub trait ProviderKind: Send + Sync {
    /// The word after `kind =`.
    fn name(&self) -> &'static str;

    /// The provider that `[provider.NAME]` describes. Checks every key; makes
    /// no call.
    ///
    /// # Errors
    /// The first wrong or missing key.
    fn provider(
        &self,
        config: &ConfigTable,
        around: &Surroundings,
    ) -> Result<Arc<dyn CloudProvider>, ConfigError>;

    /// The template that a placement describes: the group's table of this
    /// kind's name (`[nodes.KIND]`) overlaid with the placement's own keys.
    ///
    /// # Errors
    /// The first wrong or missing key.
    fn template(&self, config: &ConfigTable, lifecycle: Lifecycle)
    -> Result<Template, ConfigError>;

    /// What the operator's command can do with it beyond the provider's own
    /// calls.
    ///
    /// # Errors
    /// As [`ProviderKind::provider`].
    fn operator(
        &self,
        config: &ConfigTable,
        around: &Surroundings,
    ) -> Result<Option<Arc<dyn Operator>>, ConfigError>;
}

/// What a provider may need to know of where it runs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Surroundings {
    /// The NAME of `[provider.NAME]`.
    pub provider: String,
    /// The cluster's owner tag.
    pub cluster_id: String,
    /// The path of slurm.conf, for what starts a Slurm daemon by itself.
    pub slurm_conf: PathBuf,
    /// Where the ledger is; a provider may keep files in a folder of its name there.
    pub state_dir: PathBuf,
}

impl Surroundings {
    /// All of them.
    pub fn new(
        provider: impl Into<String>,
        cluster_id: impl Into<String>,
        slurm_conf: impl Into<PathBuf>,
        state_dir: impl Into<PathBuf>,
    ) -> Surroundings {
        Surroundings {
            provider: provider.into(),
            cluster_id: cluster_id.into(),
            slurm_conf: slurm_conf.into(),
            state_dir: state_dir.into(),
        }
    }
}

/// What a person wants of a provider and slurmctld does not.
#[async_trait]
pub trait Operator: Send + Sync {
    /// Whether this provider would work for these nodes: credential,
    /// permissions, network, image, size, quota. Every finding with its fix.
    async fn check(&self, nodes: &[NodeName]) -> Vec<Finding>;
}

/// One result of a check.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was looked at, in a few words.
    pub what: String,
    /// What was found.
    pub found: String,
    /// What to do about it; a command where one does it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(what: impl Into<String>, found: impl Into<String>) -> Finding {
        Finding {
            level: Level::Ok,
            what: what.into(),
            found: found.into(),
            fix: None,
        }
    }

    /// It works, but.
    pub fn warning(
        what: impl Into<String>,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) -> Finding {
        Finding {
            level: Level::Warning,
            what: what.into(),
            found: found.into(),
            fix: Some(fix.into()),
        }
    }

    /// It will not work.
    pub fn error(
        what: impl Into<String>,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) -> Finding {
        Finding {
            level: Level::Error,
            what: what.into(),
            found: found.into(),
            fix: Some(fix.into()),
        }
    }
}

/// How bad a [`Finding`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, but.
    Warning,
    /// It will not work.
    Error,
}
