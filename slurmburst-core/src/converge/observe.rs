//! What the clouds and Slurm show, once per pass: each provider concerned is
//! listed once, clouds first, Slurm second.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::error::{Error, ErrorKind, Result};
use crate::hostlist::NodeName;
use crate::ledger::LedgerError;
use crate::provider::{CloudProvider, Context, Generation, Instance, Leftover, Listing};
use crate::slurm::control::{SlurmNode, Which};

use super::decide::{Listed, Seen};
use super::{Converger, back_off_ms};

/// A pass waits this long for listings, and a full pass this long; what has not
/// ended by then is for the next.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
pub(super) const FULL_PATIENCE: Duration = Duration::from_secs(60);
/// A listing gets this long.
const LIST_LIMIT: Duration = Duration::from_secs(120);

/// What was seen of the clouds.
#[derive(Debug)]
pub(super) struct Clouds {
    instances: HashMap<NodeName, Vec<(String, Instance)>>,
    /// Why a provider's listing cannot be trusted about what it does not show.
    gaps: BTreeMap<String, Error>,
    /// When each listing began.
    started: BTreeMap<String, i64>,
    too_old: Error,
    pub(super) leftovers: Vec<(String, Leftover)>,
}

impl Default for Clouds {
    fn default() -> Clouds {
        Clouds {
            instances: HashMap::new(),
            gaps: BTreeMap::new(),
            started: BTreeMap::new(),
            too_old: Error::new(
                ErrorKind::Unavailable,
                "it was not listed since the last change",
            ),
            leftovers: Vec::new(),
        }
    }
}

impl Clouds {
    /// The instances of a node.
    pub(super) fn seen(&self, node: &NodeName) -> Vec<Seen<'_>> {
        self.of(node)
            .iter()
            .map(|(p, i)| Seen {
                provider: p,
                instance: i,
            })
            .collect()
    }

    /// The same, with the provider's name owned.
    pub(super) fn of(&self, node: &NodeName) -> &[(String, Instance)] {
        self.instances.get(node).map_or(&[], Vec::as_slice)
    }

    /// Whether all of these providers were listed without a gap, and after `changed`.
    fn listing(&self, providers: &[&str], changed: i64) -> Listed<'_> {
        if let Some(error) = providers.iter().find_map(|p| self.gaps.get(*p)) {
            return Listed::Gaps(error);
        }
        let fresh = |p: &&str| self.started.get(*p).is_some_and(|at| *at >= changed);
        if providers.iter().all(fresh) {
            Listed::Complete
        } else {
            Listed::Gaps(&self.too_old)
        }
    }

    fn add(&mut self, name: &str, started: i64, listing: Result<Listing>) {
        let listing = match listing {
            Ok(listing) => listing,
            Err(error) => {
                self.gaps.insert(name.to_owned(), error);
                return;
            }
        };
        self.started.insert(name.to_owned(), started);
        if let Some(gap) = listing.gaps.first() {
            self.gaps.insert(name.to_owned(), gap.error.clone());
        }
        let leftovers = listing.leftovers.into_iter();
        self.leftovers
            .extend(leftovers.map(|leftover| (name.to_owned(), leftover)));
        for instance in listing.instances {
            let list = self.instances.entry(instance.node.clone()).or_default();
            list.push((name.to_owned(), instance));
        }
    }

    /// Every node that has an instance, with its instances.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&NodeName, &[(String, Instance)])> {
        self.instances.iter().map(|(n, i)| (n, i.as_slice()))
    }

    /// What did not answer.
    pub(super) fn gaps(&self) -> impl Iterator<Item = (&str, &Error)> {
        self.gaps.iter().map(|(p, e)| (p.as_str(), e))
    }

    fn generations(&self) -> Vec<(NodeName, Generation)> {
        self.instances
            .iter()
            .filter_map(|(node, list)| {
                let newest = list.iter().filter_map(|(_, i)| i.generation).max()?;
                Some((node.clone(), newest))
            })
            .collect()
    }
}

/// Listings under way, by provider: at most one each. One that takes longer
/// than a pass waits is for the next pass, so that a cloud that hangs delays
/// nobody's nodes but its own.
#[derive(Debug, Default)]
pub(super) struct Listings {
    tasks: JoinSet<Answer>,
    running: BTreeMap<String, i64>,
    ended: BTreeMap<String, (i64, Result<Listing>)>,
}

/// A provider's name and its listing.
type Answer = (String, Result<Listing>);

impl Listings {
    fn start(&mut self, name: &str, provider: Arc<dyn CloudProvider>, cx: Context, now: i64) {
        if self.running.contains_key(name) || self.ended.contains_key(name) {
            return;
        }
        self.running.insert(name.to_owned(), now);
        let name = name.to_owned();
        self.tasks.spawn(async move {
            let listing = match timeout_at(cx.deadline(), provider.list(&cx)).await {
                Ok(listing) => listing,
                Err(_) => Err(Error::new(ErrorKind::Timeout, "the listing took too long")),
            };
            (name, listing)
        });
    }

    /// Waits until all that are under way have ended, or until then.
    async fn wait(mut self, until: Instant) -> Listings {
        while let Ok(Some(joined)) = timeout_at(until, self.tasks.join_next()).await {
            // One that panicked is found among the running when nothing is under way.
            if let Ok((name, listing)) = joined
                && let Some(started) = self.running.remove(&name)
            {
                self.ended.insert(name, (started, listing));
            }
        }
        if self.tasks.is_empty() {
            for (name, started) in std::mem::take(&mut self.running) {
                let error = Error::new(ErrorKind::Unexpected, "the listing panicked");
                self.ended.insert(name, (started, Err(error)));
            }
        }
        self
    }
}

impl Converger {
    /// Lists each of these providers once, all at a time, and waits for them at
    /// most for `patience`.
    pub(super) async fn list(
        &mut self,
        providers: &BTreeSet<String>,
        patience: Duration,
    ) -> std::result::Result<Clouds, LedgerError> {
        let mut clouds = Clouds::default();
        let now = self.clock.now_ms();
        for name in providers {
            let Some(provider) = self.providers.get(name).cloned() else {
                let error = Error::new(
                    ErrorKind::Invalid,
                    format!(
                        "provider {name} is in the ledger and no longer in the site file: put it back until its nodes are gone"
                    ),
                );
                clouds.gaps.insert(name.clone(), error);
                continue;
            };
            let cx = Context::within(self.site.cluster_id.clone(), LIST_LIMIT);
            self.listings.start(name, provider, cx, now);
        }
        let listings = std::mem::take(&mut self.listings);
        self.listings = self
            .meanwhile(listings.wait(Instant::now() + patience))
            .await?;
        for name in providers {
            if clouds.gaps.contains_key(name) {
                continue;
            }
            match self.listings.ended.remove(name) {
                Some((started, listing)) => {
                    self.report.listings += 1;
                    if let Err(error) = &listing {
                        self.journal
                            .note(&format!("provider {name} could not be listed: {error}"));
                    }
                    clouds.add(name, started, listing);
                }
                None => {
                    let error =
                        Error::new(ErrorKind::Unavailable, "its listing is still under way");
                    clouds.gaps.insert(name.clone(), error);
                }
            }
        }
        let newer: Vec<_> = clouds
            .generations()
            .into_iter()
            .filter(|(node, generation)| self.observed.get(node).is_none_or(|o| o < generation))
            .collect();
        self.ledger.observe_generations(&newer)?;
        self.observed.extend(newer);
        Ok(clouds)
    }

    /// How far what the clouds do not show of this node can be trusted.
    pub(super) fn listing_of<'a>(
        &self,
        clouds: &'a Clouds,
        node: &NodeName,
        providers: &[&str],
    ) -> Listed<'a> {
        let changed = self.changed.get(node).copied().unwrap_or(i64::MIN);
        clouds.listing(providers, changed)
    }

    /// The providers that may hold this node.
    pub(super) fn providers_of(&self, node: &NodeName) -> Vec<&str> {
        match self.site.policy.group_of(node) {
            Some(group) => {
                let mut names: Vec<&str> = group
                    .placements
                    .iter()
                    .map(|p| p.provider.as_str())
                    .collect();
                names.sort_unstable();
                names.dedup();
                names
            }
            None => self
                .site
                .providers
                .iter()
                .map(|p| p.name.as_str())
                .collect(),
        }
    }

    /// What Slurm shows of these nodes; nothing where it does not answer.
    pub(super) async fn ask_slurm(
        &mut self,
        which: Which<'_>,
    ) -> std::result::Result<Option<BTreeMap<NodeName, SlurmNode>>, LedgerError> {
        let now = self.clock.now_ms();
        if now < self.slurm_not_before.0 {
            return Ok(None);
        }
        let slurm = Arc::clone(&self.slurm);
        match self.meanwhile(slurm.nodes(which)).await? {
            Ok(nodes) => {
                self.slurm_not_before = (0, 0);
                Ok(Some(nodes))
            }
            Err(error) => {
                let now = self.clock.now_ms();
                let times = self.slurm_not_before.1;
                self.slurm_not_before = (now.saturating_add(back_off_ms(times)), times + 1);
                self.journal
                    .note(&format!("Slurm gave no usable answer: {error}"));
                Ok(None)
            }
        }
    }
}
