//! [`CloudProvider`], the trait that a backend implements, and its nouns.
//!
//! A provider does what it is told, for the nodes it is told, and says what
//! became of each. It keeps no books (the ledger does), retries nothing (a
//! wrapper does), knows nothing of Slurm, and never guesses: what it does not
//! know it reports as unknown.

mod capabilities;
mod listing;
mod placement;
mod work;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

pub use capabilities::{CallClass, Capabilities, Cost, OpKind};
pub use listing::{Gap, Instance, InstanceState, Leftover, Listing, Owner};
pub use placement::{DownMode, Lifecycle, Market, Placement, Template};
pub use work::{Call, CallNode, Chore, Direction, Generation, Pending, PowerDown, Rendered};

use crate::error::Result;
use crate::hostlist::NodeName;
use crate::outcome::Outcomes;

/// The code of a [`NotFound`](crate::error::ErrorKind::NotFound) by which a provider
/// answers a repeated [`Call`] whose instance was there and is dying or gone: the
/// call is over, and nothing was made by the repetition.
pub const INSTANCE_GONE: &str = "InstanceGone";

/// Something that can run nodes: a cloud, or this machine.
///
/// No method has a default body: a wrapper that forgot one would silently
/// change behaviour. Every call is idempotent. Dropping a future at its
/// deadline is allowed at any await point and means "effect unknown".
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait CloudProvider: fmt::Debug + fmt::Display + Send + Sync + 'static {
    /// What this provider can do, and how often. Constant over its life.
    fn capabilities(&self) -> &Capabilities;

    /// Every instance of this cluster ([`Context::cluster_id`]), all pages,
    /// dying ones included; other clusters' never. What did not answer is
    /// named in [`Listing::gaps`], what dead nodes left behind in
    /// [`Listing::leftovers`].
    ///
    /// # Errors
    /// Only when nothing at all could be learnt.
    async fn list(&self, cx: &Context) -> Result<Listing>;

    /// Creates or starts (by the placement's [`Lifecycle`]) the nodes of each
    /// call. The same call, recognised by its token, twice is the same
    /// instances. A batch over [`Capabilities::max_batch`] is refused, whole.
    async fn power_up(&self, cx: &Context, calls: &[Call]) -> Outcomes;

    /// Deallocates or terminates. A node that is not there is
    /// [`Outcome::AlreadyDone`](crate::outcome::Outcome::AlreadyDone).
    /// Deallocate keeps the disk; terminate leaves nothing that costs money.
    async fn power_down(&self, cx: &Context, batch: &[PowerDown]) -> Outcomes;

    /// How far accepted work has come. Never mutates.
    async fn poll(&self, cx: &Context, pending: &[Pending]) -> Outcomes;

    /// Not urgent and idempotent: delete leftovers, write tags.
    async fn tidy(&self, cx: &Context, chores: &[Chore]) -> Outcomes;

    /// The requests for these nodes at this placement, split by
    /// [`Capabilities::max_batch`]. Pure: no I/O. What it returns is stored in
    /// the ledger, so it holds no secret, only where to find one.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::error::ErrorKind::Invalid) when the
    /// template cannot describe one of the nodes.
    fn render(&self, placement: &Placement, nodes: &[NodeName]) -> Result<Vec<Rendered>>;
}

/// What every call is made under.
#[derive(Debug, Clone)]
pub struct Context {
    cluster_id: Arc<str>,
    deadline: Instant,
}

impl Context {
    /// Calls for the cluster `cluster_id`, to be given up at `deadline`.
    pub fn new(cluster_id: impl Into<Arc<str>>, deadline: Instant) -> Context {
        Context {
            cluster_id: cluster_id.into(),
            deadline,
        }
    }

    /// A context whose deadline is `after` from now.
    pub fn within(cluster_id: impl Into<Arc<str>>, after: Duration) -> Context {
        Context::new(cluster_id, Instant::now() + after)
    }

    /// The owner tag of everything this cluster makes.
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// When to give up.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What is left until the deadline; zero once it has passed.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// The same, with an earlier (never a later) deadline.
    #[must_use]
    pub fn capped(&self, deadline: Instant) -> Context {
        Context {
            cluster_id: Arc::clone(&self.cluster_id),
            deadline: self.deadline.min(deadline),
        }
    }
}
