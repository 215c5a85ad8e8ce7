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

    /// Azure's documented refill, in tokens a second.
    fn rate(self) -> f64 {
        match self {
            Class::Read => 25.0,
            Class::Write | Class::Delete => 10.0,
        }
    }
}

/// The last few are not used up faster than they refill: others may be at it too.
const SPARE: f64 = 4.0;

/// A wait longer than this is the caller's to decide about.
const LONG: Duration = Duration::from_secs(10);

#[derive(Debug, Default, Clone, Copy)]
struct Lane {
    /// Azure has refused: no request before this.
    held: Option<Instant>,
    /// What is left at most, and when that was so.
    left: Option<(f64, Instant)>,
    /// How many were sent before anything was heard.
    blindly: u32,
    /// When the newest was sent.
    sent: Option<Instant>,
}

impl Lane {
    /// What is left now, with what has been refilled since.
    fn left(&self, now: Instant, rate: f64) -> Option<f64> {
        let (left, at) = self.left?;
        Some(left + (now - at).as_secs_f64() * rate)
    }

    /// An answer. It does not count what is still on its way; and answers come
    /// out of turn, so that of several the least counts.
    fn heard(&mut self, left: f64, now: Instant, rate: f64) {
        let least = match self.left(now, rate) {
            Some(had) => had.min(left),
            None => left - f64::from(self.blindly.saturating_sub(1)),
        };
        self.left = Some((least, now));
    }

    fn send(&mut self, now: Instant, rate: f64) {
        self.sent = Some(now);
        match self.left(now, rate) {
            Some(left) => self.left = Some((left - 1.0, now)),
            None => self.blindly = self.blindly.saturating_add(1),
        }
    }

    /// When a request may be sent, as far as is known now.
    fn when(&self, now: Instant, rate: f64) -> Instant {
        let scarce = self.left(now, rate).is_some_and(|left| left <= SPARE);
        let interval = Duration::from_secs_f64(1.0 / rate);
        let next = self.sent.filter(|_| scarce).map(|sent| sent + interval);
        [self.held, next]
            .into_iter()
            .flatten()
            .fold(now, Instant::max)
    }
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
        loop {
            let now = Instant::now();
            let at = self.with(class, |lane| {
                let at = lane.when(now, class.rate());
                if at <= now {
                    lane.send(now, class.rate());
                }
                at
            });
            if at <= now {
                return Ok(());
            }
            if at > now + LONG {
                let text = "Azure has asked this subscription to wait; nothing was sent";
                let error = Error::new(ErrorKind::Throttled, text).code("TooManyRequests");
                return Err(error.retry_after(at - now));
            }
            // Then it is looked at again: an answer may have said better meanwhile.
            sleep_until(at).await;
        }
    }

    /// What an answer says is left.
    pub(crate) fn heard(&self, class: Class, headers: &Headers) {
        let left = class
            .headers()
            .into_iter()
            .filter_map(|name| text(headers, name)?.trim().parse::<u32>().ok())
            .min();
        // Those of a single machine say nothing of the others.
        let of_all = of_compute(headers).into_iter();
        let of_all = of_all.filter_map(|(of_one, left)| (!of_one).then_some(left));
        if let Some(least) = of_all.chain(left).min() {
            let (left, now) = (f64::from(least), Instant::now());
            self.with(class, |lane| lane.heard(left, now, class.rate()));
        }
    }

    /// Azure refused: the whole class waits, not the one node.
    pub(crate) fn throttled(&self, class: Class, after: Option<Duration>) {
        let until = Instant::now()
            + after
                .unwrap_or(Duration::from_secs(5))
                .min(Duration::from_secs(900));
        self.with(class, |lane| {
            lane.held = Some(lane.held.map_or(until, |t| t.max(until)));
        });
    }
}

/// What Compute says is left, and whether that is a single machine's own:
/// `Microsoft.Compute/UpdateVMSubscriptionMaximum;1497,Microsoft.Compute/UpdateVMResource;1`.
fn of_compute(headers: &Headers) -> Vec<(bool, u32)> {
    let all = text(headers, "x-ms-ratelimit-remaining-resource").unwrap_or_default();
    let each = all.split(',').filter_map(|one| {
        let (name, left) = one.split_once(';')?;
        let of_one = name.contains("Resource") || name.contains("Operation");
        Some((of_one, left.trim().parse().ok()?))
    });
    each.collect()
}

/// Whether a refusal for too many requests is for those of a single machine.
pub(crate) fn is_of_one_machine(headers: &Headers) -> bool {
    let mut used_up = of_compute(headers)
        .into_iter()
        .filter(|(_, left)| *left == 0);
    used_up.next().is_some_and(|(of_one, _)| of_one) && used_up.all(|(of_one, _)| of_one)
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

    const READS: &str = "x-ms-ratelimit-remaining-subscription-reads";

    #[tokio::test(start_paused = true)]
    async fn little_left_spreads_the_requests() {
        let pace = Pace::default();
        let start = Instant::now();
        for _ in 0..50 {
            pace.turn(Class::Read).await.unwrap();
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        pace.heard(Class::Read, &headers(&[(READS, "3")]));
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
        // The fifty that were under way count as not counted yet: a hundred more have
        // been refilled by then.
        sleep_until(Instant::now() + Duration::from_secs(4)).await;
        let now = Instant::now();
        for _ in 0..26 {
            pace.turn(Class::Read).await.unwrap();
        }
        assert_eq!(now.elapsed(), Duration::ZERO);
    }

    /// Many at once do not all take the last token.
    #[tokio::test(start_paused = true)]
    async fn what_is_on_its_way_counts() {
        let pace = Pace::default();
        let left = || pace.with(Class::Read, |lane| lane.left.map(|(left, _)| left));
        for _ in 0..16 {
            pace.turn(Class::Read).await.unwrap();
        }
        pace.heard(Class::Read, &headers(&[(READS, "35")]));
        assert_eq!(left(), Some(20.0), "fifteen are not counted yet");
        let start = Instant::now();
        for _ in 0..16 {
            pace.turn(Class::Read).await.unwrap();
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        pace.turn(Class::Read).await.unwrap();
        assert_eq!(start.elapsed(), Duration::from_millis(40));
        pace.heard(Class::Read, &headers(&[(READS, "18")]));
        assert_eq!(left(), Some(4.0), "that answer is an old one");
        pace.heard(Class::Read, &headers(&[(READS, "2")]));
        assert_eq!(left(), Some(2.0), "others are at it too");
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
        let refused = |value: &'static str| is_of_one_machine(&headers(&[(name, value)]));
        assert!(!refused(value), "one is left");
        assert!(refused(
            "Microsoft.Compute/UpdateVMSubscriptionMaximum;7,Microsoft.Compute/UpdateVMResource;0"
        ));
        assert!(!refused(
            "Microsoft.Compute/UpdateVMSubscriptionMaximum;0,Microsoft.Compute/UpdateVMResource;0"
        ));
        assert!(!is_of_one_machine(&headers(&[])));
        let left = || pace.with(Class::Write, |lane| lane.left.map(|(left, _)| left));
        assert_eq!(left(), Some(1_497.0));
        pace.heard(
            Class::Write,
            &headers(&[(name, "Microsoft.Compute/PutVM3Min;0")]),
        );
        assert_eq!(left(), Some(0.0));
    }
}
