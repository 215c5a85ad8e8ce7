//! [`Executor`]: many calls to many providers at once, and what became of them.
//!
//! It decides nothing. It keeps to each provider's concurrency and to each
//! piece of work's deadline, keeps a provider's panic to the nodes of that one
//! call, and answers with exactly one outcome for each node that was asked for.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};

use crate::error::{Effect, Error, ErrorKind};
use crate::hostlist::NodeName;
use crate::outcome::{Outcome, Outcomes};
use crate::provider::{Call, Chore, CloudProvider, Context, Pending, PowerDown};

/// One call of a provider. `name` is the NAME of its `[provider.NAME]`.
#[derive(Debug, Clone)]
#[allow(
    clippy::large_enum_variant,
    reason = "a few hundred are under way at most"
)]
pub enum Work {
    /// Power up the nodes of one call.
    Up {
        /// Whom to ask.
        provider: Arc<dyn CloudProvider>,
        /// The provider's name.
        name: String,
        /// What to ask.
        call: Call,
    },
    /// Power down.
    Down {
        /// Whom to ask.
        provider: Arc<dyn CloudProvider>,
        /// The provider's name.
        name: String,
        /// What to ask.
        batch: Vec<PowerDown>,
    },
    /// Ask how far accepted work has come.
    Poll {
        /// Whom to ask.
        provider: Arc<dyn CloudProvider>,
        /// The provider's name.
        name: String,
        /// What to ask.
        pending: Vec<Pending>,
    },
    /// Tidy.
    Tidy {
        /// Whom to ask.
        provider: Arc<dyn CloudProvider>,
        /// The provider's name.
        name: String,
        /// What to ask.
        chores: Vec<Chore>,
    },
}

impl Work {
    /// Whom it asks.
    pub fn provider(&self) -> &Arc<dyn CloudProvider> {
        match self {
            Work::Up { provider, .. }
            | Work::Down { provider, .. }
            | Work::Poll { provider, .. }
            | Work::Tidy { provider, .. } => provider,
        }
    }

    /// The name of the provider that it asks.
    pub fn name(&self) -> &str {
        match self {
            Work::Up { name, .. }
            | Work::Down { name, .. }
            | Work::Poll { name, .. }
            | Work::Tidy { name, .. } => name,
        }
    }

    /// The nodes that it is about, in order; one with two chores is there twice.
    pub fn nodes(&self) -> Vec<NodeName> {
        match self {
            Work::Up { call, .. } => call.names().cloned().collect(),
            Work::Down { batch, .. } => batch.iter().map(|d| d.node.clone()).collect(),
            Work::Poll { pending, .. } => pending.iter().map(|p| p.node.clone()).collect(),
            Work::Tidy { chores, .. } => chores.iter().map(|c| c.node().clone()).collect(),
        }
    }

    async fn call(&self, cx: &Context) -> Outcomes {
        match self {
            Work::Up { provider, call, .. } => {
                provider.power_up(cx, std::slice::from_ref(call)).await
            }
            Work::Down {
                provider, batch, ..
            } => provider.power_down(cx, batch).await,
            Work::Poll {
                provider, pending, ..
            } => provider.poll(cx, pending).await,
            Work::Tidy {
                provider, chores, ..
            } => provider.tidy(cx, chores).await,
        }
    }
}

/// Work that is over.
#[derive(Debug)]
pub struct Finished {
    /// The work.
    pub work: Work,
    /// One outcome for each of its nodes.
    pub outcomes: Outcomes,
    /// How long the provider took; zero when nothing was sent.
    pub took: Duration,
}

/// Runs [`Work`] in parallel. Lives inside a tokio runtime; dropping it drops
/// what is under way, whose effect is then unknown.
pub struct Executor {
    cluster_id: Arc<str>,
    permits: HashMap<String, Arc<Semaphore>>,
    tasks: JoinSet<(Outcomes, Duration)>,
    works: HashMap<Id, Entry>,
}

struct Entry {
    work: Arc<Work>,
    submitted: Instant,
    ticket: Arc<Ticket>,
}

/// Whether work has been started or recalled, whichever came first.
#[derive(Default)]
struct Ticket {
    used: AtomicBool,
    recalled: Notify,
}

impl Ticket {
    /// Answers whether nobody was first.
    fn take(&self) -> bool {
        !self.used.swap(true, Ordering::AcqRel)
    }
}

impl Executor {
    /// An executor whose calls are made for the cluster `cluster_id`.
    pub fn new(cluster_id: impl Into<Arc<str>>) -> Executor {
        Executor {
            cluster_id: cluster_id.into(),
            permits: HashMap::new(),
            tasks: JoinSet::new(),
            works: HashMap::new(),
        }
    }

    /// Starts `work` as soon as its provider's concurrency allows; what has
    /// not been started at `deadline` is skipped, what has not ended is dropped.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn submit(&mut self, work: Work, deadline: Instant) {
        let permits = self
            .permits
            .entry(work.name().to_owned())
            .or_insert_with(|| {
                // A provider that says 0 would never be asked anything.
                let concurrency = work.provider().capabilities().concurrency;
                Arc::new(Semaphore::new(concurrency.clamp(1, Semaphore::MAX_PERMITS)))
            });
        let cx = Context::new(Arc::clone(&self.cluster_id), deadline);
        let (work, ticket) = (Arc::new(work), Arc::new(Ticket::default()));
        let task = self.tasks.spawn(run(
            Arc::clone(&work),
            cx,
            Arc::clone(permits),
            Arc::clone(&ticket),
        ));
        let submitted = Instant::now();
        self.works.insert(
            task.id(),
            Entry {
                work,
                submitted,
                ticket,
            },
        );
    }

    /// Takes back what has not been started yet and is pointless by now: its
    /// nodes' outcomes are [`Outcome::Superseded`], and nothing is sent.
    pub fn recall(&mut self, pointless: impl Fn(&Work) -> bool) {
        for entry in self.works.values().filter(|e| pointless(&e.work)) {
            if entry.ticket.take() {
                entry.ticket.recalled.notify_one();
            }
        }
    }

    /// The next work to end, in the order in which they do; `None` when nothing
    /// is under way. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Finished> {
        loop {
            let joined = self.tasks.join_next_with_id().await?;
            // Every task was entered at its start; one that was not is nobody's.
            if let Some(finished) = self.finished(joined) {
                return Some(finished);
            }
        }
    }

    /// As [`Executor::next`], if something has ended already.
    pub fn try_next(&mut self) -> Option<Finished> {
        loop {
            let joined = self.tasks.try_join_next_with_id()?;
            if let Some(finished) = self.finished(joined) {
                return Some(finished);
            }
        }
    }

    fn finished(
        &mut self,
        joined: Result<(Id, (Outcomes, Duration)), JoinError>,
    ) -> Option<Finished> {
        let (id, ended) = match joined {
            Ok((id, ended)) => (id, Ok(ended)),
            Err(error) => (error.id(), Err(error)),
        };
        let Entry {
            work, submitted, ..
        } = self.works.remove(&id)?;
        let work = Arc::unwrap_or_clone(work);
        let (outcomes, took) = ended.unwrap_or_else(|error| {
            (
                Outcomes::failed(work.nodes(), &broken(&work, error)),
                submitted.elapsed(),
            )
        });
        Some(Finished {
            work,
            outcomes,
            took,
        })
    }

    /// How much work has been submitted and not been answered by [`Executor::next`].
    pub fn in_flight(&self) -> usize {
        self.works.len()
    }

    /// Drops what is under way. Its effect is unknown; [`Executor::next`] does
    /// not tell of it any more.
    pub async fn shutdown(&mut self) {
        self.tasks.shutdown().await;
        self.works.clear();
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor")
            .field("cluster_id", &self.cluster_id)
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

async fn run(
    work: Arc<Work>,
    cx: Context,
    permits: Arc<Semaphore>,
    ticket: Arc<Ticket>,
) -> (Outcomes, Duration) {
    let permit = tokio::select! {
        permit = timeout_at(cx.deadline(), permits.acquire_owned()) => permit,
        () = ticket.recalled.notified() => return superseded(&work),
    };
    // The semaphore is never closed, so the inner result cannot be an error.
    let Ok(Ok(_permit)) = permit else {
        return skipped(&work);
    };
    if cx.remaining().is_zero() {
        return skipped(&work);
    }
    if !ticket.take() {
        return superseded(&work);
    }
    let started = Instant::now();
    let outcomes = match timeout_at(cx.deadline(), work.call(&cx)).await {
        Ok(answered) => exactly(&work, answered),
        Err(_) => Outcomes::failed(work.nodes(), &timed_out(&work)),
    };
    (outcomes, started.elapsed())
}

fn skipped(work: &Work) -> (Outcomes, Duration) {
    let why = format!("the deadline passed before {} was asked", work.name());
    (
        Outcomes::all(work.nodes(), &Outcome::Skipped(why)),
        Duration::ZERO,
    )
}

fn superseded(work: &Work) -> (Outcomes, Duration) {
    (
        Outcomes::all(work.nodes(), &Outcome::Superseded),
        Duration::ZERO,
    )
}

fn timed_out(work: &Work) -> Error {
    Error::new(
        ErrorKind::Timeout,
        format!("{} had not answered at the deadline", work.name()),
    )
    .effect(Effect::Unknown)
}

/// What a call that ended in a panic (or was aborted) comes to.
fn broken(work: &Work, error: JoinError) -> Error {
    let what = match error.try_into_panic() {
        Ok(panic) => {
            let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            text.map_or_else(|| "panicked".to_owned(), |t| format!("panicked: {t}"))
        }
        Err(error) => format!("was aborted: {error}"),
    };
    Error::new(
        ErrorKind::Unexpected,
        format!("the provider {} {what}", work.name()),
    )
    .effect(Effect::Unknown)
}

/// One outcome for each node that was asked for, whatever the provider answered.
fn exactly(work: &Work, answered: Outcomes) -> Outcomes {
    let mut outcomes = Outcomes::new(work.nodes());
    outcomes.merge(answered);
    outcomes
}
