//! Node addresses, told to Slurm a hundred at a time.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::hostlist::NodeName;
use crate::ledger::LedgerError;
use crate::site::SetNodeAddr;
use crate::slurm::control::{Change, Which};

use super::Converger;

/// Nodes in one call of `scontrol update`.
const BATCH: usize = 100;
/// Fewer than a batch are told when the oldest has waited this long: a machine
/// takes longer than that to boot.
const WAIT_MS: i64 = 15_000;

/// Addresses that Slurm has not been told yet.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    waiting: BTreeMap<NodeName, String>,
    /// Since when the oldest waits.
    since: Option<i64>,
    /// Whether they are to be told at all; asked of Slurm once.
    wanted: Option<bool>,
}

impl Addresses {
    fn put(&mut self, node: &NodeName, address: IpAddr, now_ms: i64) {
        self.waiting.insert(node.clone(), address.to_string());
        self.since.get_or_insert(now_ms);
    }

    /// The node is down again.
    pub(super) fn forget(&mut self, node: &NodeName) {
        self.waiting.remove(node);
        if self.waiting.is_empty() {
            self.since = None;
        }
    }

    /// When there is something to tell: at once, where nothing more is to be
    /// expected soon.
    pub(super) fn due(&self, nothing_more: bool) -> Option<i64> {
        match self.since {
            Some(since) if nothing_more || self.waiting.len() >= BATCH => Some(since),
            Some(since) => Some(since.saturating_add(WAIT_MS)),
            None => None,
        }
    }

    /// What is to be told now: whole batches, or everything.
    fn take(&mut self, everything: bool, now_ms: i64) -> (Vec<NodeName>, Vec<String>) {
        let whole = self.waiting.len() / BATCH * BATCH;
        let count = if everything {
            self.waiting.len()
        } else {
            whole
        };
        let mut taken = (Vec::with_capacity(count), Vec::with_capacity(count));
        while taken.0.len() < count
            && let Some((node, address)) = self.waiting.pop_first()
        {
            taken.0.push(node);
            taken.1.push(address);
        }
        if count > 0 {
            self.since = (!self.waiting.is_empty()).then_some(now_ms);
        }
        taken
    }
}

impl Converger {
    /// Keeps an address for the next batch.
    pub(super) fn note_address(&mut self, node: &NodeName, address: IpAddr) {
        if self.site.slurm.set_node_addr != SetNodeAddr::Never {
            self.addresses.put(node, address, self.clock.now_ms());
        }
    }

    /// Tells Slurm the addresses when there are enough, or they are old enough,
    /// and reads back what Slurm made of them.
    pub(super) async fn tell_addresses_if_due(&mut self) -> Result<(), LedgerError> {
        let now = self.clock.now_ms();
        let idle = self.is_idle();
        if self.addresses.due(idle).is_none_or(|at| at > now) {
            return Ok(());
        }
        let everything = idle || self.addresses.since.is_some_and(|at| at <= now - WAIT_MS);
        let (nodes, addresses) = self.addresses.take(everything, now);
        if nodes.is_empty() || !self.addresses_wanted().await? {
            return Ok(());
        }
        let slurm = Arc::clone(&self.slurm);
        let change = Change::Addresses(addresses.clone());
        for (batch, result) in self.meanwhile(slurm.update(&nodes, &change)).await? {
            self.report.slurm_updates += 1;
            if let Err(error) = result {
                let names: Vec<&str> = batch.iter().map(NodeName::as_str).collect();
                let text = format!("NodeAddr of {} could not be set: {error}", names.join(","));
                self.journal.note(&text);
            }
        }
        let Some(shown) = self.ask_slurm(Which::Some(&nodes)).await? else {
            return Ok(());
        };
        for (node, address) in nodes.iter().zip(&addresses) {
            let has = shown.get(node).and_then(|n| n.addr.as_deref());
            if let Some(has) = has.filter(|has| has != address) {
                self.journal.note(&format!(
                    "{node}: NodeAddr was set to {address} and Slurm shows {has}"
                ));
            }
        }
        Ok(())
    }

    /// `auto`: where neither DNS nor the registration gives Slurm the address.
    async fn addresses_wanted(&mut self) -> Result<bool, LedgerError> {
        if let Some(known) = self.addresses.wanted {
            return Ok(known);
        }
        let wanted = match self.site.slurm.set_node_addr {
            SetNodeAddr::Always => true,
            SetNodeAddr::Never => false,
            SetNodeAddr::Auto if self.conf.cloud_dns() || self.conf.cloud_reg_addrs() => false,
            SetNodeAddr::Auto => {
                let slurm = Arc::clone(&self.slurm);
                match self.meanwhile(slurm.version()).await? {
                    // Since then the address is taken from the registration unasked.
                    Ok(version) => (version.major, version.minor) < (23, 2),
                    Err(_) => return Ok(true),
                }
            }
        };
        self.addresses.wanted = Some(wanted);
        Ok(wanted)
    }
}
