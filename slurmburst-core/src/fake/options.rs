use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::fault::{Chaos, Fault};
use crate::clock::Clock;
use crate::error::ErrorKind;
use crate::provider::{CallClass, Capabilities, Lifecycle};

/// What kind of cloud a [`FakeCloud`](super::FakeCloud) is.
#[derive(Debug, Clone)]
pub struct FakeOptions {
    /// How long a request takes. It acts half-way.
    pub delay: Duration,
    /// How long an instance is starting.
    pub boot_delay: Duration,
    /// How long an instance is stopping or terminating.
    pub stop_delay: Duration,
    /// When accepted work is to be asked after.
    pub poll_after: Duration,
    /// What a lost reply asks for before the next attempt.
    pub retry_after: Duration,
    /// The most instances that are up at once. `None` is no limit.
    pub capacity: Option<u64>,
    /// The same for placements by name; it goes before the `capacity` in a template.
    pub pools: BTreeMap<String, u64>,
    /// The rate limits that it tells of.
    pub classes: Vec<CallClass>,
    /// The rate limits that it enforces, where they are others.
    pub enforced: Option<Vec<CallClass>>,
    /// Instances on one page of a listing; 0 is all of them.
    pub page_size: usize,
    /// How long a new instance is missing from listings.
    pub consistency_window: Duration,
    /// How long a terminated instance is still listed.
    pub shown_after_death: Duration,
    /// The most nodes of one call.
    pub max_batch: usize,
    /// The most calls that it wants at once.
    pub concurrency: usize,
    /// The lifecycles it offers.
    pub lifecycles: Vec<Lifecycle>,
    /// Whether the same token twice is the same instances.
    pub idempotent: bool,
    /// Whether a node's name can be taken only once, as on clouds that name machines.
    pub unique_names: bool,
    /// Whether every node that is to be *started* has a machine, made by hand.
    pub premade: bool,
    /// What a terminated instance leaves behind, such as `nic`.
    pub leave_behind: Option<String>,
    /// How long an instance may live, if that is limited.
    pub lifetime: Option<Duration>,
    /// How every power-up fails, if it does.
    pub fail: Option<ErrorKind>,
    /// Random faults.
    pub chaos: Option<Chaos>,
    /// Scripted faults, from the first call on.
    pub faults: Vec<Fault>,
    /// A file for the books, shared by every process that names it; in memory
    /// where there is none.
    pub books: Option<PathBuf>,
    /// What the time is, for the stamps in the books.
    pub clock: Clock,
}

impl Default for FakeOptions {
    /// A cloud that does everything at once, without limit or fault.
    fn default() -> FakeOptions {
        FakeOptions {
            delay: Duration::ZERO,
            boot_delay: Duration::ZERO,
            stop_delay: Duration::ZERO,
            poll_after: Duration::from_secs(1),
            retry_after: Duration::from_secs(1),
            capacity: None,
            pools: BTreeMap::new(),
            classes: Vec::new(),
            enforced: None,
            page_size: 0,
            consistency_window: Duration::ZERO,
            shown_after_death: Duration::ZERO,
            max_batch: 100,
            concurrency: 16,
            lifecycles: vec![Lifecycle::CreateDelete, Lifecycle::StartDeallocate],
            idempotent: true,
            unique_names: false,
            premade: false,
            leave_behind: None,
            lifetime: None,
            fail: None,
            chaos: None,
            faults: Vec::new(),
            books: None,
            clock: Clock::system(),
        }
    }
}

impl FakeOptions {
    pub(super) fn capabilities(&self) -> Capabilities {
        Capabilities {
            max_batch: self.max_batch,
            concurrency: self.concurrency,
            lifecycles: self.lifecycles.clone(),
            classes: self.classes.clone(),
            consistency_window: self.consistency_window,
            ..Capabilities::new("fake")
        }
    }
}
