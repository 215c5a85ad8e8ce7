//! [`Changes`]: what a batch of outcomes or decisions changes, all or none.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::Ledger;
use super::attempts::{AttemptUpdate, close_all, update_one};
use super::capacity::put_dry;
use super::error::{Fault, Result};
use super::events::insert_event;
use super::marks::put_marks;
use super::records::{Event, Mark, NewWish, Wish};
use super::wishes::{record_one, settle_all};
use crate::error::Error;
use crate::hostlist::NodeName;
use crate::provider::Generation;

/// Everything that follows from what was learnt at one time, to be recorded in
/// one transaction: a process that is killed leaves all of it or nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// What is newly known of attempts.
    pub updates: Vec<AttemptUpdate>,
    /// Wishes that end; see [`Ledger::settle`].
    pub settled: Vec<(NodeName, Generation, Result<(), Error>)>,
    /// Wishes whose end is taken back; see [`Ledger::reopen`].
    pub reopened: Vec<(NodeName, Generation)>,
    /// Live power-ups, by node and call, whose machine is gone.
    pub gone: Vec<(NodeName, String)>,
    /// What is over; see [`Ledger::close_all`].
    pub over: Vec<(NodeName, Generation)>,
    /// Placements that have nothing, why, and until when; see [`Ledger::set_dry`].
    pub dry: BTreeMap<String, (Error, i64)>,
    /// Nodes to be marked.
    pub marks: Vec<Mark>,
    /// Wishes that follow from others: each is recorded only if the newest of
    /// its node is still the one of this generation (zero: there is none).
    pub wishes: Vec<(NewWish, Generation)>,
    /// What to write into the history.
    pub events: Vec<Event>,
}

impl Changes {
    /// Whether there is nothing to record.
    pub fn is_empty(&self) -> bool {
        *self == Changes::default()
    }
}

impl Ledger {
    /// Records all of it. Answers the wishes that were recorded; one that a
    /// newer wish has overtaken is not among them.
    ///
    /// # Errors
    /// The file cannot be written; nothing is recorded then.
    pub fn apply(&mut self, changes: &Changes) -> Result<Vec<Wish>> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        self.write("recording outcomes", |db, now_ms| {
            for update in &changes.updates {
                update_one(db, update, now_ms)?;
            }
            close_ups(db, &changes.gone, now_ms)?;
            settle_all(db, &changes.settled, now_ms)?;
            reopen_all(db, &changes.reopened)?;
            close_all(db, &changes.over, now_ms)?;
            for (placement, (error, until_ms)) in &changes.dry {
                put_dry(db, placement, error, *until_ms, now_ms)?;
            }
            put_marks(db, &changes.marks)?;
            let mut recorded = Vec::new();
            for (new, after) in &changes.wishes {
                if newest(db, &new.node)? == *after {
                    recorded.push(record_one(db, new, now_ms)?);
                }
            }
            if !recorded.is_empty() {
                super::meta::bump(db)?;
            }
            changes
                .events
                .iter()
                .try_for_each(|event| insert_event(db, event))?;
            Ok(recorded)
        })
    }
}

fn reopen_all(db: &Connection, reopened: &[(NodeName, Generation)]) -> Result<(), Fault> {
    let mut stmt = db.prepare_cached(
        "UPDATE wish SET settled_ms = NULL, error = NULL
         WHERE node = ?1 AND generation = ?2 AND settled_ms IS NOT NULL",
    )?;
    for (node, generation) in reopened {
        stmt.execute(params![node.as_str(), generation.0])?;
    }
    Ok(())
}

fn close_ups(db: &Connection, gone: &[(NodeName, String)], now_ms: i64) -> Result<(), Fault> {
    let mut stmt = db.prepare_cached(
        "UPDATE attempt SET state = 'closed', detail = NULL, updated_ms = ?3
         WHERE node = ?1 AND call = ?2 AND direction = 'up'
         AND state IN ('unknown', 'accepted', 'done')",
    )?;
    for (node, call) in gone {
        stmt.execute(params![node.as_str(), call, now_ms])?;
    }
    Ok(())
}

/// The generation of a node's newest wish; zero where there is none.
fn newest(db: &Connection, node: &NodeName) -> Result<Generation, Fault> {
    let mut stmt =
        db.prepare_cached("SELECT coalesce((SELECT generation FROM wish WHERE node = ?1), 0)")?;
    Ok(Generation(
        stmt.query_row([node.as_str()], |row| row.get(0))?,
    ))
}
