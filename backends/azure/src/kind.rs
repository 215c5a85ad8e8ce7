//! [`AzureKind`]: `kind = "azure"`.

use std::sync::Arc;

use slurmburst_core::config::{ConfigError, ConfigTable};
use slurmburst_core::kind::{Operator, ProviderKind, Surroundings};
use slurmburst_core::provider::{CloudProvider, Lifecycle, Template};

use crate::config::AzureConfig;
use crate::operator::AzureOperator;
use crate::provider::AzureProvider;
use crate::template;

/// `kind = "azure"`.
#[derive(Debug, Clone, Copy, Default)]
pub struct AzureKind;

impl ProviderKind for AzureKind {
    fn name(&self) -> &'static str {
        "azure"
    }

    fn provider(
        &self,
        config: &ConfigTable,
        around: &Surroundings,
    ) -> Result<Arc<dyn CloudProvider>, ConfigError> {
        Ok(Arc::new(AzureProvider::new(AzureConfig::read(
            config, around,
        )?)))
    }

    fn template(
        &self,
        config: &ConfigTable,
        lifecycle: Lifecycle,
    ) -> Result<Template, ConfigError> {
        template::read(config, lifecycle)
    }

    fn operator(
        &self,
        config: &ConfigTable,
        around: &Surroundings,
    ) -> Result<Option<Arc<dyn Operator>>, ConfigError> {
        let provider = AzureProvider::new(AzureConfig::read(config, around)?);
        Ok(Some(Arc::new(AzureOperator::new(
            provider,
            &around.cluster_id,
        ))))
    }
}
