//! Token buckets shared by everybody who calls a cloud.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::error::Error;

/// Which bucket.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketKey {
    /// The NAME of `[provider.NAME]`.
    pub provider: String,
    /// Who is limited together.
    pub principal: String,
    /// The call class.
    pub class: String,
}

/// Where token buckets are kept.
pub trait BucketStore: Debug + Send + Sync {
    /// Takes `tokens`, into the negative if need be, and answers how long to
    /// wait before acting on them.
    ///
    /// # Errors
    /// The store cannot be read or written.
    fn reserve(
        &self,
        key: &BucketKey,
        burst: f64,
        per_second: f64,
        tokens: f64,
        now_ms: i64,
    ) -> Result<Duration, Error>;

    /// Gives back tokens that were not used.
    fn refund(&self, key: &BucketKey, tokens: f64);

    /// The cloud throttled: nobody acts before `until_ms`; `remaining` tokens
    /// are left (none, where the cloud did not say).
    fn throttled(&self, key: &BucketKey, until_ms: i64, remaining: Option<f64>);
}

/// Buckets of this process alone.
#[derive(Debug, Default)]
pub struct MemoryBuckets(Mutex<HashMap<BucketKey, Level>>);

#[derive(Debug, Clone, Copy)]
struct Level {
    tokens: f64,
    at_ms: i64,
}

#[allow(clippy::cast_precision_loss, reason = "milliseconds are far below 2^53")]
impl BucketStore for MemoryBuckets {
    fn reserve(
        &self,
        key: &BucketKey,
        burst: f64,
        per_second: f64,
        tokens: f64,
        now_ms: i64,
    ) -> Result<Duration, Error> {
        let mut levels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let level = levels.entry(key.clone()).or_insert(Level { tokens: burst, at_ms: now_ms });
        let passed = (now_ms - level.at_ms).max(0);
        level.tokens = (level.tokens + passed as f64 / 1000.0 * per_second).min(burst) - tokens;
        level.at_ms = level.at_ms.max(now_ms);
        let held = (level.at_ms - now_ms) as f64 / 1000.0;
        let short = if level.tokens < 0.0 { -level.tokens / per_second } else { 0.0 };
        Ok(Duration::try_from_secs_f64(held + short).unwrap_or(Duration::MAX))
    }

    fn refund(&self, key: &BucketKey, tokens: f64) {
        let mut levels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(level) = levels.get_mut(key) {
            level.tokens += tokens;
        }
    }

    fn throttled(&self, key: &BucketKey, until_ms: i64, remaining: Option<f64>) {
        let mut levels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let level = levels.entry(key.clone()).or_insert(Level { tokens: 0.0, at_ms: until_ms });
        level.tokens = level.tokens.min(remaining.unwrap_or(0.0));
        level.at_ms = level.at_ms.max(until_ms);
    }
}
