//! [`LocalProvider`].

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use slurmburst_core::error::{Effect, Error, ErrorKind, Result};
use slurmburst_core::hostlist::NodeName;
use slurmburst_core::outcome::{Outcome, Outcomes};
use slurmburst_core::provider::{
    Call, Capabilities, Chore, CloudProvider, Context, Direction, Lifecycle, Listing, Pending,
    Placement, PowerDown, Rendered,
};

use crate::config::LocalConfig;
use crate::host::Host;

/// Nodes as slurmd processes on this machine.
#[derive(Debug, Clone)]
pub struct LocalProvider {
    host: Arc<Host>,
    capabilities: Capabilities,
}

impl LocalProvider {
    /// A provider of this configuration. Looks at nothing yet.
    pub fn new(config: LocalConfig) -> LocalProvider {
        let mut capabilities = Capabilities::new("this machine");
        capabilities.max_batch = config.max_batch;
        capabilities.lifecycles = vec![Lifecycle::CreateDelete, Lifecycle::StartDeallocate];
        capabilities.needs_cluster_id = false;
        LocalProvider {
            host: Arc::new(Host::new(config)),
            capabilities,
        }
    }

    /// What it was made from.
    pub fn config(&self) -> &LocalConfig {
        &self.host.config
    }

    /// Runs blocking work on a thread of its own. It goes on there when the
    /// caller is gone, and the books say how far it came.
    async fn blocking<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Host) -> T + Send + 'static,
    {
        let host = Arc::clone(&self.host);
        tokio::task::spawn_blocking(move || work(&host))
            .await
            .map_err(|e| {
                let message = "the thread that does the work ended; see the log before it";
                Error::new(ErrorKind::Unexpected, message)
                    .effect(Effect::Unknown)
                    .source(e)
            })
    }
}

impl fmt::Display for LocalProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "local({})", self.host.config.name)
    }
}

/// The deadline as the standard library's clock shows it.
fn until(cx: &Context) -> Instant {
    let now = Instant::now();
    now.checked_add(cx.remaining())
        .unwrap_or(now + Duration::from_secs(3600))
}

fn too_late(nodes: impl Iterator<Item = NodeName>) -> Outcomes {
    Outcomes::all(nodes, &Outcome::Skipped("the deadline had passed".into()))
}

/// slurmctld counts a registration only from a boot after its request, and
/// compares whole seconds: a slurmd that starts within the second of the request
/// is now and then taken for one that was up before, and ignored for good.
const NO_SOONER: Duration = Duration::from_millis(1_200);

#[async_trait]
impl CloudProvider for LocalProvider {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn list(&self, cx: &Context) -> Result<Listing> {
        let cluster = cx.cluster_id().to_owned();
        self.blocking(move |host| host.list(&cluster)).await?
    }

    async fn power_up(&self, cx: &Context, calls: &[Call]) -> Outcomes {
        let names: Vec<NodeName> = calls.iter().flat_map(Call::names).cloned().collect();
        if cx.remaining().is_zero() {
            return too_late(names.into_iter());
        }
        if self.host.config.boot_delay < NO_SOONER {
            tokio::time::sleep(NO_SOONER.min(cx.remaining())).await;
        }
        let (cluster, calls, until) = (cx.cluster_id().to_owned(), calls.to_vec(), until(cx));
        self.blocking(move |host| host.power_up(&cluster, &calls, until))
            .await
            .unwrap_or_else(|e| Outcomes::failed(names, &e))
    }

    async fn power_down(&self, cx: &Context, batch: &[PowerDown]) -> Outcomes {
        let names: Vec<NodeName> = batch.iter().map(|d| d.node.clone()).collect();
        if cx.remaining().is_zero() {
            return too_late(names.into_iter());
        }
        let (cluster, batch, until) = (cx.cluster_id().to_owned(), batch.to_vec(), until(cx));
        self.blocking(move |host| host.power_down(&cluster, &batch, until))
            .await
            .unwrap_or_else(|e| Outcomes::failed(names, &e))
    }

    /// As the trait says, but for one thing: the first look after
    /// [`LocalConfig::boot_delay`] completes the pretended boot.
    async fn poll(&self, cx: &Context, pending: &[Pending]) -> Outcomes {
        let names: Vec<NodeName> = pending.iter().map(|p| p.node.clone()).collect();
        if cx.remaining().is_zero() {
            return too_late(names.into_iter());
        }
        let (cluster, pending, until) = (cx.cluster_id().to_owned(), pending.to_vec(), until(cx));
        self.blocking(move |host| poll(host, &cluster, &pending, until))
            .await
            .unwrap_or_else(|e| Outcomes::failed(names, &e))
    }

    async fn tidy(&self, cx: &Context, chores: &[Chore]) -> Outcomes {
        let names: Vec<NodeName> = chores.iter().map(|c| c.node().clone()).collect();
        let (cluster, chores, until) = (cx.cluster_id().to_owned(), chores.to_vec(), until(cx));
        let work = move |host: &Host| {
            let mut outcomes = Outcomes::new(chores.iter().map(|c| c.node().clone()));
            for chore in &chores {
                let outcome = host
                    .tidy(&cluster, chore, until)
                    .unwrap_or_else(Outcome::Failed);
                outcomes.set(chore.node(), outcome);
            }
            outcomes
        };
        self.blocking(work)
            .await
            .unwrap_or_else(|e| Outcomes::failed(names, &e))
    }

    fn render(&self, _placement: &Placement, nodes: &[NodeName]) -> Result<Vec<Rendered>> {
        let request = serde_json::to_value(self.host.config.request()).map_err(|e| {
            let message = "a path of this provider's configuration is not UTF-8; change it";
            Error::new(ErrorKind::Invalid, message).source(e)
        })?;
        let rendered = |nodes: &[NodeName]| Rendered {
            nodes: nodes.to_vec(),
            request: request.clone(),
        };
        Ok(nodes
            .chunks(self.capabilities.max_batch.max(1))
            .map(rendered)
            .collect())
    }
}

fn poll(host: &Host, cluster: &str, pending: &[Pending], until: Instant) -> Outcomes {
    let names = || pending.iter().map(|p| p.node.clone());
    let mut outcomes = Outcomes::new(names());
    let (up, down): (Vec<&Pending>, Vec<&Pending>) =
        pending.iter().partition(|p| p.direction == Direction::Up);
    if !up.is_empty()
        && let Err(e) = host.poll_up(cluster, &up, until, &mut outcomes)
    {
        outcomes.merge(Outcomes::failed(up.iter().map(|p| p.node.clone()), &e));
    }
    let scan = match host.scan() {
        Ok(scan) => scan,
        Err(e) => {
            outcomes.merge(Outcomes::failed(down.iter().map(|p| p.node.clone()), &e));
            return outcomes;
        }
    };
    for p in down {
        let outcome = host
            .poll_down(cluster, p, &scan)
            .unwrap_or_else(Outcome::Failed);
        outcomes.set(&p.node, outcome);
    }
    outcomes
}
