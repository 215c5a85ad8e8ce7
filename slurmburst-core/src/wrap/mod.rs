//! Wrappers around any provider, and [`stack`], the one right order of them.
//!
//! Outermost first: [`DryRun`], [`Retry`], [`RateLimit`], the provider. Every
//! attempt pays its tokens, a dry run pays none, and what [`Retry`] gave up on
//! nobody retries.

mod dry_run;
mod rate_limit;
mod retry;

use std::sync::Arc;

pub use dry_run::DryRun;
pub use rate_limit::RateLimit;
pub use retry::{Retry, RetryOptions};

use crate::bucket::BucketStore;
use crate::clock::Clock;
use crate::hostlist::NodeName;
use crate::provider::{Call, Chore, CloudProvider};

/// How [`stack`] wraps a provider.
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// Only say what would be done.
    pub dry_run: bool,
    /// Where tokens are kept.
    pub buckets: Arc<dyn BucketStore>,
    /// What the time is, for the buckets.
    pub clock: Clock,
    /// The word after `kind =`.
    pub kind: String,
    /// How often to try, and how far apart.
    pub retry: RetryOptions,
}

/// The provider with everything around it.
///
/// ```
/// # #[cfg(feature = "fake")] {
/// use std::sync::Arc;
/// use slurmburst_core::bucket::MemoryBuckets;
/// use slurmburst_core::clock::Clock;
/// use slurmburst_core::fake::{FakeCloud, FakeOptions};
/// use slurmburst_core::wrap::{RetryOptions, StackOptions, stack};
///
/// let fake = Arc::new(FakeCloud::new(FakeOptions::default()));
/// let whole = stack(fake, StackOptions {
///     dry_run: true,
///     buckets: Arc::new(MemoryBuckets::default()),
///     clock: Clock::system(),
///     kind: "fake".into(),
///     retry: RetryOptions::default(),
/// });
/// assert_eq!(whole.to_string(), "DryRun(Retry(3, RateLimit(fake)))");
/// # }
/// ```
pub fn stack(provider: Arc<dyn CloudProvider>, options: StackOptions) -> Arc<dyn CloudProvider> {
    let StackOptions {
        dry_run,
        buckets,
        clock,
        kind,
        retry,
    } = options;
    let limited = Arc::new(RateLimit::new(provider, buckets, clock, kind));
    let retried = Arc::new(Retry::new(limited, retry));
    if dry_run {
        Arc::new(DryRun::new(retried))
    } else {
        retried
    }
}

fn call_nodes(calls: &[Call]) -> impl Iterator<Item = NodeName> + '_ {
    calls.iter().flat_map(Call::names).cloned()
}

fn chore_nodes(chores: &[Chore]) -> impl Iterator<Item = NodeName> + '_ {
    chores.iter().map(|c| c.node().clone())
}
