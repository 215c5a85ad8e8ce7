//! Token buckets: how often a cloud may be asked.
//!
//! [`BucketStore`] keeps them; whoever is about to call a cloud *reserves* and
//! then sleeps for as long as it is told. A reservation is never refused: the
//! balance goes below zero, and later ones wait longer, in turn.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Error, ErrorKind};

/// Which bucket: everybody with the same key shares the tokens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketKey {
    /// The provider's name in the site file.
    pub provider: String,
    /// Who is limited together ([`Capabilities::principal`](crate::provider::Capabilities::principal)).
    pub principal: String,
    /// The call class's name ([`CallClass::name`](crate::provider::CallClass::name)).
    pub class: String,
}

impl BucketKey {
    /// A key of these three.
    pub fn new(
        provider: impl Into<String>,
        principal: impl Into<String>,
        class: impl Into<String>,
    ) -> BucketKey {
        BucketKey {
            provider: provider.into(),
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
    /// tokens are left; none, where it did not say.
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
    /// The newest time that a reservation was made at.
    pub(crate) seen_ms: i64,
}

impl Bucket {
    /// A full bucket; it is cut to its size by the first reservation.
    pub(crate) fn full() -> Bucket {
        Bucket {
            tokens: f64::MAX,
            at_ms: 0,
            blocked_ms: 0,
            seen_ms: 0,
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
        let gained = seconds(then.saturating_sub(self.at_ms)) * per_second;
        self.tokens = (self.tokens + gained).min(burst) - tokens;
        self.at_ms = then;
        let wait = seconds(then.saturating_sub(now_ms)) + (-self.tokens).max(0.0) / per_second;
        Ok(Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX))
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
        self.blocked_ms = self.blocked_ms.max(until_ms);
        let left = remaining.filter(|r| r.is_finite()).unwrap_or(0.0);
        self.tokens = self.tokens.min(left);
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
