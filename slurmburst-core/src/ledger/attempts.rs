//! Calls as they are sent, and attempts: what is known of their effect.
//!
//! Recorded before anything is sent, as [`AttemptState::Unknown`]; that is what
//! a killed process leaves, and the next one replays the stored call.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row, params};

use super::Ledger;
use super::codec::{node_at, query, query_one, state_columns, state_from, word, word_at};
use super::error::{Fault, LedgerErrorKind, Result};
use super::events::insert_event;
use super::records::{Attempt, AttemptState, Event, NewCall, NewDown};
use crate::error::Error;
use crate::hostlist::NodeName;
use crate::provider::{Call, Direction, DownMode, Generation, Lifecycle};

const COLUMNS: &str = "id, node, generation, direction, provider, placement, lifecycle, call, \
     state, detail, instance, mode, started_ms, updated_ms";

/// The states behind which there is or may be a machine, or a machine going.
const LIVE: &str = "state IN ('unknown', 'accepted', 'done')";

/// Which attempt of a node is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptKey {
    /// The power-up by the call of this id.
    Call(String),
    /// The power-down that was begun for this instance, or for whatever there
    /// is ([`NewDown::instance`]).
    Instance(Option<String>),
}

/// What became of an attempt, or what is newly known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptUpdate {
    /// The node.
    pub node: NodeName,
    /// Which of its attempts.
    pub key: AttemptKey,
    /// What is known now.
    pub state: AttemptState,
    /// The instance that a power-up made, where that is known now.
    pub instance: Option<String>,
    /// What to write into the history.
    pub event: Event,
}

impl AttemptUpdate {
    /// An update of the power-up of `node` by the call `call`.
    pub fn up(
        node: NodeName,
        call: impl Into<String>,
        state: AttemptState,
        instance: Option<String>,
        event: Event,
    ) -> AttemptUpdate {
        AttemptUpdate {
            node,
            key: AttemptKey::Call(call.into()),
            state,
            instance,
            event,
        }
    }

    /// An update of the power-down of `node` that was begun for `instance`.
    pub fn down(
        node: NodeName,
        instance: Option<String>,
        state: AttemptState,
        event: Event,
    ) -> AttemptUpdate {
        AttemptUpdate {
            node,
            key: AttemptKey::Instance(instance),
            state,
            instance: None,
            event,
        }
    }

    /// An update of a recorded attempt.
    pub fn of(
        attempt: &Attempt,
        state: AttemptState,
        instance: Option<String>,
        event: Event,
    ) -> AttemptUpdate {
        let node = attempt.node.clone();
        match attempt.direction {
            Direction::Up => AttemptUpdate::up(node, &attempt.call, state, instance, event),
            Direction::Down => AttemptUpdate::down(node, attempt.instance.clone(), state, event),
        }
    }
}

impl Ledger {
    /// Records power-ups before they are sent: each call verbatim, and an
    /// attempt of unknown effect for each of its nodes. All or none.
    ///
    /// # Errors
    /// [`LedgerErrorKind::LiveAttempt`] when one of the nodes already has a
    /// power-up behind which there is or may be a machine;
    /// [`LedgerErrorKind::Invalid`] for a call id that was used before; the file
    /// cannot be written. Nothing is recorded then.
    pub fn begin_calls(&mut self, calls: &[NewCall]) -> Result<()> {
        if calls.is_empty() {
            return Ok(());
        }
        self.write("recording calls", |db, now_ms| {
            calls
                .iter()
                .try_for_each(|new| begin_call(db, &new.call, now_ms))
        })
    }

    /// Records power-downs before they are sent. One that repeats a live one of
    /// the same node and instance takes its place. All or none.
    ///
    /// # Errors
    /// The file cannot be written; nothing is recorded then.
    pub fn begin_downs(&mut self, downs: &[NewDown]) -> Result<()> {
        if downs.is_empty() {
            return Ok(());
        }
        self.write("recording power-downs", |db, now_ms| {
            downs.iter().try_for_each(|new| begin_down(db, new, now_ms))
        })
    }

    /// The stored call of this id.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn call(&self, id: &str) -> Result<Option<Call>> {
        self.read("reading a call", |db| {
            query_one(db, "SELECT call FROM call WHERE id = ?1", [id], |row| {
                let text = row
                    .get_ref(0)?
                    .as_str()
                    .map_err(|e| Fault::unreadable("call", e))?;
                Ok(serde_json::from_str(text)?)
            })
        })
    }

    /// The attempts, up and down, behind which there is or may be something
    /// ([`AttemptState::is_live`]), oldest first.
    ///
    /// A power-down that is done stays among them until the node's next
    /// power-up or power-down begins, or [`Ledger::close_attempts`].
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn live_attempts(&self) -> Result<Vec<Attempt>> {
        self.read("reading live attempts", |db| {
            let sql = format!("SELECT {COLUMNS} FROM attempt WHERE {LIVE} ORDER BY id");
            query(db, &sql, [], attempt_of)
        })
    }

    /// [`Ledger::live_attempts`] of these nodes alone, node by node.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn live_attempts_of(&self, nodes: &[NodeName]) -> Result<Vec<Attempt>> {
        self.read("reading live attempts", |db| {
            // Asked for each direction, so that the two small indexes of live attempts serve.
            let of = |direction: &str| {
                format!(
                    "SELECT {COLUMNS} FROM attempt
                     WHERE node = ?1 AND direction = '{direction}' AND {LIVE} ORDER BY id"
                )
            };
            let (ups, downs) = (of("up"), of("down"));
            let mut attempts = Vec::new();
            for node in nodes {
                attempts.extend(query(db, &ups, [node.as_str()], attempt_of)?);
                attempts.extend(query(db, &downs, [node.as_str()], attempt_of)?);
            }
            Ok(attempts)
        })
    }

    /// The attempts of a node, of one generation or of all, oldest first.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn attempts(
        &self,
        node: &NodeName,
        generation: Option<Generation>,
    ) -> Result<Vec<Attempt>> {
        self.read("reading attempts", |db| {
            let sql = format!(
                "SELECT {COLUMNS} FROM attempt
                 WHERE node = ?1 AND (?2 IS NULL OR generation = ?2) ORDER BY id"
            );
            query(
                db,
                &sql,
                params![node.as_str(), generation.map(|g| g.0)],
                attempt_of,
            )
        })
    }

    /// The placements that refused this wish of a node, and why, oldest first.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn tried(&self, node: &NodeName, generation: Generation) -> Result<Vec<(String, Error)>> {
        self.read("reading attempts", |db| {
            let sql = format!(
                "SELECT {COLUMNS} FROM attempt WHERE node = ?1 AND generation = ?2
                 AND direction = 'up' AND state = 'refused' ORDER BY id"
            );
            let attempts = query(db, &sql, params![node.as_str(), generation.0], attempt_of)?;
            Ok(attempts
                .into_iter()
                .filter_map(|a| match a.state {
                    AttemptState::Refused(e) => Some((a.placement, e)),
                    _ => None,
                })
                .collect())
        })
    }

    /// Records what became of attempts, with the history of it, all or none.
    /// Only a live attempt changes; the event is written in any case. Answers
    /// how many attempts changed.
    ///
    /// # Errors
    /// The file cannot be written; nothing is recorded then.
    pub fn record_outcomes(&mut self, updates: &[AttemptUpdate]) -> Result<usize> {
        if updates.is_empty() {
            return Ok(0);
        }
        self.write("recording outcomes", |db, now_ms| {
            updates
                .iter()
                .try_fold(0, |count, u| Ok(count + update_one(db, u, now_ms)?))
        })
    }

    /// Closes what is known to be over for a node, up to and including this
    /// generation: live power-ups (what they made is gone, or it is certain
    /// that they made nothing), and power-downs but those that the cloud has
    /// accepted and is still at.
    /// Answers how many.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn close_attempts(&mut self, node: &NodeName, up_to: Generation) -> Result<usize> {
        self.close_all(&[(node.clone(), up_to)])
    }

    /// [`Ledger::close_attempts`] for many nodes, all or none.
    ///
    /// # Errors
    /// The file cannot be written; nothing is closed then.
    pub fn close_all(&mut self, over: &[(NodeName, Generation)]) -> Result<usize> {
        if over.is_empty() {
            return Ok(0);
        }
        self.write("closing attempts", |db, now_ms| close_all(db, over, now_ms))
    }

    /// How many power-ups were begun per node since then (milliseconds since
    /// 1970). One that certainly did nothing does not count.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn power_ups_since(&self, since_ms: i64) -> Result<BTreeMap<NodeName, u32>> {
        self.read("counting power-ups", |db| {
            // The plus keeps SQLite from walking all attempts in the order of nodes.
            let sql = "SELECT node, count(*) AS n FROM attempt
                       WHERE started_ms >= ?1 AND direction = 'up' AND state <> 'refused'
                       GROUP BY +node";
            let counts = query(db, sql, [since_ms], |row| {
                Ok((node_at(row, "node")?, row.get("n")?))
            })?;
            Ok(counts.into_iter().collect())
        })
    }
}

fn begin_call(db: &Connection, call: &Call, now_ms: i64) -> Result<(), Fault> {
    db.prepare_cached("INSERT INTO call (id, call, created_ms) VALUES (?1, ?2, ?3)")?
        .execute(params![call.id, serde_json::to_string(call)?, now_ms])?;
    for node in &call.nodes {
        let name = node.name.as_str();
        let sql = format!(
            "SELECT call, state FROM attempt WHERE node = ?1 AND direction = 'up' AND {LIVE}"
        );
        let live = query_one(db, &sql, [name], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })?;
        if let Some((other, state)) = live {
            return Err(Fault::new(
                LedgerErrorKind::LiveAttempt,
                format!(
                    "{name} already has the power-up {other} ({state}), which must be resolved \
                     before {} is begun; nothing was recorded",
                    call.id
                ),
            ));
        }
        close_done_downs(db, name, now_ms)?;
        insert_attempt(
            db,
            &Attempt {
                id: 0,
                node: node.name.clone(),
                generation: node.generation,
                direction: Direction::Up,
                provider: call.placement.provider.clone(),
                placement: call.placement.name.clone(),
                lifecycle: call.placement.lifecycle,
                call: call.id.clone(),
                state: AttemptState::Unknown,
                instance: None,
                mode: None,
                started_ms: now_ms,
                updated_ms: now_ms,
            },
        )?;
    }
    Ok(())
}

fn begin_down(db: &Connection, new: &NewDown, now_ms: i64) -> Result<(), Fault> {
    let name = new.node.as_str();
    // Replaced and not kept: a power-down that is repeated for days leaves one row.
    db.prepare_cached(&format!(
        "DELETE FROM attempt WHERE node = ?1 AND instance IS ?2 AND direction = 'down' AND {LIVE}"
    ))?
    .execute(params![name, new.instance])?;
    close_done_downs(db, name, now_ms)?;
    insert_attempt(
        db,
        &Attempt {
            id: 0,
            node: new.node.clone(),
            generation: new.generation,
            direction: Direction::Down,
            provider: new.provider.clone(),
            placement: String::new(),
            lifecycle: match new.mode {
                DownMode::Terminate => Lifecycle::CreateDelete,
                DownMode::Deallocate => Lifecycle::StartDeallocate,
            },
            call: String::new(),
            state: AttemptState::Unknown,
            instance: new.instance.clone(),
            mode: Some(new.mode),
            started_ms: now_ms,
            updated_ms: now_ms,
        },
    )
}

/// A node's power-down that is done is over once something new begins.
fn close_done_downs(db: &Connection, name: &str, now_ms: i64) -> Result<(), Fault> {
    // LIVE is implied, and lets the small index of live power-downs be used.
    db.prepare_cached(&format!(
        "UPDATE attempt SET state = 'closed', updated_ms = ?2
         WHERE node = ?1 AND direction = 'down' AND state = 'done' AND {LIVE}"
    ))?
    .execute(params![name, now_ms])?;
    Ok(())
}

/// Adds a row; its id is the file's to choose.
fn insert_attempt(db: &Connection, new: &Attempt) -> Result<(), Fault> {
    let (state, detail) = state_columns(&new.state)?;
    db.prepare_cached(
        "INSERT INTO attempt (node, generation, direction, provider, placement, lifecycle, call,
             state, detail, instance, mode, started_ms, updated_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?
    .execute(params![
        new.node.as_str(),
        new.generation.0,
        word(new.direction)?,
        new.provider,
        new.placement,
        word(new.lifecycle)?,
        new.call,
        state,
        detail,
        new.instance,
        new.mode.map(word).transpose()?,
        new.started_ms,
        new.updated_ms,
    ])?;
    Ok(())
}

/// See [`Ledger::close_all`].
pub(super) fn close_all(
    db: &Connection,
    over: &[(NodeName, Generation)],
    now_ms: i64,
) -> Result<usize, Fault> {
    let mut stmt = db.prepare_cached(
        "UPDATE attempt SET state = 'closed', detail = NULL, updated_ms = ?3
         WHERE node = ?1 AND generation <= ?2
         AND (state IN ('done', 'unknown') OR direction = 'up' AND state = 'accepted')",
    )?;
    over.iter().try_fold(0, |count, (node, up_to)| {
        Ok(count + stmt.execute(params![node.as_str(), up_to.0, now_ms])?)
    })
}

pub(super) fn update_one(
    db: &Connection,
    update: &AttemptUpdate,
    now_ms: i64,
) -> Result<usize, Fault> {
    insert_event(db, &update.event)?;
    let (state, detail) = state_columns(&update.state)?;
    let name = update.node.as_str();
    let changed = match &update.key {
        AttemptKey::Call(call) => db
            .prepare_cached(&format!(
                "UPDATE attempt SET state = ?3, detail = ?4, updated_ms = ?5,
                     instance = coalesce(?6, instance)
                 WHERE node = ?1 AND call = ?2 AND direction = 'up' AND {LIVE}"
            ))?
            .execute(params![name, call, state, detail, now_ms, update.instance])?,
        // The instance is what a power-down is known by; it stays.
        AttemptKey::Instance(instance) => db
            .prepare_cached(&format!(
                "UPDATE attempt SET state = ?3, detail = ?4, updated_ms = ?5
                 WHERE node = ?1 AND instance IS ?2 AND direction = 'down' AND {LIVE}"
            ))?
            .execute(params![name, instance, state, detail, now_ms])?,
    };
    Ok(changed)
}

fn attempt_of(row: &Row<'_>) -> Result<Attempt, Fault> {
    let state: String = row.get("state")?;
    let detail: Option<String> = row.get("detail")?;
    let mode: Option<String> = row.get("mode")?;
    Ok(Attempt {
        id: row.get("id")?,
        node: node_at(row, "node")?,
        generation: Generation(row.get("generation")?),
        direction: word_at(row, "direction")?,
        provider: row.get("provider")?,
        placement: row.get("placement")?,
        lifecycle: word_at(row, "lifecycle")?,
        call: row.get("call")?,
        state: state_from(&state, detail.as_deref())?,
        instance: row.get("instance")?,
        mode: mode.as_deref().map(super::codec::from_word).transpose()?,
        started_ms: row.get("started_ms")?,
        updated_ms: row.get("updated_ms")?,
    })
}
