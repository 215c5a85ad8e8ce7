//! What the emulator noted, for tests to hold against what they expected.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

/// One thing that happened to a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// When, on the emulator's clock.
    pub at: Duration,
    /// What: `create`, `created`, `create failed: CODE`, `deallocate`, ...
    pub what: String,
}

/// What is left and what was done.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Books {
    /// VMs that exist, in any state.
    pub vms: usize,
    /// Those that run.
    pub running: usize,
    /// Network interfaces that exist.
    pub nics: usize,
    /// Managed disks that exist.
    pub disks: usize,
    /// Public addresses that exist.
    pub public_ips: usize,
    /// Calls that reached Azure, by method and kind, such as
    /// `PUT virtualMachines` or `POST virtualMachines/deallocate`.
    pub calls: BTreeMap<String, u64>,
    /// Calls by class of rate limit: `reads`, `writes`, `deletes`.
    pub classes: BTreeMap<String, u64>,
    /// Answers by HTTP status.
    pub statuses: BTreeMap<u16, u64>,
    /// Refusals by code.
    pub refusals: BTreeMap<String, u64>,
    /// Faults that were met.
    pub faults: u64,
    /// Names that stood for more than one VM at the same time, in different
    /// resource groups or subscriptions.
    pub duplicates: BTreeSet<String>,
    /// VMs that were created again by a PUT though they existed.
    pub rewrites: BTreeMap<String, u64>,
    /// What happened to each VM, by name.
    pub history: BTreeMap<String, Vec<Entry>>,
    /// When each VM last came up, on the emulator's clock.
    pub up_at: BTreeMap<String, Duration>,
}

impl Books {
    /// Calls whose kind contains `what`.
    pub fn count(&self, what: &str) -> u64 {
        self.calls
            .iter()
            .filter(|(call, _)| call.contains(what))
            .map(|(_, count)| count)
            .sum()
    }

    /// How often `what` happened to `vm`.
    pub fn happened(&self, vm: &str, what: &str) -> usize {
        self.history.get(vm).map_or(0, |entries| {
            entries.iter().filter(|e| e.what == what).count()
        })
    }

    pub(crate) fn note(&mut self, vm: &str, at: Duration, what: impl Into<String>) {
        let what = what.into();
        self.history
            .entry(vm.to_string())
            .or_default()
            .push(Entry { at, what });
    }

    pub(crate) fn bump(map: &mut BTreeMap<String, u64>, key: impl Into<String>) {
        *map.entry(key.into()).or_default() += 1;
    }
}
