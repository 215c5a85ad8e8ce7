//! The history, and what is thrown away by age.

use rusqlite::{Connection, Row, params};

use super::Ledger;
use super::codec::{json_list, node_at, query};
use super::error::{Fault, Result};
use super::records::Event;
use crate::hostlist::NodeName;
use crate::provider::Generation;

const COLUMNS: &str =
    "at_ms, node, generation, what, placement, call, request_id, duration_ms, detail";

impl Ledger {
    /// The newest `limit` events of these nodes, or of all, newest last.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn events(&self, nodes: Option<&[NodeName]>, limit: usize) -> Result<Vec<Event>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read("reading the history", |db| {
            let mut events = match nodes {
                None => {
                    let sql = format!("SELECT {COLUMNS} FROM event ORDER BY id DESC LIMIT ?1");
                    query(db, &sql, [limit], event_of)?
                }
                Some(nodes) => {
                    let sql = format!(
                        "SELECT {COLUMNS} FROM event
                         WHERE node IN (SELECT value FROM json_each(?1))
                         ORDER BY id DESC LIMIT ?2"
                    );
                    let names = json_list(nodes.iter().map(NodeName::as_str))?;
                    query(db, &sql, params![names, limit], event_of)?
                }
            };
            events.reverse();
            Ok(events)
        })
    }

    /// Adds to the history.
    ///
    /// # Errors
    /// The file cannot be written; nothing is added then.
    pub fn add_events(&mut self, events: &[Event]) -> Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        self.write("writing the history", |db, _| {
            events.iter().try_for_each(|event| insert_event(db, event))
        })
    }

    /// Throws away what is older than this (milliseconds since 1970) and over:
    /// events, attempts that are refused or closed, power-downs that are done,
    /// calls with no live attempt. Wishes stay, since they carry the counter.
    /// Answers how many rows went.
    ///
    /// # Errors
    /// The file cannot be written; nothing is thrown away then.
    pub fn prune(&mut self, older_than_ms: i64) -> Result<usize> {
        self.write("pruning", |db, _| {
            let mut gone = 0;
            for sql in [
                "DELETE FROM event WHERE at_ms < ?1",
                "DELETE FROM attempt WHERE updated_ms < ?1
                 AND (state IN ('refused', 'closed') OR direction = 'down' AND state = 'done')",
                "DELETE FROM call WHERE created_ms < ?1 AND NOT EXISTS
                     (SELECT 1 FROM attempt WHERE attempt.call = call.id
                      AND state IN ('unknown', 'accepted', 'done'))",
            ] {
                gone += db.prepare_cached(sql)?.execute([older_than_ms])?;
            }
            Ok(gone)
        })
    }
}

pub(super) fn insert_event(db: &Connection, event: &Event) -> Result<(), Fault> {
    db.prepare_cached(&format!(
        "INSERT INTO event ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
    ))?
    .execute(params![
        event.at_ms,
        event.node.as_str(),
        event.generation.map(|g| g.0),
        event.what,
        event.placement,
        event.call,
        event.request_id,
        event.duration_ms,
        event.detail,
    ])?;
    Ok(())
}

fn event_of(row: &Row<'_>) -> Result<Event, Fault> {
    Ok(Event {
        at_ms: row.get("at_ms")?,
        node: node_at(row, "node")?,
        generation: row.get::<_, Option<i64>>("generation")?.map(Generation),
        what: row.get("what")?,
        placement: row.get("placement")?,
        call: row.get("call")?,
        request_id: row.get("request_id")?,
        duration_ms: row.get("duration_ms")?,
        detail: row.get("detail")?,
    })
}
