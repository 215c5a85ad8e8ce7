use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep, timeout_at};

use super::{call_nodes, chore_nodes};
use crate::error::{Advice, Effect, Error, ErrorKind, Result};
use crate::hostlist::NodeName;
use crate::outcome::{Outcome, Outcomes};
use crate::provider::{
    Call, Capabilities, Chore, CloudProvider, Context, Listing, Pending, Placement, PowerDown,
    Rendered,
};

/// How often [`Retry`] tries, and how far apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryOptions {
    /// The most attempts, the first included.
    pub attempts: u32,
    /// What the random part of the first wait is at most. It doubles each time.
    pub base: Duration,
    /// What the random part of a wait is ever at most.
    pub most: Duration,
}

impl Default for RetryOptions {
    /// 3 attempts, from 1 s to 30 s.
    fn default() -> RetryOptions {
        RetryOptions {
            attempts: 3,
            base: Duration::from_secs(1),
            most: Duration::from_secs(30),
        }
    }
}

/// Does again what [`Error::advice`] says to do again, and nothing else.
///
/// Only the nodes concerned, under the same call and so the same token; at
/// least as long after as the error says, plus a random part that grows; never
/// past the deadline. What is given up on is marked
/// [`exhausted`](Error::exhausted).
#[derive(Debug)]
pub struct Retry {
    inner: Arc<dyn CloudProvider>,
    options: RetryOptions,
}

impl Retry {
    /// Retries `inner`.
    pub fn new(inner: Arc<dyn CloudProvider>, options: RetryOptions) -> Retry {
        Retry { inner, options }
    }

    /// How long to wait before the attempt after `attempt`, for an error that
    /// asks for `floor`; `None` when that would be past the deadline.
    fn wait(&self, cx: &Context, attempt: u32, floor: Duration) -> Option<Duration> {
        let left = cx.remaining();
        if floor >= left {
            return None;
        }
        let factor = 2u32.saturating_pow(attempt.saturating_sub(1));
        let window = self
            .options
            .base
            .saturating_mul(factor)
            .min(self.options.most);
        // The random part may shrink to fit; what the cloud asked for may not.
        let spread = window.min((left - floor) / 2);
        Some(floor + spread.mul_f64(random()))
    }

    async fn send(&self, cx: &Context, ask: &Ask<'_>) -> Outcomes {
        let sent = async {
            match ask {
                Ask::Up(calls) => self.inner.power_up(cx, calls).await,
                Ask::Down(batch) => self.inner.power_down(cx, batch).await,
                Ask::Poll(pending) => self.inner.poll(cx, pending).await,
                Ask::Tidy(chores) => self.inner.tidy(cx, chores).await,
            }
        };
        // The deadline of a later attempt must not cost what an earlier one learnt.
        match timeout_at(cx.deadline(), sent).await {
            Ok(outcomes) => outcomes,
            Err(_) => Outcomes::failed(ask.nodes(), &self.timed_out()),
        }
    }

    fn timed_out(&self) -> Error {
        let what = format!("{} had not answered at the deadline", self.inner);
        Error::new(ErrorKind::Timeout, what).effect(Effect::Unknown)
    }

    async fn persist(&self, cx: &Context, mut ask: Ask<'_>) -> Outcomes {
        let mut outcomes = self.send(cx, &ask).await;
        for attempt in 1..self.options.attempts {
            let Some((wait, again)) = self.again(cx, attempt, &outcomes) else {
                break;
            };
            sleep(wait).await;
            ask = ask.only(&again);
            for (node, answer) in self.send(cx, &ask).await {
                // A call is sent again whole: it may have raised what it did not before.
                if again.contains(&node) || is_raised(&answer) {
                    let outcome = combined(outcomes.get(&node), answer);
                    outcomes.set(&node, outcome);
                }
            }
        }
        exhausted(&mut outcomes);
        outcomes
    }

    /// Which nodes are worth another attempt, and when.
    fn again(
        &self,
        cx: &Context,
        attempt: u32,
        outcomes: &Outcomes,
    ) -> Option<(Duration, HashSet<NodeName>)> {
        let left = cx.remaining();
        let worth = |outcome: &Outcome| {
            let Outcome::Failed(error) = outcome else {
                return None;
            };
            retry_after(error).filter(|after| *after < left)
        };
        let again: HashSet<NodeName> = outcomes
            .iter()
            .filter(|(_, o)| worth(o).is_some())
            .map(|(n, _)| n.clone())
            .collect();
        let floor = outcomes.iter().filter_map(|(_, o)| worth(o)).max()?;
        Some((self.wait(cx, attempt, floor)?, again))
    }
}

/// How long after this error the same may be tried again, if at all.
fn retry_after(error: &Error) -> Option<Duration> {
    match error.advice() {
        Advice::Retry(after) if !error.is_exhausted() => Some(after),
        _ => None,
    }
}

/// Whether there is a machine by now.
fn is_raised(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Done(_) | Outcome::Accepted(_))
}

/// What is known after a second attempt. An attempt that may have acted is not
/// undone by one that did not get as far.
fn combined(before: Option<&Outcome>, answer: Outcome) -> Outcome {
    let Some(Outcome::Failed(before)) = before else {
        return answer;
    };
    let unknown = before.may_have_acted() == Effect::Unknown;
    match answer {
        // Nothing was sent this time, so the last thing known is still the failure.
        Outcome::Skipped(_) => Outcome::Failed(before.clone()),
        Outcome::Waiting { .. } | Outcome::Superseded if unknown => Outcome::Failed(before.clone()),
        // "No room" for the very same token says that there is nothing under it.
        Outcome::Failed(error)
            if unknown && !matches!(error.kind(), ErrorKind::Capacity | ErrorKind::Quota) =>
        {
            Outcome::Failed(error.effect(Effect::Unknown))
        }
        other => other,
    }
}

/// Marks every failure that is left and that only more attempts could mend.
fn exhausted(outcomes: &mut Outcomes) {
    let given_up: Vec<(NodeName, Error)> = outcomes
        .iter()
        .filter_map(|(node, outcome)| match outcome {
            Outcome::Failed(error) if retry_after(error).is_some() => {
                Some((node.clone(), error.clone().exhausted()))
            }
            _ => None,
        })
        .collect();
    for (node, error) in given_up {
        outcomes.set(&node, Outcome::Failed(error));
    }
}

/// From 0 to 1. Spreads callers who failed together; nothing hangs on its quality.
#[allow(
    clippy::cast_precision_loss,
    reason = "a rounded random number is as random"
)]
fn random() -> f64 {
    RandomState::new().hash_one(Instant::now()) as f64 / u64::MAX as f64
}

/// What was asked.
enum Ask<'a> {
    Up(Cow<'a, [Call]>),
    Down(Cow<'a, [PowerDown]>),
    Poll(Cow<'a, [Pending]>),
    Tidy(Cow<'a, [Chore]>),
}

impl<'a> Ask<'a> {
    fn nodes(&self) -> Vec<NodeName> {
        match self {
            Ask::Up(calls) => call_nodes(calls).collect(),
            Ask::Down(batch) => batch.iter().map(|d| d.node.clone()).collect(),
            Ask::Poll(pending) => pending.iter().map(|p| p.node.clone()).collect(),
            Ask::Tidy(chores) => chore_nodes(chores).collect(),
        }
    }

    /// The same without what concerns none of `nodes`. A call stays whole,
    /// because its token stands for the whole request.
    fn only(self, nodes: &HashSet<NodeName>) -> Ask<'a> {
        fn kept<'a, T: Clone>(all: &[T], keep: impl Fn(&T) -> bool) -> Cow<'a, [T]> {
            Cow::Owned(all.iter().filter(|x| keep(x)).cloned().collect())
        }
        match self {
            Ask::Up(calls) => Ask::Up(kept(&calls, |c| c.names().any(|n| nodes.contains(n)))),
            Ask::Down(batch) => Ask::Down(kept(&batch, |d| nodes.contains(&d.node))),
            Ask::Poll(pending) => Ask::Poll(kept(&pending, |p| nodes.contains(&p.node))),
            Ask::Tidy(chores) => Ask::Tidy(kept(&chores, |c| nodes.contains(c.node()))),
        }
    }
}

impl fmt::Display for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Retry({}, {})", self.options.attempts, self.inner)
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl CloudProvider for Retry {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn list(&self, cx: &Context) -> Result<Listing> {
        let mut attempt = 1;
        loop {
            let listed = timeout_at(cx.deadline(), self.inner.list(cx)).await;
            let error = match listed.unwrap_or_else(|_| Err(self.timed_out())) {
                Ok(listing) => return Ok(listing),
                Err(error) => error,
            };
            let Some(after) = retry_after(&error) else {
                return Err(error);
            };
            let wait = self
                .wait(cx, attempt, after)
                .filter(|_| attempt < self.options.attempts);
            let Some(wait) = wait else {
                return Err(error.exhausted());
            };
            sleep(wait).await;
            attempt += 1;
        }
    }

    async fn power_up(&self, cx: &Context, calls: &[Call]) -> Outcomes {
        self.persist(cx, Ask::Up(calls.into())).await
    }

    async fn power_down(&self, cx: &Context, batch: &[PowerDown]) -> Outcomes {
        self.persist(cx, Ask::Down(batch.into())).await
    }

    async fn poll(&self, cx: &Context, pending: &[Pending]) -> Outcomes {
        self.persist(cx, Ask::Poll(pending.into())).await
    }

    async fn tidy(&self, cx: &Context, chores: &[Chore]) -> Outcomes {
        self.persist(cx, Ask::Tidy(chores.into())).await
    }

    fn render(&self, placement: &Placement, nodes: &[NodeName]) -> Result<Vec<Rendered>> {
        self.inner.render(placement, nodes)
    }
}
