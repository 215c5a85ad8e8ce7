//! [`LocalKind`]: `kind = "local"`.

use std::sync::Arc;

use slurmburst_core::config::{ConfigError, ConfigTable};
use slurmburst_core::kind::{Operator, ProviderKind, Surroundings};
use slurmburst_core::provider::{CloudProvider, Lifecycle, Template};

use crate::config::LocalConfig;
use crate::operator::LocalOperator;
use crate::provider::LocalProvider;

/// `kind = "local"`. A placement has no keys of its own: every node is a
/// slurmd on this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalKind;

impl ProviderKind for LocalKind {
    fn name(&self) -> &'static str {
        "local"
    }

    fn provider(
        &self,
        config: &ConfigTable,
        around: &Surroundings,
    ) -> Result<Arc<dyn CloudProvider>, ConfigError> {
        Ok(Arc::new(LocalProvider::new(LocalConfig::read(
            config, around,
        )?)))
    }

    fn template(&self, config: &ConfigTable, _: Lifecycle) -> Result<Template, ConfigError> {
        config.only(&[])?;
        Ok(Template::default())
    }

    fn operator(
        &self,
        config: &ConfigTable,
        around: &Surroundings,
    ) -> Result<Option<Arc<dyn Operator>>, ConfigError> {
        let config = LocalConfig::read(config, around)?;
        Ok(Some(Arc::new(LocalOperator::new(
            config,
            &around.cluster_id,
        ))))
    }
}
