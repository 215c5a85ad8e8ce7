//! Time: wall-clock milliseconds for what is stored, and a way to test with
//! tokio's paused clock.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Where "now" in milliseconds since 1970 comes from.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<(i64, Instant)>);

impl Clock {
    /// The system's clock.
    pub fn system() -> Clock {
        Clock(None)
    }

    /// A clock that shows `start_ms` now and advances with tokio's: paused when
    /// that is.
    pub fn tokio(start_ms: i64) -> Clock {
        Clock(Some((start_ms, Instant::now())))
    }

    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        let millis = |d: std::time::Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
        match &self.0 {
            None => millis(
                SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default(),
            ),
            Some((start, at)) => start.saturating_add(millis(at.elapsed())),
        }
    }
}
