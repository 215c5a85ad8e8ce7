use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::{call_nodes, chore_nodes};
use crate::bucket::{BucketKey, BucketStore};
use crate::clock::Clock;
use crate::error::{Advice, Error, ErrorKind, Result};
use crate::hostlist::NodeName;
use crate::outcome::{Outcome, Outcomes};
use crate::provider::{
    Call, CallClass, Capabilities, Chore, CloudProvider, Context, Cost, DownMode, Lifecycle,
    Listing, OpKind, Pending, Placement, PowerDown, Rendered,
};

/// Keeps below the provider's own rate limits, so that it need not enforce them.
///
/// Every call first takes the tokens of each [`CallClass`] that it falls into
/// and waits until they are there. Where that would be after the deadline the
/// tokens go back and the nodes are skipped: nothing was sent. A provider that
/// throttles all the same slows the whole class, not the one node it answered.
#[derive(Debug)]
pub struct RateLimit {
    inner: Arc<dyn CloudProvider>,
    buckets: Arc<dyn BucketStore>,
    clock: Clock,
    kind: String,
}

/// What a call comes to, for those who are paid.
#[derive(Debug, Clone, Copy)]
struct Load {
    op: OpKind,
    requests: usize,
    nodes: usize,
}

/// Why a call was not sent.
enum Unpaid {
    TooLate(Duration),
    Broken(Error),
}

/// Tokens that are taken. They go back when this is dropped before the call
/// they were for was sent.
struct Reserved<'a> {
    buckets: &'a dyn BucketStore,
    taken: Vec<(BucketKey, f64)>,
}

impl Reserved<'_> {
    fn spend(mut self) {
        self.taken.clear();
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        for (key, tokens) in &self.taken {
            self.buckets.refund(key, *tokens);
        }
    }
}

impl RateLimit {
    /// Limits `inner`, whose buckets are found in `buckets` under the
    /// provider's `kind` and its principal.
    pub fn new(
        inner: Arc<dyn CloudProvider>,
        buckets: Arc<dyn BucketStore>,
        clock: Clock,
        kind: impl Into<String>,
    ) -> RateLimit {
        RateLimit {
            inner,
            buckets,
            clock,
            kind: kind.into(),
        }
    }

    fn key(&self, class: &CallClass) -> BucketKey {
        BucketKey {
            kind: self.kind.clone(),
            principal: self.inner.capabilities().principal.clone(),
            class: class.name.clone(),
        }
    }

    /// Takes the tokens for all of `loads` and waits until they may be used.
    async fn pay(&self, cx: &Context, loads: &[Load]) -> Result<(), Unpaid> {
        let mut reserved = Reserved {
            buckets: &*self.buckets,
            taken: Vec::new(),
        };
        let mut wait = Duration::ZERO;
        for class in &self.inner.capabilities().classes {
            let tokens: f64 = loads.iter().map(|load| price(class, *load)).sum();
            if tokens <= 0.0 {
                continue;
            }
            let (key, now) = (self.key(class), self.clock.now_ms());
            let until = self
                .buckets
                .reserve(&key, class.burst, class.per_second, tokens, now)
                .map_err(Unpaid::Broken)?;
            reserved.taken.push((key, tokens));
            wait = wait.max(until);
        }
        let within = Instant::now()
            .checked_add(wait)
            .is_some_and(|at| at < cx.deadline());
        if !within {
            return Err(Unpaid::TooLate(wait));
        }
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        reserved.spend();
        Ok(())
    }

    async fn pay_for(
        &self,
        cx: &Context,
        loads: &[Load],
        nodes: impl Iterator<Item = NodeName>,
    ) -> Result<(), Outcomes> {
        self.pay(cx, loads).await.map_err(|unpaid| match unpaid {
            Unpaid::TooLate(wait) => {
                let why = format!(
                    "the deadline comes before the rate limit allows ({})",
                    seconds(wait)
                );
                Outcomes::all(nodes, &Outcome::Skipped(why))
            }
            Unpaid::Broken(error) => Outcomes::failed(nodes, &error),
        })
    }

    /// Slows the classes of `loads` when the provider throttled.
    fn heed<'a>(&self, loads: &[Load], errors: impl Iterator<Item = &'a Error>) {
        let throttled = errors.filter(|e| e.kind() == ErrorKind::Throttled);
        let longest = throttled.filter_map(|e| match e.advice() {
            Advice::Retry(after) => Some(after),
            Advice::Never | Advice::Elsewhere => None,
        });
        let Some(after) = longest.max() else { return };
        let millis = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
        let until = self.clock.now_ms().saturating_add(millis);
        for class in &self.inner.capabilities().classes {
            if loads.iter().any(|load| price(class, *load) > 0.0) {
                self.buckets.throttled(&self.key(class), until, None);
            }
        }
    }

    fn heed_all(&self, loads: &[Load], outcomes: &Outcomes) {
        self.heed(
            loads,
            outcomes.iter().filter_map(|(_, outcome)| match outcome {
                Outcome::Failed(error) => Some(error),
                _ => None,
            }),
        );
    }
}

fn seconds(wait: Duration) -> String {
    format!("{:.1} s", wait.as_secs_f64())
}

#[allow(
    clippy::cast_precision_loss,
    reason = "nodes and requests are far below 2^53"
)]
fn price(class: &CallClass, load: Load) -> f64 {
    if !class.ops.contains(&load.op) {
        return 0.0;
    }
    match class.cost {
        Cost::PerCall => load.requests as f64,
        Cost::PerNode => load.nodes as f64,
    }
}

fn up_loads(calls: &[Call]) -> Vec<Load> {
    let load = |op, lifecycle| {
        let of: Vec<&Call> = calls
            .iter()
            .filter(|c| c.placement.lifecycle == lifecycle)
            .collect();
        Load {
            op,
            requests: of.len(),
            nodes: of.iter().map(|c| c.nodes.len()).sum(),
        }
    };
    vec![
        load(OpKind::Create, Lifecycle::CreateDelete),
        load(OpKind::Start, Lifecycle::StartDeallocate),
    ]
}

fn down_loads(batch: &[PowerDown]) -> Vec<Load> {
    let load = |op, mode| {
        let nodes = batch.iter().filter(|d| d.mode == mode).count();
        Load {
            op,
            requests: usize::from(nodes > 0),
            nodes,
        }
    };
    vec![
        load(OpKind::Deallocate, DownMode::Deallocate),
        load(OpKind::Terminate, DownMode::Terminate),
    ]
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RateLimit({})", self.inner)
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl CloudProvider for RateLimit {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn list(&self, cx: &Context) -> Result<Listing> {
        let loads = [Load {
            op: OpKind::List,
            requests: 1,
            nodes: 1,
        }];
        self.pay(cx, &loads).await.map_err(|unpaid| match unpaid {
            Unpaid::TooLate(wait) => {
                let why = format!(
                    "not listed: the deadline comes before {}'s rate limit allows",
                    self.inner
                );
                Error::new(ErrorKind::Throttled, why).retry_after(wait)
            }
            Unpaid::Broken(error) => error,
        })?;
        let listing = self.inner.list(cx).await;
        match &listing {
            Ok(listing) => self.heed(&loads, listing.gaps.iter().map(|gap| &gap.error)),
            Err(error) => self.heed(&loads, std::iter::once(error)),
        }
        listing
    }

    async fn power_up(&self, cx: &Context, calls: &[Call]) -> Outcomes {
        let loads = up_loads(calls);
        if let Err(unsent) = self.pay_for(cx, &loads, call_nodes(calls)).await {
            return unsent;
        }
        let outcomes = self.inner.power_up(cx, calls).await;
        self.heed_all(&loads, &outcomes);
        outcomes
    }

    async fn power_down(&self, cx: &Context, batch: &[PowerDown]) -> Outcomes {
        let loads = down_loads(batch);
        let nodes = batch.iter().map(|d| d.node.clone());
        if let Err(unsent) = self.pay_for(cx, &loads, nodes).await {
            return unsent;
        }
        let outcomes = self.inner.power_down(cx, batch).await;
        self.heed_all(&loads, &outcomes);
        outcomes
    }

    async fn poll(&self, cx: &Context, pending: &[Pending]) -> Outcomes {
        let loads = [Load {
            op: OpKind::Poll,
            requests: 1,
            nodes: pending.len(),
        }];
        let nodes = pending.iter().map(|p| p.node.clone());
        if let Err(unsent) = self.pay_for(cx, &loads, nodes).await {
            return unsent;
        }
        let outcomes = self.inner.poll(cx, pending).await;
        self.heed_all(&loads, &outcomes);
        outcomes
    }

    async fn tidy(&self, cx: &Context, chores: &[Chore]) -> Outcomes {
        let loads = [Load {
            op: OpKind::Tidy,
            requests: 1,
            nodes: chores.len(),
        }];
        if let Err(unsent) = self.pay_for(cx, &loads, chore_nodes(chores)).await {
            return unsent;
        }
        let outcomes = self.inner.tidy(cx, chores).await;
        self.heed_all(&loads, &outcomes);
        outcomes
    }

    fn render(&self, placement: &Placement, nodes: &[NodeName]) -> Result<Vec<Rendered>> {
        self.inner.render(placement, nodes)
    }
}
