//! [`ProviderKind`]: how a `kind = "..."` of the site file becomes a provider.
//!
//! * `operator`: [`Operator`], what a person may ask of a provider.
//! * `answers`: what it answers with.
//! * `finding`: what a check finds.

mod answers;
mod finding;
mod operator;

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{ConfigError, ConfigTable};
use crate::error::Result;
use crate::provider::{CloudProvider, Lifecycle, Template};

pub use answers::{Image, ImageFilter, MachineInfo, Quota, Usual, Whose};
pub use finding::{Finding, Level};
pub use operator::{Action, Operator};

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
