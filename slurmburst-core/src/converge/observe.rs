//! What the clouds and Slurm show, once per pass: each provider concerned is
//! listed once, clouds first, Slurm second.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::hostlist::NodeName;
use crate::provider::{Context, Generation, Instance, Leftover};
use crate::slurm::control::{SlurmNode, Which};

use super::decide::{Listed, Seen};
use super::{Converger, back_off_ms};

/// A listing gets this long.
const LIST_LIMIT: Duration = Duration::from_secs(120);

/// What was seen of the clouds.
#[derive(Debug, Default)]
pub(super) struct Clouds {
    instances: HashMap<NodeName, Vec<(String, Instance)>>,
    /// Why a provider's listing cannot be trusted about what it does not show.
    gaps: BTreeMap<String, Error>,
    listed: BTreeSet<String>,
    pub(super) leftovers: Vec<(String, Leftover)>,
}

impl Clouds {
    /// The instances of a node.
    pub(super) fn seen(&self, node: &NodeName) -> Vec<Seen<'_>> {
        self.of(node).iter().map(|(p, i)| Seen { provider: p, instance: i }).collect()
    }

    /// The same, with the provider's name owned.
    pub(super) fn of(&self, node: &NodeName) -> &[(String, Instance)] {
        self.instances.get(node).map_or(&[], Vec::as_slice)
    }

    /// Whether all of these providers were listed without a gap.
    pub(super) fn listing<'a>(&'a self, mut providers: impl Iterator<Item = &'a str>) -> Listed<'a> {
        match providers.find_map(|p| self.gaps.get(p)) {
            Some(error) => Listed::Gaps(error),
            None => Listed::Complete,
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

impl Converger {
    /// Lists each of these providers once, all at a time.
    pub(super) async fn list(
        &mut self,
        providers: &BTreeSet<String>,
    ) -> Result<Clouds, crate::ledger::LedgerError> {
        let mut clouds = Clouds::default();
        let mut tasks = tokio::task::JoinSet::new();
        for name in providers {
            let Some(provider) = self.providers.get(name).cloned() else {
                let error = Error::new(
                    ErrorKind::Invalid,
                    format!("provider {name} is in the ledger and no longer in the site file: put it back until its nodes are gone"),
                );
                clouds.gaps.insert(name.clone(), error);
                continue;
            };
            let cx = Context::within(self.site.cluster_id.clone(), LIST_LIMIT);
            let name = name.clone();
            tasks.spawn(async move {
                let deadline = cx.deadline();
                let listing = match tokio::time::timeout_at(deadline, provider.list(&cx)).await {
                    Ok(listing) => listing,
                    Err(_) => Err(Error::new(ErrorKind::Timeout, "the listing took too long")),
                };
                (name, listing)
            });
        }
        while let Some(joined) = tasks.join_next().await {
            // A listing that panicked is a listing that did not answer; its
            // provider is found missing below.
            let Ok((name, listing)) = joined else { continue };
            self.report.listings += 1;
            match listing {
                Ok(listing) => {
                    clouds.listed.insert(name.clone());
                    if let Some(gap) = listing.gaps.first() {
                        clouds.gaps.insert(name.clone(), gap.error.clone());
                    }
                    for leftover in listing.leftovers {
                        clouds.leftovers.push((name.clone(), leftover));
                    }
                    for instance in listing.instances {
                        let list = clouds.instances.entry(instance.node.clone()).or_default();
                        list.push((name.clone(), instance));
                    }
                }
                Err(error) => {
                    self.journal.note(&format!("provider {name} could not be listed: {error}"));
                    clouds.gaps.insert(name, error);
                }
            }
        }
        for name in providers {
            if !clouds.listed.contains(name) && !clouds.gaps.contains_key(name) {
                let error = Error::new(ErrorKind::Unexpected, "the listing panicked");
                clouds.gaps.insert(name.clone(), error);
            }
        }
        self.ledger.observe_generations(&clouds.generations())?;
        Ok(clouds)
    }

    /// The providers that may hold this node.
    pub(super) fn providers_of(&self, node: &NodeName) -> Vec<&str> {
        match self.site.policy.group_of(node) {
            Some(group) => {
                let mut names: Vec<&str> =
                    group.placements.iter().map(|p| p.provider.as_str()).collect();
                names.sort_unstable();
                names.dedup();
                names
            }
            None => self.site.providers.iter().map(|p| p.name.as_str()).collect(),
        }
    }

    /// What Slurm shows of these nodes; nothing where it does not answer.
    pub(super) async fn ask_slurm(
        &mut self,
        which: Which<'_>,
    ) -> Option<BTreeMap<NodeName, SlurmNode>> {
        let now = self.clock.now_ms();
        if now < self.slurm_not_before.0 {
            return None;
        }
        match self.slurm.nodes(which).await {
            Ok(nodes) => {
                self.slurm_not_before = (0, 0);
                Some(nodes)
            }
            Err(error) => {
                let times = self.slurm_not_before.1;
                self.slurm_not_before = (now.saturating_add(back_off_ms(times)), times + 1);
                self.journal.note(&format!("Slurm gave no usable answer: {error}"));
                None
            }
        }
    }
}
