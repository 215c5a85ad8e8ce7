//! Time inside the emulator. Every duration that Azure makes its users wait
//! (operations, token buckets, reservations) is counted on this clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where the emulator's "now" comes from. Whatever the source, [`Clock::advance`]
/// moves it on.
#[derive(Debug)]
pub struct Clock {
    source: Source,
    ahead_ms: AtomicU64,
    /// Milliseconds since 1970 at the clock's zero.
    epoch_ms: u64,
}

#[derive(Debug)]
enum Source {
    Wall {
        start: std::time::Instant,
        speed: f64,
    },
    Tokio(tokio::time::Instant),
    Hand,
}

impl Clock {
    fn new(source: Source) -> Clock {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let epoch_ms = u64::try_from(since.as_millis()).unwrap_or(0);
        Clock {
            source,
            ahead_ms: AtomicU64::new(0),
            epoch_ms,
        }
    }

    /// Runs `speed` times faster than the wall's; 1 is real time.
    pub fn wall(speed: f64) -> Clock {
        let start = std::time::Instant::now();
        Clock::new(Source::Wall {
            start,
            speed: speed.max(0.001),
        })
    }

    /// Tokio's clock, so that `start_paused` tests move it. Make it inside the
    /// runtime whose clock it is to follow.
    pub fn tokio() -> Clock {
        Clock::new(Source::Tokio(tokio::time::Instant::now()))
    }

    /// Stands still but for [`Clock::advance`].
    pub fn by_hand() -> Clock {
        Clock::new(Source::Hand)
    }

    /// Time since the emulator began.
    pub fn now(&self) -> Duration {
        let base = match &self.source {
            Source::Wall { start, speed } => start.elapsed().mul_f64(*speed),
            Source::Tokio(start) => start.elapsed(),
            Source::Hand => Duration::ZERO,
        };
        base + Duration::from_millis(self.ahead_ms.load(Ordering::SeqCst))
    }

    /// Moves the clock on by `by` (whole milliseconds).
    pub fn advance(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.ahead_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Seconds since 1970 at `at`.
    pub(crate) fn unix(&self, at: Duration) -> u64 {
        self.epoch_ms / 1000 + at.as_secs()
    }

    /// `at` as Azure writes times.
    pub(crate) fn stamp(&self, at: Duration) -> String {
        let ms = self
            .epoch_ms
            .saturating_add(u64::try_from(at.as_millis()).unwrap_or(0));
        jiff::Timestamp::from_millisecond(i64::try_from(ms).unwrap_or(0))
            .map(|t| {
                t.strftime("%Y-%m-%dT%H:%M:%S%.7f")
                    .to_string()
                    .trim_end_matches('.')
                    .to_string()
                    + "+00:00"
            })
            .unwrap_or_default()
    }

    /// Waits until `span` has passed on this clock.
    pub(crate) async fn sleep(&self, span: Duration) {
        let end = self.now() + span;
        while let Some(left) = end.checked_sub(self.now()).filter(|left| !left.is_zero()) {
            // Somebody may advance the clock meanwhile: look again often.
            let step = match &self.source {
                Source::Wall { speed, .. } => left
                    .div_f64(*speed)
                    .clamp(Duration::from_millis(1), Duration::from_millis(20)),
                Source::Tokio(_) => left,
                Source::Hand => Duration::from_millis(5),
            };
            tokio::time::sleep(step).await;
        }
    }

    /// How long the emulator may sleep between two looks at what is due.
    pub(crate) fn tick(&self) -> Duration {
        match &self.source {
            Source::Tokio(_) => Duration::from_secs(1),
            _ => Duration::from_millis(20),
        }
    }
}
