//! Slurm told, in batches: marks step by step, and node addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::hostlist::NodeName;
use crate::ledger::LedgerError;
use crate::ledger::{Event, Mark, MarkStep};
use crate::site::SetNodeAddr;
use crate::slurm::control::{Change, SlurmNode, Which};

use super::slurm_side::{MarkDecision, decide_mark};
use super::{Converger, earliest};

/// How soon to look again while Slurm is on its way.
const SOON_MS: i64 = 300;
/// Addresses are told a hundred at a time, or when the oldest has waited this long.
const ADDRESS_BATCH: usize = 100;
const ADDRESS_WAIT_MS: i64 = 3_000;

impl Converger {
    /// Whether anything has to be asked or told about this mark now.
    pub(super) fn mark_is_due(&self, mark: &Mark, now: i64) -> bool {
        mark.step != MarkStep::Hold || mark.until_ms <= now
    }

    /// When the next mark is due. A mark that only waits for its time is the
    /// timer's business, not a reason to stay, unless its time is near.
    pub(super) fn next_mark_due(&self, now: i64) -> Result<Option<i64>, LedgerError> {
        const NEAR_MS: i64 = 70_000;
        let again = self.slurm_not_before.0.max(now.saturating_add(SOON_MS));
        let mut due = None;
        for mark in self.ledger.marks()? {
            let at = match mark.step {
                MarkStep::Hold if mark.until_ms > now.saturating_add(NEAR_MS) => continue,
                MarkStep::Hold => mark.until_ms.max(again),
                MarkStep::Force | MarkStep::Await => again,
            };
            due = earliest(due, Some(at));
        }
        Ok(due)
    }

    /// Takes every mark that is due one step further.
    pub(super) async fn step_marks(
        &mut self,
        seen: Option<&BTreeMap<NodeName, SlurmNode>>,
    ) -> Result<(), LedgerError> {
        let now = self.clock.now_ms();
        let marks: Vec<Mark> =
            self.ledger.marks()?.into_iter().filter(|m| self.mark_is_due(m, now)).collect();
        if marks.is_empty() {
            return Ok(());
        }
        // Marks made in this very pass are not in what was asked before.
        let asked;
        let states = match seen {
            Some(states) if marks.iter().all(|m| states.contains_key(&m.node)) => states,
            _ => {
                let nodes: Vec<NodeName> = marks.iter().map(|m| m.node.clone()).collect();
                match self.ask_slurm(Which::Some(&nodes)).await? {
                    Some(states) => {
                        asked = states;
                        &asked
                    }
                    None => return Ok(()),
                }
            }
        };
        let mut force = Vec::new();
        let mut down: BTreeMap<String, Vec<Mark>> = BTreeMap::new();
        let mut back = Vec::new();
        for mark in marks {
            let Some(node) = states.get(&mark.node) else {
                // Slurm does not know the node (any more): there is nobody to tell.
                self.forget(&mark, "Slurm does not show the node")?;
                continue;
            };
            let wish = self.ledger.wish(&mark.node)?;
            match decide_mark(&mark, wish.as_ref(), &node.state, node.reason.as_ref().map(|r| r.text.as_str()), now) {
                MarkDecision::Force => force.push(mark),
                MarkDecision::Step(step) => {
                    self.ledger.step_mark(&mark.node, step)?;
                }
                MarkDecision::Down => down.entry(mark.reason.clone()).or_default().push(mark),
                MarkDecision::Return => back.push(mark),
                MarkDecision::Forget => self.forget(&mark, &format!("Slurm shows {}", node.state))?,
                MarkDecision::Soon | MarkDecision::Later => {}
            }
        }
        for mark in self.update_slurm(force, &Change::PowerDownForce, "power-down-force").await? {
            self.ledger.step_mark(&mark.node, MarkStep::Await)?;
        }
        for (reason, marks) in down {
            self.update_slurm(marks, &Change::Down { reason }, "marked-down").await?;
        }
        for mark in self.update_slurm(back, &Change::Resume, "returned").await? {
            self.ledger.clear_mark(&mark.node)?;
        }
        Ok(())
    }

    fn forget(&mut self, mark: &Mark, why: &str) -> Result<(), LedgerError> {
        self.ledger.clear_mark(&mark.node)?;
        let event = self.mark_event(mark, "mark-ended", Some(why.to_owned()));
        self.write_events(&[event])
    }

    /// Sends one change for all these nodes; answers with those that Slurm took.
    async fn update_slurm(
        &mut self,
        marks: Vec<Mark>,
        change: &Change,
        what: &str,
    ) -> Result<Vec<Mark>, LedgerError> {
        if marks.is_empty() {
            return Ok(marks);
        }
        let nodes: Vec<NodeName> = marks.iter().map(|m| m.node.clone()).collect();
        let mut of: BTreeMap<NodeName, Mark> =
            marks.into_iter().map(|m| (m.node.clone(), m)).collect();
        let mut taken = Vec::new();
        let mut events = Vec::new();
        let slurm = Arc::clone(&self.slurm);
        for (batch, result) in self.meanwhile(slurm.update(&nodes, change)).await? {
            self.report.slurm_updates += 1;
            for node in batch {
                let Some(mark) = of.remove(&node) else { continue };
                match &result {
                    Ok(()) => {
                        events.push(self.mark_event(&mark, what, Some(mark.reason.clone())));
                        taken.push(mark);
                    }
                    Err(error) => {
                        let text = Some(error.to_string());
                        events.push(self.mark_event(&mark, "slurm-refused", text));
                    }
                }
            }
            if let Err(error) = &result {
                self.journal.note(&format!("scontrol update failed: {error}"));
                let times = self.slurm_not_before.1;
                let at = self.clock.now_ms().saturating_add(super::back_off_ms(times));
                self.slurm_not_before = (at, times + 1);
            }
        }
        self.write_events(&events)?;
        Ok(taken)
    }

    fn mark_event(&self, mark: &Mark, what: &str, detail: Option<String>) -> Event {
        Event {
            at_ms: self.clock.now_ms(),
            node: mark.node.clone(),
            generation: Some(mark.generation),
            what: what.to_owned(),
            placement: None,
            call: None,
            request_id: None,
            duration_ms: None,
            detail,
        }
    }

    /// Keeps an address for the next batch.
    pub(super) fn note_address(&mut self, node: &NodeName, address: IpAddr) {
        if self.site.slurm.set_node_addr == SetNodeAddr::Never {
            return;
        }
        self.addresses.insert(node.clone(), address.to_string());
        self.addresses_since.get_or_insert(self.clock.now_ms());
    }

    pub(super) fn addresses_due(&self) -> Option<i64> {
        self.addresses_since.map(|at| at.saturating_add(ADDRESS_WAIT_MS))
    }

    /// Tells Slurm the addresses when there are enough, or they are old enough,
    /// and reads back what Slurm made of them.
    pub(super) async fn tell_addresses_if_due(&mut self) -> Result<(), LedgerError> {
        let Some(since) = self.addresses_since else { return Ok(()) };
        let waited = self.clock.now_ms().saturating_sub(since);
        if self.addresses.len() < ADDRESS_BATCH && waited < ADDRESS_WAIT_MS {
            return Ok(());
        }
        let addresses = std::mem::take(&mut self.addresses);
        self.addresses_since = None;
        if !self.addresses_wanted().await {
            return Ok(());
        }
        let nodes: Vec<NodeName> = addresses.keys().cloned().collect();
        let values: Vec<String> = addresses.values().cloned().collect();
        let slurm = Arc::clone(&self.slurm);
        let change = Change::Addresses(values);
        for (batch, result) in self.meanwhile(slurm.update(&nodes, &change)).await? {
            self.report.slurm_updates += 1;
            if let Err(error) = result {
                let names: Vec<&str> = batch.iter().map(NodeName::as_str).collect();
                let text = format!("NodeAddr of {} could not be set: {error}", names.join(","));
                self.journal.note(&text);
            }
        }
        let Some(shown) = self.ask_slurm(Which::Some(&nodes)).await? else { return Ok(()) };
        for (node, address) in &addresses {
            let has = shown.get(node).and_then(|n| n.addr.as_deref());
            if has.is_some_and(|has| has != address) {
                let text = format!(
                    "{node}: NodeAddr was set to {address} and Slurm shows {}",
                    has.unwrap_or("none")
                );
                self.journal.note(&text);
            }
        }
        Ok(())
    }

    /// `auto`: where neither DNS nor the registration gives Slurm the address.
    async fn addresses_wanted(&mut self) -> bool {
        if let Some(known) = self.tell_addresses {
            return known;
        }
        let wanted = match self.site.slurm.set_node_addr {
            SetNodeAddr::Always => true,
            SetNodeAddr::Never => false,
            SetNodeAddr::Auto if self.conf.has_parameter("cloud_dns") => false,
            SetNodeAddr::Auto => match self.slurm.version().await {
                // Since 23.02 the address is taken from the registration; before, if told to.
                Ok(version) => (version.major, version.minor) < (23, 2) && !self.conf.has_parameter("cloud_reg_addrs"),
                Err(_) => return true,
            },
        };
        self.tell_addresses = Some(wanted);
        wanted
    }
}
