//! The converger: the one way in which anything is done.
//!
//! It compares what is wanted (ledger), what exists (clouds) and what Slurm
//! says, and acts until nothing is left to do. At most one runs per cluster,
//! by the ledger's [`Lease`]. It may be killed at any
//! moment: every step is recorded before it is taken, and the next one goes on.
//!
//! * [`decide`]: the table about a node's machine. Pure.
//! * [`slurm_side`]: the tables about Slurm. Pure.
//! * [`marks`]: what Slurm is told about a node that cannot come up.
//! * `observe`: what the clouds and Slurm show, once per pass.
//! * `agenda`: which node is due when.
//! * `pass`: what is due, decided.
//! * `act` and `send`: decisions recorded, then sent.
//! * `outcomes`: what became of it, recorded.
//! * `tell` and `addresses`: marks and addresses, told to Slurm in batches.
//! * `full`: the reconcile pass over all nodes.

mod act;
mod addresses;
mod agenda;
pub mod decide;
mod full;
mod known;
pub mod marks;
mod observe;
mod outcomes;
mod pass;
mod report;
mod send;
pub mod slurm_side;
mod tell;
mod view;

#[cfg(test)]
mod decide_properties;
#[cfg(test)]
mod decide_tests;
#[cfg(test)]
mod older_tests;
#[cfg(test)]
mod slurm_side_tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::bucket::BucketStore;
use crate::clock::Clock;
use crate::error::Error;
use crate::executor::{Executor, Finished};
use crate::hostlist::NodeName;
use crate::ledger::{Event, Lease, Ledger, LedgerError};
use crate::provider::{CloudProvider, Direction, Generation};
use crate::site::Site;
use crate::slurm::conf::SlurmConf;
use crate::slurm::control::SlurmControl;
use crate::wrap::{RetryOptions, StackOptions, stack};

use addresses::Addresses;
use agenda::Agenda;
use observe::Listings;
use tell::Marks;

pub use full::FullOptions;
pub use report::{Found, Report};

/// How often the wake-up counter is looked at. A program's wish is picked up
/// within this, and half a second is promised.
const WAKE_TICK: Duration = Duration::from_millis(150);
/// Passes are at least this far apart, so that a burst of outcomes is one pass.
const PASS_GAP_MS: i64 = 200;
/// How often people can see in the ledger that the holder lives.
const HEARTBEAT_MS: i64 = 2_000;
/// Ledger key by which another process asks the converger for a full pass.
pub const FULL_REQUESTED: &str = "full-requested";

/// Where events go besides the ledger.
pub trait Journal: fmt::Debug + Send + Sync {
    /// Something happened to a node.
    fn event(&self, event: &Event);
    /// Something worth reading that is about no single node.
    fn note(&self, text: &str);
}

/// A journal that keeps nothing, for tests and dry runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoJournal;

impl Journal for NoJournal {
    fn event(&self, _: &Event) {}
    fn note(&self, _: &str) {}
}

/// What a converger works with.
#[derive(Debug)]
pub struct Parts {
    /// Leave to act, for this cluster.
    pub lease: Lease,
    /// The site.
    pub site: Arc<Site>,
    /// slurm.conf, for the nodes' time limits.
    pub conf: Arc<SlurmConf>,
    /// The books.
    pub ledger: Ledger,
    /// Slurm.
    pub slurm: Arc<dyn SlurmControl>,
    /// Time.
    pub clock: Clock,
    /// The log.
    pub journal: Arc<dyn Journal>,
}

/// The one process that talks to the clouds and changes nodes in Slurm.
#[derive(Debug)]
pub struct Converger {
    lease: Option<Lease>,
    site: Arc<Site>,
    conf: Arc<SlurmConf>,
    ledger: Ledger,
    slurm: Arc<dyn SlurmControl>,
    clock: Clock,
    journal: Arc<dyn Journal>,
    providers: BTreeMap<String, Arc<dyn CloudProvider>>,
    /// The rate limits: one store for the whole process, whatever site it works with.
    buckets: Arc<dyn BucketStore>,
    executor: Executor,
    agenda: Agenda,
    /// The wake-up counter when the agenda was last compared with the ledger.
    synced: Option<i64>,
    /// Calls that are being sent again, so that what they did before is not known.
    replaying: HashSet<String>,
    /// Calls whose replay was refused, and why.
    refused_replays: HashMap<String, Error>,
    /// The newest generations seen in tags, as far as the ledger was told.
    observed: HashMap<NodeName, Generation>,
    /// When work for a node last ended: a listing that began before says nothing
    /// about it any more.
    changed: HashMap<NodeName, i64>,
    listings: Listings,
    marks: Marks,
    addresses: Addresses,
    /// Slurm did not answer: leave it alone until then, and how often in a row.
    slurm_not_before: (i64, u32),
    /// Another host's controller acts: nothing is done here.
    elsewhere: bool,
    heartbeat_ms: i64,
    report: Report,
}

impl Converger {
    /// A converger with every provider of the site under the one right stack
    /// of wrappers.
    ///
    /// # Errors
    /// The ledger could not be used.
    pub fn new(parts: Parts) -> Result<Converger, LedgerError> {
        let executor = Executor::new(parts.site.cluster_id.clone());
        let buckets = parts.ledger.buckets()?;
        let mut converger = Converger {
            lease: Some(parts.lease),
            site: Arc::clone(&parts.site),
            conf: parts.conf,
            ledger: parts.ledger,
            slurm: parts.slurm,
            clock: parts.clock,
            journal: parts.journal,
            providers: BTreeMap::new(),
            buckets,
            executor,
            agenda: Agenda::default(),
            synced: None,
            replaying: HashSet::new(),
            refused_replays: HashMap::new(),
            observed: HashMap::new(),
            changed: HashMap::new(),
            listings: Listings::default(),
            marks: Marks::default(),
            addresses: Addresses::default(),
            slurm_not_before: (0, 0),
            elsewhere: false,
            heartbeat_ms: i64::MIN,
            report: Report::default(),
        };
        converger.use_site(parts.site);
        Ok(converger)
    }

    /// Goes on with another version of the site file.
    pub fn use_site(&mut self, site: Arc<Site>) {
        self.providers = site
            .providers
            .iter()
            .map(|p| {
                let options = StackOptions {
                    dry_run: false,
                    buckets: Arc::clone(&self.buckets),
                    clock: self.clock.clone(),
                    kind: p.kind.clone(),
                    retry: RetryOptions::default(),
                };
                (p.name.clone(), stack(Arc::clone(&p.provider), options))
            })
            .collect();
        self.site = site;
    }

    /// The books, for a caller that wants to look.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Gives the lease back. Nothing more may be done then but to look.
    pub fn release(&mut self) {
        self.lease = None;
    }

    /// Whether something could be done at once, by this converger or the next.
    ///
    /// # Errors
    /// The ledger could not be read.
    pub fn has_work(&mut self) -> Result<bool, LedgerError> {
        if self.elsewhere {
            return Ok(false);
        }
        self.sync()?;
        let soon = self.clock.now_ms().saturating_add(1_000);
        Ok(self.full_is_requested()? || self.next_due().is_some_and(|due| due <= soon))
    }

    /// What was done so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Acts until nothing is left to do that can be done now or soon. With
    /// `full`, one pass over all nodes comes first.
    ///
    /// `reload` is asked before every pass whether the site file has changed.
    ///
    /// # Errors
    /// The ledger could not be read or written. Nothing is lost by that: the
    /// next converger goes on.
    pub async fn run(
        &mut self,
        full: Option<&FullOptions>,
        reload: &mut (dyn FnMut() -> Option<Arc<Site>> + Send),
    ) -> Result<(), LedgerError> {
        let mut full_due = full.map(|_| i64::MIN);
        loop {
            if let Some(site) = reload() {
                self.use_site(site);
            }
            self.heartbeat()?;
            let now = self.clock.now_ms();
            if let (Some(options), Some(due)) = (full, full_due)
                && due <= now
            {
                full_due = self.full_pass(options).await?;
                if options.dry_run {
                    return Ok(());
                }
            }
            if self.full_is_requested()? {
                self.ledger.set_meta(FULL_REQUESTED, "0")?;
                self.full_pass(&FullOptions::default()).await?;
            }
            // What is open here is from before the other controller took over.
            if self.elsewhere {
                return Ok(());
            }
            let due = earliest(self.pass().await?, full_due);
            if due.is_none() && self.executor.in_flight() == 0 {
                return Ok(());
            }
            let earliest_pass = self.clock.now_ms().saturating_add(PASS_GAP_MS);
            self.idle(due.map(|d| d.max(earliest_pass)), earliest_pass)
                .await?;
        }
    }

    fn heartbeat(&mut self) -> Result<(), LedgerError> {
        let now = self.clock.now_ms();
        if let Some(lease) = &self.lease
            && now >= self.heartbeat_ms.saturating_add(HEARTBEAT_MS)
        {
            self.ledger.heartbeat(lease)?;
            self.heartbeat_ms = now;
        }
        Ok(())
    }

    fn full_is_requested(&self) -> Result<bool, LedgerError> {
        Ok(self.ledger.get_meta(FULL_REQUESTED)?.as_deref() == Some("1"))
    }

    /// Compares with the ledger what this converger knows of wishes and marks,
    /// if somebody has called since the last time.
    fn sync(&mut self) -> Result<(), LedgerError> {
        let wake = self.ledger.wake_counter()?;
        if self.synced == Some(wake) {
            return Ok(());
        }
        let now = self.clock.now_ms();
        let open = self.ledger.open_wishes_briefly()?;
        let down = open.iter().filter(|(node, _, direction)| {
            *direction == Direction::Down && self.agenda.is_busy(node)
        });
        let down = down.map(|(node, ..)| node.clone()).collect();
        self.recall(&down, &BTreeMap::new());
        self.agenda
            .sync(open.into_iter().map(|(n, g, _)| (n, g)).collect(), now);
        self.marks.sync(self.ledger.marks()?, now);
        if !self.ledger.paused()? {
            self.agenda.unpark(now);
        }
        self.synced = Some(wake);
        Ok(())
    }

    /// Waits for outcomes (and records them), a wake-up, or `due`.
    async fn idle(&mut self, due: Option<i64>, earliest_pass: i64) -> Result<(), LedgerError> {
        let mut due = due;
        loop {
            let now = self.clock.now_ms();
            if due.is_some_and(|d| d <= now) {
                return Ok(());
            }
            let left = due.map_or(i64::MAX, |d| d.saturating_sub(now));
            let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
            let until = Instant::now() + left.min(WAKE_TICK);
            tokio::select! {
                Some(first) = self.executor.next(), if self.executor.in_flight() > 0 => {
                    self.record_with(first)?;
                    // Something may have become possible: a pass, but not one per outcome.
                    due = earliest(due, Some(earliest_pass));
                }
                () = sleep(until.saturating_duration_since(Instant::now())) => {
                    self.heartbeat()?;
                    if Some(self.ledger.wake_counter()?) != self.synced {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Waits for something that takes its time (a listing, Slurm), and records
    /// meanwhile what ends.
    async fn meanwhile<T>(&mut self, wait: impl Future<Output = T>) -> Result<T, LedgerError> {
        let mut wait = pin!(wait);
        loop {
            tokio::select! {
                ended = &mut wait => return Ok(ended),
                Some(first) = self.executor.next(), if self.executor.in_flight() > 0 => {
                    self.record_with(first)?;
                }
            }
        }
    }

    /// Records what has ended, with whatever else has ended by now.
    fn record_with(&mut self, first: Finished) -> Result<(), LedgerError> {
        let mut batch = vec![first];
        while let Some(more) = self.executor.try_next() {
            batch.push(more);
        }
        let now = self.clock.now_ms();
        let nodes = batch
            .iter()
            .flat_map(|f| f.outcomes.iter().map(|(node, _)| node.clone()));
        self.changed.extend(nodes.map(|node| (node, now)));
        self.record_finished(batch)
    }
}

/// The earlier of two times, where there are any.
fn earliest(a: Option<i64>, b: Option<i64>) -> Option<i64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Doubles from one second to one minute.
fn back_off_ms(times: u32) -> i64 {
    1_000_i64.saturating_mul(1 << times.min(6)).min(60_000)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
