//! A kind that does nothing, and what the tests share.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;

use super::{Site, SiteContext};
use crate::config::{ConfigError, ConfigTable};
use crate::error::{Error, ErrorKind, Result};
use crate::hostlist::NodeName;
use crate::kind::{Operator, ProviderKind, Surroundings};
use crate::outcome::Outcomes;
use crate::provider::{
    Call, Capabilities, Chore, CloudProvider, Context, Lifecycle, Listing, Market, Pending,
    Placement, PowerDown, Rendered, Template,
};

mod examples;
mod files;
mod mutations;
mod rules;

/// `local`: both lifecycles, no tag. `tagged`: a tag, create-delete only.
struct TestKind(&'static str);

#[derive(Debug)]
struct Nothing(Capabilities);

impl fmt::Display for Nothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing")
    }
}

#[async_trait]
impl CloudProvider for Nothing {
    fn capabilities(&self) -> &Capabilities {
        &self.0
    }
    async fn list(&self, _: &Context) -> Result<Listing> {
        Err(Error::new(ErrorKind::Unsupported, "a test"))
    }
    async fn power_up(&self, _: &Context, calls: &[Call]) -> Outcomes {
        Outcomes::new(calls.iter().flat_map(Call::names).cloned())
    }
    async fn power_down(&self, _: &Context, batch: &[PowerDown]) -> Outcomes {
        Outcomes::new(batch.iter().map(|b| b.node.clone()))
    }
    async fn poll(&self, _: &Context, pending: &[Pending]) -> Outcomes {
        Outcomes::new(pending.iter().map(|p| p.node.clone()))
    }
    async fn tidy(&self, _: &Context, chores: &[Chore]) -> Outcomes {
        Outcomes::new(chores.iter().map(|c| c.node().clone()))
    }
    fn render(&self, _: &Placement, _: &[NodeName]) -> Result<Vec<Rendered>> {
        Err(Error::new(ErrorKind::Unsupported, "a test"))
    }
}

impl ProviderKind for TestKind {
    fn name(&self) -> &'static str {
        self.0
    }

    fn provider(
        &self,
        config: &ConfigTable,
        around: &Surroundings,
    ) -> Result<Arc<dyn CloudProvider>, ConfigError> {
        config.only(&["slurmd", "run_dir", "boot_delay"])?;
        config.path_of("slurmd")?;
        config.path_of("run_dir")?;
        config.duration("boot_delay")?;
        let principal = format!(
            "{} {} {} {}",
            around.provider,
            around.cluster_id,
            around.slurm_conf.display(),
            around.state_dir.display()
        );
        let mut capabilities = Capabilities::new(principal);
        capabilities.needs_cluster_id = self.0 == "tagged";
        if self.0 == "local" {
            capabilities.lifecycles.push(Lifecycle::StartDeallocate);
        }
        Ok(Arc::new(Nothing(capabilities)))
    }

    fn template(&self, config: &ConfigTable, _: Lifecycle) -> Result<Template, ConfigError> {
        config.only(&["region", "zone", "size", "market", "image"])?;
        let text = |key| config.str(key).map(|value| value.map(str::to_owned));
        Ok(Template {
            region: text("region")?,
            zone: text("zone")?,
            size: text("size")?,
            market: match config.word("market", &["on-demand", "spot"])? {
                Some("spot") => Market::Spot,
                _ => Market::OnDemand,
            },
            body: json!({ "image": text("image")? }),
        })
    }

    fn operator(
        &self,
        _: &ConfigTable,
        _: &Surroundings,
    ) -> Result<Option<Arc<dyn Operator>>, ConfigError> {
        Ok(None)
    }
}

fn kinds() -> Vec<Arc<dyn ProviderKind>> {
    vec![Arc::new(TestKind("local")), Arc::new(TestKind("tagged"))]
}

fn context() -> SiteContext {
    SiteContext {
        slurm_conf: Some("/conf/slurm.conf".into()),
        cluster_name: Some("hpc1".to_owned()),
        absent_kinds: vec!["elsewhere".to_owned()],
    }
}

fn parse(text: &str) -> Result<Site, ConfigError> {
    Site::parse(Path::new("s.toml"), text, &kinds(), &context())
}

/// The error that this text must have.
fn error(text: &str) -> String {
    match parse(text) {
        Ok(site) => panic!("accepted: {site:?}"),
        Err(e) => e.to_string(),
    }
}

/// The least good file, after `top`.
fn with(top: &str) -> String {
    format!("{top}\n{LEAST}")
}

const LEAST: &str = r#"[provider.here]
kind = "local"
[[nodes]]
hostlist = "c[1-3]"
  [[nodes.placement]]
  provider = "here"
"#;

/// Every key there is.
const WHOLE: &str = r#"cluster = "Uni"
cluster_id = "uni-7f3a9c"
state_dir = "/state"
log_file = "/log"
return_after = "3s"
orphan_grace = "1m30s"
max_power_ups_per_hour = 0
unknown_nodes = "ignore"
deadline_margin = "3s"
[cool_off]
capacity = "1m"
failure = "2m"
[slurm]
conf = "/slurm.conf"
scontrol = "/opt/slurm/bin/scontrol"
set_node_addr = "never"
timeout = "4s"
[provider.z]
kind = "local"
run_dir = "/run/x"
[provider.a]
kind = "tagged"
[[nodes]]
hostlist = "c[1-3],d1"
  [nodes.tagged]
  image = "i1"
  size = "s1"
  [[nodes.placement]]
  provider = "a"
  zone = "2"
  market = "spot"
  [[nodes.placement]]
  provider = "a"
  size = "s2"
  name = "big"
  [[nodes.placement]]
  provider = "z"
[[nodes]]
hostlist = "e[1-2]"
lifecycle = "start-deallocate"
  [[nodes.placement]]
  provider = "z"
"#;
