//! What a provider can do, and how often.

use std::time::Duration;

use super::Lifecycle;

/// What a provider can do.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Capabilities {
    /// The most nodes one [`Call`](super::Call), [`PowerDown`](super::PowerDown) batch or poll may name.
    pub max_batch: usize,
    /// The most calls that may be under way at once.
    pub concurrency: usize,
    /// The lifecycles it offers.
    pub lifecycles: Vec<Lifecycle>,
    /// Its rate limits.
    pub classes: Vec<CallClass>,
    /// How long after a change a listing may still miss it.
    pub consistency_window: Duration,
    /// Whether instances carry an owner tag, so that `cluster_id` is required.
    pub needs_cluster_id: bool,
    /// Who is rate limited together: an account or subscription, a credential.
    pub principal: String,
}

impl Capabilities {
    /// One node per call, `concurrency` 16, create-delete only, no limits, consistent at once.
    pub fn new(principal: impl Into<String>) -> Capabilities {
        Capabilities {
            max_batch: 1,
            concurrency: 16,
            lifecycles: vec![Lifecycle::CreateDelete],
            classes: Vec::new(),
            consistency_window: Duration::ZERO,
            needs_cluster_id: true,
            principal: principal.into(),
        }
    }

    /// Whether `lifecycle` is offered.
    pub fn offers(&self, lifecycle: Lifecycle) -> bool {
        self.lifecycles.contains(&lifecycle)
    }
}

/// A token bucket of the provider's, and which operations pay into it.
#[derive(Debug, Clone, PartialEq)]
pub struct CallClass {
    /// Its name in the ledger and in logs, such as `writes`.
    pub name: String,
    /// The operations that need its tokens.
    pub ops: Vec<OpKind>,
    /// What one operation costs.
    pub cost: Cost,
    /// Bucket size in tokens.
    pub burst: f64,
    /// Refill, tokens per second.
    pub per_second: f64,
}

/// What a call pays into a [`CallClass`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// One token a request.
    PerCall,
    /// One token a node.
    PerNode,
}

/// The kinds of operation that clouds limit apart from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OpKind {
    /// [`CloudProvider::list`](super::CloudProvider::list).
    List,
    /// [`CloudProvider::power_up`](super::CloudProvider::power_up) under [`Lifecycle::CreateDelete`](super::Lifecycle::CreateDelete).
    Create,
    /// [`CloudProvider::power_up`](super::CloudProvider::power_up) under [`Lifecycle::StartDeallocate`](super::Lifecycle::StartDeallocate).
    Start,
    /// [`CloudProvider::power_down`](super::CloudProvider::power_down) with [`DownMode::Deallocate`](super::DownMode::Deallocate).
    Deallocate,
    /// [`CloudProvider::power_down`](super::CloudProvider::power_down) with [`DownMode::Terminate`](super::DownMode::Terminate).
    Terminate,
    /// [`CloudProvider::poll`](super::CloudProvider::poll).
    Poll,
    /// [`CloudProvider::tidy`](super::CloudProvider::tidy).
    Tidy,
}
