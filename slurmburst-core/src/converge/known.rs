//! What is known of the nodes that finished work is about: their wishes, their
//! live attempts, and which of those the work was for.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::hostlist::NodeName;
use crate::ledger::{Attempt, AttemptKey, AttemptState, Ledger, LedgerError, Program, Wish};
use crate::provider::{Call, Direction, Generation, Pending, PowerDown};

use super::decide::serves;
use super::pass::{LiveAttempts, by_node};

/// What the ledger knows of the nodes of a batch.
pub(super) struct Known {
    pub(super) wishes: BTreeMap<NodeName, Wish>,
    pub(super) live: LiveAttempts,
}

/// One node's part of finished work.
pub(super) struct Part<'a> {
    pub(super) node: &'a NodeName,
    pub(super) wish: Option<&'a Wish>,
    /// The live power-up, or the accepted work, that it is about.
    pub(super) attempt: Option<&'a Attempt>,
    pub(super) key: AttemptKey,
    pub(super) placement: Option<&'a str>,
    pub(super) call: Option<&'a str>,
    /// The wish that it was sent for.
    pub(super) generation: Generation,
    pub(super) took: Duration,
}

impl Part<'_> {
    /// The wish, if it is fulfilled when this is up. An instance of an older call
    /// may be one that Slurm ignores: the table decides about that.
    pub(super) fn fulfilled(&self) -> Option<&Wish> {
        self.wish.filter(|w| {
            w.direction == Direction::Up
                && w.settled.is_none()
                && serves(Some(self.generation), w.floor)
                && (self.generation == w.generation || w.program != Program::Resume)
        })
    }

    /// Whether it is known what the attempt did.
    pub(super) fn is_resolved(&self) -> bool {
        self.attempt
            .is_some_and(|a| a.state != AttemptState::Unknown)
    }
}

impl Known {
    /// Reads it from the ledger.
    pub(super) fn of(ledger: &Ledger, nodes: &[NodeName]) -> Result<Known, LedgerError> {
        let wishes = ledger.wishes(Some(nodes))?.into_iter();
        Ok(Known {
            wishes: wishes.map(|w| (w.node.clone(), w)).collect(),
            live: by_node(ledger.live_attempts_of(nodes)?),
        })
    }

    pub(super) fn up(&self, node: &NodeName) -> Option<&Attempt> {
        self.live.get(node)?.up.as_ref()
    }

    pub(super) fn of_call<'a>(
        &'a self,
        call: &'a Call,
        node: &'a NodeName,
        took: Duration,
    ) -> Part<'a> {
        let generation = call
            .nodes
            .iter()
            .find(|n| n.name == *node)
            .map(|n| n.generation);
        Part {
            node,
            wish: self.wishes.get(node),
            attempt: self.up(node).filter(|a| a.call == call.id),
            key: AttemptKey::Call(call.id.clone()),
            placement: Some(&call.placement.name),
            call: Some(&call.id),
            generation: generation.unwrap_or_default(),
            took,
        }
    }

    pub(super) fn of_down<'a>(&'a self, down: &'a PowerDown, took: Duration) -> Part<'a> {
        Part {
            node: &down.node,
            wish: self.wishes.get(&down.node),
            attempt: None,
            key: AttemptKey::Instance(down.instance.clone()),
            placement: None,
            call: None,
            generation: down.generation,
            took,
        }
    }

    /// Nothing where the attempt that was asked after is over.
    pub(super) fn of_poll<'a>(&'a self, pending: &'a Pending, took: Duration) -> Option<Part<'a>> {
        let attempt = self
            .live
            .get(&pending.node)?
            .all()
            .find(|a| match &a.state {
                AttemptState::Accepted(p) => {
                    (p.direction, &p.instance, &p.handle)
                        == (pending.direction, &pending.instance, &pending.handle)
                }
                _ => false,
            })?;
        Some(Part {
            node: &pending.node,
            wish: self.wishes.get(&pending.node),
            attempt: Some(attempt),
            key: match pending.direction {
                Direction::Up => AttemptKey::Call(attempt.call.clone()),
                Direction::Down => AttemptKey::Instance(attempt.instance.clone()),
            },
            placement: (!attempt.placement.is_empty()).then_some(&attempt.placement),
            call: (!attempt.call.is_empty()).then_some(&attempt.call),
            generation: attempt.generation,
            took,
        })
    }
}
