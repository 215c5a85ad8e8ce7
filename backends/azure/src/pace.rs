//! Keeping to what Azure says is left, request by request.
//!
//! The wrapper around a provider pays for what a call usually costs, across
//! processes. This is for what it cannot see: the further pages of a list, the
//! instance views, and what others of the same subscription have used up.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use azure_core::http::Method;
use azure_core::http::headers::Headers;
use slurmburst_core::error::{Error, ErrorKind, Result};
use tokio::time::{Instant, sleep_until};

use crate::client::text;

/// What Resource Manager counts apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Read,
    Write,
    Delete,
}

impl Class {
    pub(crate) fn of(method: Method) -> Class {
        match method {
            Method::Get | Method::Head => Class::Read,
            Method::Delete => Class::Delete,
            _ => Class::Write,
        }
    }

    /// The headers that say what is left of it.
    fn headers(self) -> [&'static str; 2] {
        match self {
            Class::Read => [
                "x-ms-ratelimit-remaining-subscription-reads",
                "x-ms-ratelimit-remaining-subscription-global-reads",
            ],
            Class::Write => [
                "x-ms-ratelimit-remaining-subscription-writes",
                "x-ms-ratelimit-remaining-subscription-global-writes",
            ],
            Class::Delete => [
                "x-ms-ratelimit-remaining-subscription-deletes",
                "x-ms-ratelimit-remaining-subscription-global-deletes",
            ],
        }
    }

    /// One token's time at Azure's documented refill.
    fn interval(self) -> Duration {
        match self {
            Class::Read => Duration::from_millis(40),
            Class::Write | Class::Delete => Duration::from_millis(100),
        }
    }
}

/// With less than this left, one request a token's time.
const LOW: u64 = 20;

/// A wait longer than this is the caller's to decide about.
const LONG: Duration = Duration::from_secs(10);

#[derive(Debug, Default, Clone, Copy)]
struct Lane {
    /// No request before this.
    not_before: Option<Instant>,
    /// Whether little is left.
    low: bool,
}

/// The three classes.
#[derive(Debug, Default)]
pub(crate) struct Pace(Mutex<[Lane; 3]>);

impl Pace {
    fn with<R>(&self, class: Class, act: impl FnOnce(&mut Lane) -> R) -> R {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [read, write, delete] = &mut *lanes;
        act(match class {
            Class::Read => read,
            Class::Write => write,
            Class::Delete => delete,
        })
    }

    /// Waits for its turn, which is nearly always now. Azure asked to wait for
    /// longer than is worth waiting here: refused, so that the class is held.
    pub(crate) async fn turn(&self, class: Class) -> Result<()> {
        let now = Instant::now();
        let at = self.with(class, |lane| {
            let at = lane.not_before.map_or(now, |t| t.max(now));
            if lane.low && at <= now + LONG {
                lane.not_before = Some(at + class.interval());
            }
            at
        });
        if at > now + LONG {
            let text = "Azure has asked this subscription to wait; nothing was sent";
            let error = Error::new(ErrorKind::Throttled, text).code("TooManyRequests");
            return Err(error.retry_after(at - now));
        }
        sleep_until(at).await;
        Ok(())
    }

    /// What an answer says is left.
    pub(crate) fn heard(&self, class: Class, headers: &Headers) {
        let left = class
            .headers()
            .into_iter()
            .filter_map(|name| text(headers, name)?.trim().parse::<u64>().ok())
            .min();
        // Compute's own: `Microsoft.Compute/PutVMSubscriptionMaximum;1497,...`. Those of a
        // single machine say nothing of the others.
        let resource = text(headers, "x-ms-ratelimit-remaining-resource");
        let resource = resource
            .iter()
            .flat_map(|all| all.split(','))
            .filter_map(|one| {
                let (name, left) = one.split_once(';')?;
                let of_one = name.contains("Resource") || name.contains("Operation");
                (!of_one).then(|| left.trim().parse::<u64>().ok())?
            });
        let least = resource.chain(left).min();
        if let Some(least) = least {
            self.with(class, |lane| lane.low = least < LOW);
        }
    }

    /// Azure refused: the whole class waits, not the one node.
    pub(crate) fn throttled(&self, class: Class, after: Option<Duration>) {
        let until = Instant::now()
            + after
                .unwrap_or(Duration::from_secs(5))
                .min(Duration::from_secs(900));
        self.with(class, |lane| {
            lane.not_before = Some(lane.not_before.map_or(until, |t| t.max(until)));
        });
    }
}

#[cfg(test)]
mod tests {
    use azure_core::http::headers::HeaderName;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in pairs {
            headers.insert(HeaderName::from_static(name), *value);
        }
        headers
    }

    #[tokio::test(start_paused = true)]
    async fn little_left_spreads_the_requests() {
        let pace = Pace::default();
        let start = Instant::now();
        for _ in 0..50 {
            pace.turn(Class::Read).await.unwrap();
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        pace.heard(
            Class::Read,
            &headers(&[("x-ms-ratelimit-remaining-subscription-reads", "3")]),
        );
        for _ in 0..26 {
            pace.turn(Class::Read).await.unwrap();
        }
        assert!(
            start.elapsed() >= Duration::from_millis(1_000),
            "{:?}",
            start.elapsed()
        );
        pace.turn(Class::Write).await.unwrap();
        assert!(start.elapsed() < Duration::from_millis(1_100));
        pace.heard(
            Class::Read,
            &headers(&[("x-ms-ratelimit-remaining-subscription-reads", "240")]),
        );
        assert!(!pace.with(Class::Read, |lane| lane.low));
    }

    #[tokio::test(start_paused = true)]
    async fn one_refusal_holds_the_class() {
        let pace = Pace::default();
        pace.throttled(Class::Write, Some(Duration::from_secs(4)));
        let start = Instant::now();
        pace.turn(Class::Write).await.unwrap();
        assert_eq!(start.elapsed(), Duration::from_secs(4));
        pace.throttled(Class::Write, Some(Duration::from_secs(60)));
        let error = pace.turn(Class::Write).await.unwrap_err();
        assert_eq!(error.delay(), Some(Duration::from_secs(60)));
        pace.turn(Class::Read).await.unwrap();
    }

    #[test]
    fn a_single_machines_bucket_is_not_the_subscriptions() {
        let pace = Pace::default();
        let name = "x-ms-ratelimit-remaining-resource";
        let value = "Microsoft.Compute/UpdateVMSubscriptionMaximum;1497,Microsoft.Compute/UpdateVMResource;1";
        pace.heard(Class::Write, &headers(&[(name, value)]));
        assert!(!pace.with(Class::Write, |lane| lane.low));
        pace.heard(
            Class::Write,
            &headers(&[(name, "Microsoft.Compute/PutVM3Min;0")]),
        );
        assert!(pace.with(Class::Write, |lane| lane.low));
    }
}
