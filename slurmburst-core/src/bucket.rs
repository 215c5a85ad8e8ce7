//! Token buckets: how often a cloud may be asked.
//!
//! [`BucketStore`] keeps them; whoever is about to call a cloud *reserves* and
//! then sleeps for as long as it is told. A reservation is never refused: the
//! balance goes below zero, and later ones wait longer, in turn.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Error, ErrorKind};

/// Which bucket: everybody with the same key shares the tokens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketKey {
    /// The kind of provider, so that two providers of one site file that are
    /// limited together pay together.
    pub kind: String,
    /// Who is limited together ([`Capabilities::principal`](crate::provider::Capabilities::principal)).
    pub principal: String,
    /// The call class's name ([`CallClass::name`](crate::provider::CallClass::name)).
    pub class: String,
}

impl BucketKey {
    /// A key of these three.
    pub fn new(
        kind: impl Into<String>,
        principal: impl Into<String>,
        class: impl Into<String>,
    ) -> BucketKey {
        BucketKey {
            kind: kind.into(),
            principal: principal.into(),
            class: class.into(),
        }
    }
}

/// Keeps token buckets. A bucket that nobody used yet is full.
///
/// ```
/// use slurmburst_core::bucket::{BucketKey, BucketStore, MemoryBuckets};
/// use std::time::Duration;
///
/// let buckets = MemoryBuckets::new();
/// let key = BucketKey::new("here", "me", "writes");
/// let reserve = |now_ms| buckets.reserve(&key, 2.0, 1.0, 1.0, now_ms);
/// assert_eq!(reserve(0)?, Duration::ZERO);
/// assert_eq!(reserve(0)?, Duration::ZERO);
/// assert_eq!(reserve(0)?, Duration::from_secs(1));
/// buckets.throttled(&key, 60_000, None);
/// assert!(reserve(1_000)? >= Duration::from_secs(59));
/// # Ok::<(), slurmburst_core::error::Error>(())
/// ```
pub trait BucketStore: Send + Sync + Debug {
    /// Takes `tokens` out of a bucket of size `burst` that refills with
    /// `per_second`, at `now_ms` (milliseconds since 1970), and says how long
    /// to wait before acting.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for sizes and rates that are not positive finite
    /// numbers, or tokens that are negative; anything that the store's own
    /// medium may answer. Nothing was taken then.
    fn reserve(
        &self,
        key: &BucketKey,
        burst: f64,
        per_second: f64,
        tokens: f64,
        now_ms: i64,
    ) -> Result<Duration, Error>;

    /// Gives back tokens of a reservation that was not used.
    fn refund(&self, key: &BucketKey, tokens: f64);

    /// The cloud said that there are too many calls: nobody acts before
    /// `until_ms` (milliseconds since 1970), and no more than `remaining`
    /// tokens are there then; one, where it did not say.
    fn throttled(&self, key: &BucketKey, until_ms: i64, remaining: Option<f64>);
}

/// Reservations whose times differ by less than this were merely made side by
/// side; a larger step back is a clock that was set.
const SIDE_BY_SIDE_MS: i64 = 2_000;

/// One bucket's state. Pure arithmetic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bucket {
    /// The balance at `at_ms`; below zero when reserved ahead.
    pub(crate) tokens: f64,
    /// When the balance was last reckoned. In the future while blocked.
    pub(crate) at_ms: i64,
    /// Nobody acts before this.
    pub(crate) blocked_ms: i64,
    /// The balance at `blocked_ms` is at most this.
    pub(crate) left: f64,
    /// The newest time that a reservation was made at.
    pub(crate) seen_ms: i64,
}

impl Bucket {
    /// A full bucket; it is cut to its size by the first reservation.
    pub(crate) fn full() -> Bucket {
        Bucket {
            tokens: f64::MAX,
            at_ms: i64::MIN,
            blocked_ms: i64::MIN,
            left: 0.0,
            seen_ms: i64::MIN,
        }
    }

    /// See [`BucketStore::reserve`].
    pub(crate) fn reserve(
        &mut self,
        burst: f64,
        per_second: f64,
        tokens: f64,
        now_ms: i64,
    ) -> Result<Duration, Error> {
        let positive = |x: f64| x.is_finite() && x > 0.0;
        if !positive(burst) || !positive(per_second) || !tokens.is_finite() || tokens < 0.0 {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "a rate limit must have a positive size and rate, is {burst} tokens and \
                     {per_second} a second, of which {tokens} are wanted"
                ),
            ));
        }
        self.follow(now_ms);
        // While blocked (or when another reservation's time was a moment later)
        // the reckoning is made for the moment at which one may act at all, so
        // that no more than a bucketful can act then.
        let then = now_ms.max(self.blocked_ms).max(self.at_ms);
        if self.blocked_ms > self.at_ms {
            self.refill(burst, per_second, self.blocked_ms);
            self.tokens = self.tokens.min(self.left);
        }
        self.refill(burst, per_second, then);
        self.tokens -= tokens;
        let wait = seconds(then.saturating_sub(now_ms)) + (-self.tokens).max(0.0) / per_second;
        Ok(Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX))
    }

    fn refill(&mut self, burst: f64, per_second: f64, to_ms: i64) {
        let gained = seconds(to_ms.saturating_sub(self.at_ms)) * per_second;
        self.tokens = (self.tokens + gained).min(burst);
        self.at_ms = to_ms;
    }

    /// A clock that was set back takes all our times with it: waiting for it to
    /// pass the old ones again could take for ever.
    fn follow(&mut self, now_ms: i64) {
        let back = self.seen_ms.saturating_sub(now_ms);
        if back > SIDE_BY_SIDE_MS {
            self.at_ms = self.at_ms.saturating_sub(back);
            self.blocked_ms = self.blocked_ms.saturating_sub(back);
            self.seen_ms = now_ms;
        }
        self.seen_ms = self.seen_ms.max(now_ms);
    }

    /// See [`BucketStore::refund`].
    pub(crate) fn refund(&mut self, tokens: f64) {
        if tokens.is_finite() && tokens > 0.0 {
            self.tokens += tokens;
        }
    }

    /// See [`BucketStore::throttled`].
    pub(crate) fn throttled(&mut self, until_ms: i64, remaining: Option<f64>) {
        let left = remaining.filter(|r| r.is_finite()).unwrap_or(1.0);
        // What lasts longest counts; of two that last as long, the smaller.
        self.left = match until_ms.cmp(&self.blocked_ms) {
            Ordering::Less => self.left,
            Ordering::Equal => left.min(self.left),
            Ordering::Greater => left,
        };
        self.blocked_ms = self.blocked_ms.max(until_ms);
    }
}

/// Milliseconds as seconds. Differences of times are far below 2^53.
#[allow(clippy::cast_precision_loss)]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}

/// Buckets that are forgotten with the process.
#[derive(Debug, Default)]
pub struct MemoryBuckets(Mutex<HashMap<BucketKey, Bucket>>);

impl MemoryBuckets {
    /// No bucket was used yet.
    pub fn new() -> MemoryBuckets {
        MemoryBuckets::default()
    }

    /// A bucket is plain numbers: whoever panicked left it usable.
    fn map(&self) -> MutexGuard<'_, HashMap<BucketKey, Bucket>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BucketStore for MemoryBuckets {
    fn reserve(
        &self,
        key: &BucketKey,
        burst: f64,
        per_second: f64,
        tokens: f64,
        now_ms: i64,
    ) -> Result<Duration, Error> {
        let mut map = self.map();
        match map.get_mut(key) {
            Some(bucket) => bucket.reserve(burst, per_second, tokens, now_ms),
            None => {
                let mut bucket = Bucket::full();
                let wait = bucket.reserve(burst, per_second, tokens, now_ms)?;
                map.insert(key.clone(), bucket);
                Ok(wait)
            }
        }
    }

    fn refund(&self, key: &BucketKey, tokens: f64) {
        if let Some(bucket) = self.map().get_mut(key) {
            bucket.refund(tokens);
        }
    }

    fn throttled(&self, key: &BucketKey, until_ms: i64, remaining: Option<f64>) {
        self.map()
            .entry(key.clone())
            .or_insert_with(Bucket::full)
            .throttled(until_ms, remaining);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T0: i64 = 1_780_000_000_000;

    fn key() -> BucketKey {
        BucketKey::new("here", "me", "writes")
    }

    #[test]
    fn a_refund_is_used_by_the_next_and_never_overfills() {
        let buckets = MemoryBuckets::new();
        let reserve = |tokens| buckets.reserve(&key(), 4.0, 1.0, tokens, T0).unwrap();
        assert_eq!(reserve(6.0), Duration::from_secs(2));
        buckets.refund(&key(), 3.0);
        assert_eq!(reserve(1.0), Duration::ZERO);
        buckets.refund(&key(), 1e9);
        buckets.refund(&key(), f64::NAN);
        buckets.refund(&key(), -5.0);
        assert_eq!(reserve(4.0), Duration::ZERO);
        assert_eq!(reserve(1.0), Duration::from_secs(1));
    }

    #[test]
    fn after_a_throttle_nobody_acts_before_its_time_and_then_not_all_at_once() {
        let buckets = MemoryBuckets::new();
        let reserve = || buckets.reserve(&key(), 10.0, 1.0, 1.0, T0).unwrap();
        reserve();
        buckets.throttled(&key(), T0 + 60_000, Some(2.0));
        buckets.throttled(&key(), T0 + 30_000, None);
        let waits: Vec<_> = (0..12).map(|_| reserve().as_secs()).collect();
        assert_eq!(waits, [60, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70]);
        let shorter = BucketKey::new("here", "me", "reads");
        buckets.throttled(&shorter, T0 + 1_000, None);
        let waits = [(); 3].map(|()| {
            buckets
                .reserve(&shorter, 10.0, 1.0, 1.0, T0)
                .unwrap()
                .as_secs()
        });
        assert_eq!(waits, [1, 2, 3], "one at its time, then as they refill");
    }

    #[test]
    fn a_clock_set_back_by_a_day_costs_two_seconds_at_most() {
        let buckets = MemoryBuckets::new();
        let reserve = |now| buckets.reserve(&key(), 2.0, 1.0, 1.0, now).unwrap();
        reserve(T0);
        buckets.throttled(&key(), T0 + 5_000, None);
        assert_eq!(reserve(T0), Duration::from_secs(5));
        let back = reserve(T0 - 86_400_000);
        assert!(back <= Duration::from_secs(6), "{back:?}");
        let back = reserve(T0 - 86_401_500);
        assert!(back <= Duration::from_secs(9), "{back:?}");
    }

    #[test]
    fn senseless_numbers_are_refused_and_take_nothing() {
        let buckets = MemoryBuckets::new();
        for (burst, rate, tokens) in [
            (0.0, 1.0, 1.0),
            (1.0, 0.0, 1.0),
            (1.0, -1.0, 1.0),
            (f64::NAN, 1.0, 1.0),
            (1.0, f64::INFINITY, 1.0),
            (1.0, 1.0, f64::NAN),
            (1.0, 1.0, -1.0),
        ] {
            let e = buckets
                .reserve(&key(), burst, rate, tokens, T0)
                .unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Invalid);
        }
        assert_eq!(
            buckets.reserve(&key(), 1.0, 1.0, 1.0, i64::MIN).unwrap(),
            Duration::ZERO
        );
        assert_eq!(
            buckets.reserve(&key(), 1.0, 1.0, 1.0, i64::MAX).unwrap(),
            Duration::ZERO
        );
        let for_ever = buckets.reserve(&key(), 1.0, 1e-300, 1.0, i64::MAX).unwrap();
        assert_eq!(for_ever, Duration::MAX);
    }

    proptest! {
        /// In no span of time do more tokens act than a bucketful and what
        /// refills in it: with reservations out of order by a moment, with
        /// throttles, and with a clock that is set back now and then.
        #[test]
        fn no_span_of_time_sees_more_than_burst_and_rate(
            burst in 1.0..50.0f64,
            rate in 0.5..100.0f64,
            steps in prop::collection::vec(
                (0..3_000i64, 0..1_900i64, 0.0..1.0f64, 0..20u8, 2_001..10_000_000i64),
                1..80,
            ),
        ) {
            let buckets = MemoryBuckets::new();
            let (mut real, mut offset) = (0i64, 0i64);
            let mut acts: Vec<(f64, f64)> = Vec::new();
            for (step, late, share, what, jump) in steps {
                real += step;
                match what {
                    0 => offset -= jump,
                    1 => buckets.throttled(&key(), T0 + real + offset + late, Some(share * burst)),
                    _ => {}
                }
                // `late`: a task that read its clock a moment ago.
                let late = if what == 2 { late } else { 0 };
                let tokens = share * burst;
                let now = T0 + real + offset - late;
                let wait = buckets.reserve(&key(), burst, rate, tokens, now).unwrap();
                acts.push(((real - late) as f64 / 1e3 + wait.as_secs_f64(), tokens));
            }
            acts.sort_by(|a, b| a.0.total_cmp(&b.0));
            for (i, (from, _)) in acts.iter().enumerate() {
                let mut sum = 0.0;
                for (to, tokens) in &acts[i..] {
                    sum += tokens;
                    prop_assert!(sum <= burst + rate * (to - from) + 1e-3, "{sum} in {}", to - from);
                }
            }
        }
    }
}
