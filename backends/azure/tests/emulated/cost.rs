//! What something cost, by the emulator's own books.

use std::time::Duration;

use slurmburst_azure_emulator::Books;

use super::World;

/// Something that is being measured.
pub(crate) struct Measured<'a> {
    world: &'a World,
    before: Books,
    begun: Duration,
}

/// What it came to.
#[derive(Debug)]
pub(crate) struct Cost {
    before: Books,
    after: Books,
    pub(crate) writes: u64,
    pub(crate) deletes: u64,
    pub(crate) reads: u64,
    /// Until the first request that changes something was accepted: what is there
    /// has been looked at.
    pub(crate) first: Duration,
    /// Until the last one was.
    pub(crate) accepted: Duration,
    /// Until nothing was left to do.
    pub(crate) took: Duration,
}

impl<'a> Measured<'a> {
    pub(crate) fn begin(world: &'a World) -> Measured<'a> {
        Measured {
            world,
            before: world.books(),
            begun: world.now(),
        }
    }

    pub(crate) fn end(self) -> Cost {
        let after = self.world.books();
        let class = |name: &str| {
            let of = |books: &Books| books.classes.get(name).copied().unwrap_or(0);
            of(&after) - of(&self.before)
        };
        let asked = ["create", "start", "deallocate", "delete"];
        let entries = after.history.values().flatten();
        let times = entries
            .filter(|e| e.at >= self.begun && asked.contains(&e.what.as_str()))
            .map(|e| e.at - self.begun);
        let times: Vec<Duration> = times.collect();
        Cost {
            writes: class("writes"),
            deletes: class("deletes"),
            reads: class("reads"),
            first: times.iter().min().copied().unwrap_or_default(),
            accepted: times.iter().max().copied().unwrap_or_default(),
            took: self.world.now() - self.begun,
            before: self.before,
            after,
        }
    }
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} writes, {} deletes, {} reads of which {} single, accepted from {:.1} s to {:.1} s, over after {:.1} s",
            self.writes,
            self.deletes,
            self.reads,
            self.single_reads(),
            self.first.as_secs_f64(),
            self.accepted.as_secs_f64(),
            self.took.as_secs_f64(),
        )
    }
}

impl Cost {
    /// The books at the end.
    pub(crate) fn after(&self) -> &Books {
        &self.after
    }

    /// Reads of one thing; the others are pages of lists.
    pub(crate) fn single_reads(&self) -> u64 {
        let pages: u64 = self
            .after
            .calls
            .keys()
            .filter(|k| k.contains('?'))
            .map(|k| self.calls(k))
            .sum();
        self.reads - pages
    }

    /// Calls of this kind, as the books name it.
    pub(crate) fn calls(&self, kind: &str) -> u64 {
        let of = |books: &Books| books.calls.get(kind).copied().unwrap_or(0);
        of(&self.after) - of(&self.before)
    }

    /// How often Azure refused because there were too many calls.
    pub(crate) fn throttled(&self) -> u64 {
        let of = |books: &Books| books.statuses.get(&429).copied().unwrap_or(0);
        of(&self.after) - of(&self.before)
    }
}

/// How long Resource Manager's bucket takes for so many writes, or deletes: 200
/// at once, then 10 a second.
pub(crate) fn bound(requests: u64) -> Duration {
    Duration::from_millis(100) * u32::try_from(requests.saturating_sub(200)).unwrap()
}
