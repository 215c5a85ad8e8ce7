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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use slurmburst_core::config::{ConfigItem, ConfigValue, Source};

    use super::*;

    fn table(entries: &[(&str, ConfigValue)]) -> ConfigTable {
        let source = Source {
            file: "site.toml".into(),
            text: String::new(),
        };
        let item = |v: &ConfigValue| ConfigItem {
            value: v.clone(),
            key_offset: 0,
            offset: 0,
        };
        let entries: BTreeMap<String, ConfigItem> = entries
            .iter()
            .map(|(k, v)| ((*k).to_owned(), item(v)))
            .collect();
        ConfigTable::new(Arc::new(source), "provider.here", 0, entries)
    }

    fn text(s: &str) -> ConfigValue {
        ConfigValue::String(s.into())
    }

    fn list(s: &str) -> ConfigValue {
        ConfigValue::Array(vec![ConfigItem {
            value: text(s),
            key_offset: 0,
            offset: 0,
        }])
    }

    fn around() -> Surroundings {
        Surroundings::new(
            "here",
            "hpc1",
            "/etc/slurm/slurm.conf",
            "/var/lib/slurmburst",
        )
    }

    #[test]
    fn every_key_is_read() {
        let config = table(&[
            ("kind", text("local")),
            ("slurmd", text("/opt/slurmd")),
            ("run_dir", text("/tmp/x")),
            ("boot_delay", text("2s")),
            ("stop_timeout", text("1s")),
            ("max_batch", ConfigValue::Integer(3)),
            ("args", list("-vv")),
        ]);
        let config = LocalConfig::read(&config, &around()).unwrap();
        assert_eq!(config.slurmd.to_str(), Some("/opt/slurmd"));
        assert_eq!(config.boot_delay, Duration::from_secs(2));
        assert_eq!(config.stop_timeout, Duration::from_secs(1));
        assert_eq!(
            config.request().argv("c1").join(" "),
            "-D -b -f /etc/slurm/slurm.conf -N c1 -vv"
        );
        let provider = LocalProvider::new(config);
        assert_eq!(provider.capabilities().max_batch, 3);
        assert_eq!(provider.to_string(), "local(here)");
    }

    #[test]
    fn a_wrong_key_is_named() {
        for (key, value, says) in [
            ("slurmdd", text("/x"), "did you mean `slurmd`?"),
            ("slurmd", text("slurmd"), "must be an absolute path"),
            ("args", list("-Nc7"), "given by the provider itself"),
            ("max_batch", ConfigValue::Integer(0), "must be between"),
        ] {
            let error = LocalKind
                .provider(&table(&[(key, value)]), &around())
                .unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
            assert_eq!(error.key(), format!("provider.here.{key}"));
        }
        let error = LocalKind
            .template(&table(&[("image", text("x"))]), Lifecycle::CreateDelete)
            .unwrap_err();
        assert_eq!(error.key(), "provider.here.image");
    }
}
