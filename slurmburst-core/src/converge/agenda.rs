//! Which node is to be looked at when. Only the converger's memory of it: the
//! wishes themselves are read from the ledger when they are due.

use std::collections::{HashMap, HashSet};

use crate::hostlist::NodeName;
use crate::provider::Generation;

use super::back_off_ms;

/// The nodes with an open wish, and those with a task under way.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    slots: HashMap<NodeName, Slot>,
    /// How many tasks are under way for a node. It is left alone meanwhile.
    busy: HashMap<NodeName, u32>,
    /// Nodes that wait for the end of a pause.
    parked: HashSet<NodeName>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    /// The wish that the rest is about.
    generation: Generation,
    /// Not before this.
    at_ms: i64,
    /// How often in a row it failed.
    times: u32,
}

impl Agenda {
    /// Takes over the open wishes: a new one is due now, one that has ended is
    /// forgotten, any other keeps its time.
    pub(super) fn sync(&mut self, open: Vec<(NodeName, Generation)>, now_ms: i64) {
        let mut slots = HashMap::with_capacity(open.len());
        for (node, generation) in open {
            let slot = match self.slots.get(&node) {
                Some(slot) if slot.generation == generation => *slot,
                _ => {
                    self.parked.remove(&node);
                    Slot {
                        generation,
                        at_ms: now_ms,
                        times: 0,
                    }
                }
            };
            slots.insert(node, slot);
        }
        self.slots = slots;
    }

    /// A new wish: it is due now.
    pub(super) fn add(&mut self, node: &NodeName, generation: Generation, now_ms: i64) {
        self.parked.remove(node);
        let slot = Slot {
            generation,
            at_ms: now_ms,
            times: 0,
        };
        self.slots.insert(node.clone(), slot);
    }

    /// The nodes that are due, by name.
    pub(super) fn due(&self, now_ms: i64) -> Vec<NodeName> {
        let due = self
            .slots
            .iter()
            .filter(|(n, s)| s.at_ms <= now_ms && !self.busy.contains_key(*n));
        let mut nodes: Vec<NodeName> = due.map(|(n, _)| n.clone()).collect();
        nodes.sort_unstable();
        nodes
    }

    /// When the next node is due for which nothing is under way.
    pub(super) fn next(&self) -> Option<i64> {
        let idle = self
            .slots
            .iter()
            .filter(|(n, _)| !self.busy.contains_key(*n));
        idle.map(|(_, s)| s.at_ms).min()
    }

    /// Whether a wish of this node is open, as far as is known here.
    pub(super) fn has(&self, node: &NodeName) -> bool {
        self.slots.contains_key(node)
    }

    /// Its wish has ended.
    pub(super) fn done(&mut self, node: &NodeName) {
        self.slots.remove(node);
        self.parked.remove(node);
    }

    /// Leaves a node alone until then.
    pub(super) fn leave(&mut self, node: &NodeName, at_ms: i64) {
        let slot = self.slot(node);
        (slot.at_ms, slot.times) = (at_ms, 0);
    }

    /// The same, and its failures in a row go on being counted.
    pub(super) fn wait(&mut self, node: &NodeName, at_ms: i64) {
        self.slot(node).at_ms = at_ms;
    }

    /// Leaves a node that failed alone: for `floor_ms`, and longer each time.
    /// Answers until when.
    pub(super) fn back_off(&mut self, node: &NodeName, now_ms: i64, floor_ms: i64) -> i64 {
        let slot = self.slot(node);
        slot.at_ms = now_ms.saturating_add(floor_ms.max(back_off_ms(slot.times)));
        slot.times += 1;
        slot.at_ms
    }

    /// Leaves a node alone until then, or until a pause ends.
    pub(super) fn park(&mut self, node: &NodeName, at_ms: i64) {
        self.leave(node, at_ms);
        self.parked.insert(node.clone());
    }

    /// A pause has ended.
    pub(super) fn unpark(&mut self, now_ms: i64) {
        for node in std::mem::take(&mut self.parked) {
            self.leave(&node, now_ms);
        }
    }

    /// A task for these nodes begins.
    pub(super) fn begin<'a>(&mut self, nodes: impl IntoIterator<Item = &'a NodeName>) {
        for node in nodes {
            *self.busy.entry(node.clone()).or_default() += 1;
        }
    }

    /// A task for this node has ended.
    pub(super) fn end(&mut self, node: &NodeName) {
        if let Some(tasks) = self.busy.get_mut(node) {
            *tasks -= 1;
            if *tasks == 0 {
                self.busy.remove(node);
            }
        }
    }

    /// Whether a task is under way for it.
    pub(super) fn is_busy(&self, node: &NodeName) -> bool {
        self.busy.contains_key(node)
    }

    /// A node that has none yet gets one that the next `sync` takes for old.
    fn slot(&mut self, node: &NodeName) -> &mut Slot {
        let unknown = Slot {
            generation: Generation(0),
            at_ms: i64::MIN,
            times: 0,
        };
        self.slots.entry(node.clone()).or_insert(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    #[test]
    fn a_newer_wish_is_due_at_once_and_an_old_one_keeps_its_time() {
        let (c1, c2) = (node("c1"), node("c2"));
        let mut agenda = Agenda::default();
        agenda.sync(
            vec![(c1.clone(), Generation(1)), (c2.clone(), Generation(1))],
            10,
        );
        agenda.back_off(&c1, 10, 0);
        agenda.back_off(&c2, 10, 5_000);
        assert_eq!((agenda.due(1_009), agenda.next()), (vec![], Some(1_010)));
        agenda.sync(
            vec![(c1.clone(), Generation(1)), (c2.clone(), Generation(2))],
            20,
        );
        assert_eq!(agenda.due(20), std::slice::from_ref(&c2));
        agenda.sync(vec![(c1.clone(), Generation(1))], 30);
        assert_eq!((agenda.due(2_000), agenda.has(&c2)), (vec![c1], false));
    }

    #[test]
    fn a_node_is_left_alone_until_all_its_tasks_have_ended() {
        let c1 = node("c1");
        let mut agenda = Agenda::default();
        agenda.sync(vec![(c1.clone(), Generation(1))], 0);
        agenda.begin([&c1, &c1]);
        agenda.end(&c1);
        assert_eq!((agenda.due(5), agenda.next()), (vec![], None));
        agenda.end(&c1);
        assert_eq!(agenda.due(5), [c1]);
    }

    #[test]
    fn the_end_of_a_pause_makes_what_it_held_due() {
        let c1 = node("c1");
        let mut agenda = Agenda::default();
        agenda.sync(vec![(c1.clone(), Generation(1))], 0);
        agenda.park(&c1, 60_000);
        assert!(agenda.due(100).is_empty());
        agenda.unpark(100);
        assert_eq!(agenda.due(100), [c1]);
    }
}
