//! Asks the ledger, Slurm and the clouds, all at once. Nothing here is an
//! error: what does not answer is part of the status.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use slurmburst::app::Setup;
use slurmburst::clock::Clock;
use slurmburst::hostlist::{HostSet, NodeName};
use slurmburst::ledger::{Attempt, Holder, Lease, Ledger, LedgerError, Mark, Wish};
use slurmburst::provider::{CloudProvider, Context, Instance, Listing};
use slurmburst::slurm::control::{SlurmControl, SlurmNode, Which};
use slurmburst::wrap::{RetryOptions, StackOptions, stack};

use crate::site;

/// A person waits for it.
const LIST_LIMIT: Duration = Duration::from_secs(30);

/// What everybody said.
pub(super) struct Gathered {
    pub(super) ledger: Result<Books, String>,
    pub(super) working: bool,
    pub(super) slurm: Result<BTreeMap<NodeName, SlurmNode>, String>,
    pub(super) clouds: Vec<Cloud>,
    pub(super) instances: BTreeMap<NodeName, Vec<(String, Instance)>>,
}

/// What the ledger says.
#[derive(Default)]
pub(super) struct Books {
    pub(super) paused: bool,
    pub(super) holder: Option<Holder>,
    pub(super) wishes: BTreeMap<NodeName, Wish>,
    pub(super) marks: BTreeMap<NodeName, Mark>,
    pub(super) attempts: BTreeMap<NodeName, Vec<Attempt>>,
}

/// How a provider answered.
#[derive(Debug, serde::Serialize)]
pub(super) struct Cloud {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) asked: bool,
    /// Everything answered: what is not shown is not there.
    pub(super) complete: bool,
    pub(super) instances: usize,
    pub(super) problems: Vec<String>,
}

pub(super) async fn gather(setup: &Setup, only: Option<&HostSet>, clouds: bool) -> Gathered {
    let ledger = site::ledger_if_any(setup);
    let books = match &ledger {
        Ok(Some(ledger)) => books(ledger).map_err(|e| e.to_string()),
        Ok(None) => Ok(Books::default()),
        Err(e) => Err(e.to_string()),
    };
    let listing = async {
        if clouds {
            list(setup, ledger.as_ref().ok().and_then(Option::as_ref)).await
        } else {
            Vec::new()
        }
    };
    let (slurm, listings) = tokio::join!(ask_slurm(setup, only), listing);
    let mut clouds: Vec<Cloud> = setup
        .site
        .providers
        .iter()
        .map(|p| Cloud {
            name: p.name.clone(),
            kind: p.kind.clone(),
            asked: false,
            complete: false,
            instances: 0,
            problems: Vec::new(),
        })
        .collect();
    let mut instances: BTreeMap<NodeName, Vec<(String, Instance)>> = BTreeMap::new();
    for (name, listing) in listings {
        let Some(cloud) = clouds.iter_mut().find(|c| c.name == name) else {
            continue;
        };
        cloud.asked = true;
        match listing {
            Ok(listing) => {
                cloud.complete = listing.is_complete();
                cloud.instances = listing.instances.len();
                cloud.problems = listing
                    .gaps
                    .iter()
                    .map(|g| format!("{}: {}", g.scope, g.error))
                    .collect();
                for instance in listing.instances {
                    let list = instances.entry(instance.node.clone()).or_default();
                    list.push((name.clone(), instance));
                }
            }
            Err(problem) => cloud.problems.push(problem),
        }
    }
    let working = Lease::is_held(&setup.site.state_dir);
    Gathered {
        ledger: books,
        working,
        slurm,
        clouds,
        instances,
    }
}

fn books(ledger: &Ledger) -> Result<Books, LedgerError> {
    let mut attempts: BTreeMap<NodeName, Vec<Attempt>> = BTreeMap::new();
    for attempt in ledger.live_attempts()? {
        attempts
            .entry(attempt.node.clone())
            .or_default()
            .push(attempt);
    }
    Ok(Books {
        paused: ledger.paused()?,
        holder: ledger.holder()?,
        wishes: ledger
            .wishes(None)?
            .into_iter()
            .map(|w| (w.node.clone(), w))
            .collect(),
        marks: ledger
            .marks()?
            .into_iter()
            .map(|m| (m.node.clone(), m))
            .collect(),
        attempts,
    })
}

async fn ask_slurm(
    setup: &Setup,
    only: Option<&HostSet>,
) -> Result<BTreeMap<NodeName, SlurmNode>, String> {
    let scontrol = site::scontrol(setup);
    let nodes: Vec<NodeName> = only.into_iter().flatten().collect();
    let which = if only.is_some() {
        Which::Some(&nodes)
    } else {
        Which::All
    };
    scontrol.nodes(which).await.map_err(|e| e.to_string())
}

/// Each provider's listing. Calls are paid from the converger's own buckets, so
/// that looking does not take what starting nodes needs.
async fn list(setup: &Setup, ledger: Option<&Ledger>) -> Vec<(String, Result<Listing, String>)> {
    let buckets = ledger.and_then(|l| l.buckets().ok());
    let mut tasks = tokio::task::JoinSet::new();
    let mut names = Vec::new();
    for p in &setup.site.providers {
        let provider: Arc<dyn CloudProvider> = match &buckets {
            None => Arc::clone(&p.provider),
            Some(buckets) => stack(
                Arc::clone(&p.provider),
                StackOptions {
                    dry_run: false,
                    buckets: Arc::clone(buckets),
                    clock: Clock::system(),
                    kind: p.kind.clone(),
                    retry: RetryOptions::default(),
                },
            ),
        };
        let cx = Context::within(setup.site.cluster_id.clone(), LIST_LIMIT);
        let name = p.name.clone();
        names.push(name.clone());
        tasks.spawn(async move {
            let listing = match tokio::time::timeout_at(cx.deadline(), provider.list(&cx)).await {
                Ok(listing) => listing.map_err(|e| e.to_string()),
                Err(_) => Err(format!("no answer within {} s", LIST_LIMIT.as_secs())),
            };
            (name, listing)
        });
    }
    let mut listings: BTreeMap<String, Result<Listing, String>> = BTreeMap::new();
    while let Some(joined) = tasks.join_next().await {
        if let Ok((name, listing)) = joined {
            listings.insert(name, listing);
        }
    }
    let ended = || Err("the listing panicked; report it as a bug of this provider".to_owned());
    let take = |name: String| {
        let listing = listings.remove(&name).unwrap_or_else(ended);
        (name, listing)
    };
    names.into_iter().map(take).collect()
}
