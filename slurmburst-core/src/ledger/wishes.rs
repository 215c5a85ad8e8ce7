//! Wishes: per node the newest one, and the counter that never goes back.

use rusqlite::{Connection, Row, params};

use super::codec::{error_from, error_json, node_at, query, query_one, word, word_at};
use super::error::{Fault, LedgerErrorKind, Result};
use super::events::insert_event;
use super::records::{Event, NewWish, Settled, Wish};
use super::{Ledger, meta};
use crate::error::Error;
use crate::hostlist::NodeName;
use crate::provider::{Direction, Generation};

/// Larger generations were not written by us, and would leave no room to count.
const MAX_SEEN: i64 = 1 << 62;

const COLUMNS: &str =
    "node, generation, floor, direction, deadline_ms, created_ms, program, settled_ms, error";

impl Ledger {
    /// Records wishes, all or none, and wakes the converger. Each is the newest
    /// of its node from now on; its generation is the next millisecond or one
    /// more than any known before, whatever the clock does. A wish down raises
    /// the floor to its own generation; a wish up keeps it, so that a machine of
    /// an older wish up still counts as long as no wish down came between.
    ///
    /// Answers the wishes as recorded, in the same order.
    ///
    /// # Errors
    /// The file cannot be written; nothing is recorded then.
    pub fn record(&mut self, wishes: &[NewWish]) -> Result<Vec<Wish>> {
        if wishes.is_empty() {
            return Ok(Vec::new());
        }
        self.write("recording wishes", |db, now_ms| {
            let recorded = wishes
                .iter()
                .map(|new| record_one(db, new, now_ms))
                .collect::<Result<_, _>>()?;
            meta::bump(db)?;
            Ok(recorded)
        })
    }

    /// Remembers generations seen in machines' tags, so that the next wish of
    /// the node is newer even when the file was lost.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn observe_generations(&mut self, seen: &[(NodeName, Generation)]) -> Result<()> {
        if seen.is_empty() {
            return Ok(());
        }
        self.write("remembering generations", |db, _| {
            let mut stmt = db.prepare_cached(
                "INSERT INTO generation_seen (node, newest) VALUES (?1, ?2)
                 ON CONFLICT (node) DO UPDATE SET newest = excluded.newest
                 WHERE excluded.newest > newest",
            )?;
            for (node, generation) in seen.iter().filter(|(_, g)| g.0 <= MAX_SEEN) {
                stmt.execute(params![node.as_str(), generation.0])?;
            }
            Ok(())
        })
    }

    /// The newest wish for a node.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn wish(&self, node: &NodeName) -> Result<Option<Wish>> {
        self.read("reading a wish", |db| find(db, node))
    }

    /// The newest wish of each of these nodes that has one, in this order; of
    /// all nodes, by name, for `None`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn wishes(&self, nodes: Option<&[NodeName]>) -> Result<Vec<Wish>> {
        self.read("reading wishes", |db| match nodes {
            None => query(
                db,
                &format!("SELECT {COLUMNS} FROM wish ORDER BY node"),
                [],
                wish_of,
            ),
            Some(nodes) => nodes
                .iter()
                .filter_map(|node| find(db, node).transpose())
                .collect(),
        })
    }

    /// The wishes that have not ended, by node.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open_wishes(&self) -> Result<Vec<Wish>> {
        self.read("reading open wishes", |db| {
            let sql = format!("SELECT {COLUMNS} FROM wish WHERE settled_ms IS NULL ORDER BY node");
            query(db, &sql, [], wish_of)
        })
    }

    /// Of [`Ledger::open_wishes`] the least that has to be known of each, for
    /// who asks often.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open_wishes_briefly(&self) -> Result<Vec<(NodeName, Generation, Direction)>> {
        self.read("reading open wishes", |db| {
            let sql = "SELECT node, generation, direction FROM wish
                       WHERE settled_ms IS NULL ORDER BY node";
            query(db, sql, [], |row| {
                let generation = Generation(row.get("generation")?);
                Ok((
                    node_at(row, "node")?,
                    generation,
                    word_at(row, "direction")?,
                ))
            })
        })
    }

    /// Ends wishes: as wished, or why not. One that is no longer the newest of
    /// its node, or has ended before, stays as it is. Answers how many ended.
    ///
    /// # Errors
    /// The file cannot be written; none has ended then.
    pub fn settle(
        &mut self,
        settled: &[(NodeName, Generation, Result<(), Error>)],
    ) -> Result<usize> {
        if settled.is_empty() {
            return Ok(0);
        }
        self.write("settling wishes", |db, now_ms| {
            settle_all(db, settled, now_ms)
        })
    }

    /// Takes back that a wish has ended, if it is still the newest of its node.
    /// Answers whether it was.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn reopen(&mut self, node: &NodeName, generation: Generation) -> Result<bool> {
        self.write("reopening a wish", |db, _| {
            let mut stmt = db.prepare_cached(
                "UPDATE wish SET settled_ms = NULL, error = NULL
                 WHERE node = ?1 AND generation = ?2 AND settled_ms IS NOT NULL",
            )?;
            Ok(stmt.execute(params![node.as_str(), generation.0])? > 0)
        })
    }
}

/// See [`Ledger::settle`].
pub(super) fn settle_all(
    db: &Connection,
    settled: &[(NodeName, Generation, Result<(), Error>)],
    now_ms: i64,
) -> Result<usize, Fault> {
    let mut stmt = db.prepare_cached(
        "UPDATE wish SET settled_ms = ?3, error = ?4
         WHERE node = ?1 AND generation = ?2 AND settled_ms IS NULL",
    )?;
    let mut count = 0;
    for (node, generation, result) in settled {
        let error = result.as_ref().err().map(error_json).transpose()?;
        count += stmt.execute(params![node.as_str(), generation.0, now_ms, error])?;
    }
    Ok(count)
}

pub(super) fn record_one(db: &Connection, new: &NewWish, now_ms: i64) -> Result<Wish, Fault> {
    let name = new.node.as_str();
    let (last, floor, seen) = db
        .prepare_cached(
            "SELECT (SELECT generation FROM wish WHERE node = ?1),
                    (SELECT floor FROM wish WHERE node = ?1),
                    (SELECT newest FROM generation_seen WHERE node = ?1)",
        )?
        .query_row([name], |row| {
            Ok((
                row.get::<_, Option<i64>>(0)?,
                row.get::<_, Option<i64>>(1)?,
                row.get::<_, Option<i64>>(2)?,
            ))
        })?;
    let next = last.max(seen).unwrap_or(0).checked_add(1).ok_or_else(|| {
        Fault::new(
            LedgerErrorKind::Invalid,
            format!("{name} has used up its generations"),
        )
    })?;
    let generation = Generation(next.max(now_ms));
    let (floor, what) = match new.direction {
        Direction::Down => (generation, "wish-down"),
        Direction::Up => (Generation(floor.unwrap_or(0)), "wish-up"),
    };
    db.prepare_cached(
        "INSERT INTO wish (node, generation, floor, direction, deadline_ms, created_ms, program)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (node) DO UPDATE SET
             generation = ?2, floor = ?3, direction = ?4, deadline_ms = ?5, created_ms = ?6,
             program = ?7, settled_ms = NULL, error = NULL",
    )?
    .execute(params![
        name,
        generation.0,
        floor.0,
        word(new.direction)?,
        new.deadline_ms,
        now_ms,
        new.program.as_str(),
    ])?;
    let event = Event {
        at_ms: now_ms,
        node: new.node.clone(),
        generation: Some(generation),
        what: what.to_owned(),
        placement: None,
        call: None,
        request_id: None,
        duration_ms: None,
        detail: Some(new.program.as_str().to_owned()),
    };
    insert_event(db, &event)?;
    Ok(Wish {
        node: new.node.clone(),
        generation,
        floor,
        direction: new.direction,
        deadline_ms: new.deadline_ms,
        created_ms: now_ms,
        program: new.program,
        settled: None,
    })
}

fn find(db: &Connection, node: &NodeName) -> Result<Option<Wish>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM wish WHERE node = ?1");
    query_one(db, &sql, [node.as_str()], wish_of)
}

fn wish_of(row: &Row<'_>) -> Result<Wish, Fault> {
    let settled = match row.get::<_, Option<i64>>("settled_ms")? {
        None => None,
        Some(at_ms) => {
            let result = match row.get::<_, Option<String>>("error")? {
                None => Ok(()),
                Some(json) => Err(error_from(&json)?),
            };
            Some(Settled { at_ms, result })
        }
    };
    Ok(Wish {
        node: node_at(row, "node")?,
        generation: Generation(row.get("generation")?),
        floor: Generation(row.get("floor")?),
        direction: word_at(row, "direction")?,
        deadline_ms: row.get("deadline_ms")?,
        created_ms: row.get("created_ms")?,
        program: word_at(row, "program")?,
        settled,
    })
}
