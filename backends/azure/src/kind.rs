//! [`AzureKind`]: `kind = "azure"`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use slurmburst_core::config::{ConfigError, ConfigTable};
use slurmburst_core::kind::{Operator, ProviderKind, Surroundings};
use slurmburst_core::provider::{CloudProvider, Lifecycle, Template};

use crate::config::AzureConfig;
use crate::operator::AzureOperator;
use crate::provider::AzureProvider;
use crate::template;

/// `kind = "azure"`.
#[derive(Debug, Clone, Default)]
pub struct AzureKind {
    /// Whether a placement has `public_ip`: what only that needs is asked for only then.
    public_ips: Arc<AtomicBool>,
}

impl AzureKind {
    /// The provider, told what the templates that this kind reads need of it.
    pub fn of_this_site(&self, mut provider: AzureProvider) -> AzureProvider {
        provider.public_ips = Arc::clone(&self.public_ips);
        provider
    }
}

impl ProviderKind for AzureKind {
    fn name(&self) -> &'static str {
        "azure"
    }

    fn provider(
        &self,
        config: &ConfigTable,
        around: &Surroundings,
    ) -> Result<Arc<dyn CloudProvider>, ConfigError> {
        let provider = AzureProvider::new(AzureConfig::read(config, around)?);
        Ok(Arc::new(self.of_this_site(provider)))
    }

    fn template(
        &self,
        config: &ConfigTable,
        lifecycle: Lifecycle,
    ) -> Result<Template, ConfigError> {
        let template = template::read(config, lifecycle)?;
        if config.bool("public_ip")? == Some(true) {
            self.public_ips.store(true, Ordering::Relaxed);
        }
        Ok(template)
    }

    fn operator(
        &self,
        config: &ConfigTable,
        around: &Surroundings,
    ) -> Result<Option<Arc<dyn Operator>>, ConfigError> {
        let provider = self.of_this_site(AzureProvider::new(AzureConfig::read(config, around)?));
        Ok(Some(Arc::new(AzureOperator::new(
            provider,
            &around.cluster_id,
        ))))
    }
}
