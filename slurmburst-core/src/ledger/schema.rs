//! The tables, and how a file gets them.

use rusqlite::{Connection, TransactionBehavior};

use super::error::{Fault, LedgerErrorKind};

/// Step N brings a file from `user_version` N to N + 1. Released steps never change.
const MIGRATIONS: &[&str] = &[V1];

const V1: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE wish (
    node        TEXT PRIMARY KEY,
    generation  INTEGER NOT NULL,
    floor       INTEGER NOT NULL,
    direction   TEXT NOT NULL,
    deadline_ms INTEGER NOT NULL,
    created_ms  INTEGER NOT NULL,
    program     TEXT NOT NULL,
    settled_ms  INTEGER,            -- NULL while it is open
    error       TEXT                -- why not, once settled
) STRICT, WITHOUT ROWID;
CREATE INDEX wish_open ON wish (node) WHERE settled_ms IS NULL;

-- The newest generation that was seen in a machine's tags: what is left of the
-- counter when this file is lost.
CREATE TABLE generation_seen (node TEXT PRIMARY KEY, newest INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- What was (to be) sent, verbatim.
CREATE TABLE call (id TEXT PRIMARY KEY, call TEXT NOT NULL, created_ms INTEGER NOT NULL) STRICT;

CREATE TABLE attempt (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    node       TEXT NOT NULL,
    generation INTEGER NOT NULL,
    direction  TEXT NOT NULL,
    provider   TEXT NOT NULL,
    placement  TEXT NOT NULL,
    lifecycle  TEXT NOT NULL,
    call       TEXT NOT NULL,       -- empty for a power-down
    state      TEXT NOT NULL,
    detail     TEXT,                -- what the state holds
    instance   TEXT,
    mode       TEXT,
    started_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX attempt_node ON attempt (node, generation);
CREATE INDEX attempt_call ON attempt (call);
CREATE INDEX attempt_live ON attempt (id) WHERE state IN ('unknown', 'accepted', 'done');
CREATE INDEX attempt_started ON attempt (started_ms) WHERE direction = 'up';
-- The file itself holds no two power-ups of one node that may both have made a
-- machine, whatever the code does.
CREATE UNIQUE INDEX attempt_one_up ON attempt (node)
    WHERE direction = 'up' AND state IN ('unknown', 'accepted', 'done');
CREATE UNIQUE INDEX attempt_one_down ON attempt (node, coalesce(instance, ''))
    WHERE direction = 'down' AND state IN ('unknown', 'accepted', 'done');

CREATE TABLE mark (
    node       TEXT PRIMARY KEY,
    generation INTEGER NOT NULL,
    step       TEXT NOT NULL,
    reason     TEXT NOT NULL,
    until_ms   INTEGER NOT NULL,
    kind       TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE dry (placement TEXT PRIMARY KEY, until_ms INTEGER NOT NULL, error TEXT NOT NULL) STRICT;

CREATE TABLE sighting (key TEXT PRIMARY KEY, first_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE bucket (
    kind        TEXT NOT NULL,
    principal   TEXT NOT NULL,
    class       TEXT NOT NULL,
    tokens      REAL NOT NULL,
    at_ms       INTEGER NOT NULL,
    blocked_ms  INTEGER NOT NULL,
    left_tokens REAL NOT NULL,
    seen_ms     INTEGER NOT NULL,
    PRIMARY KEY (kind, principal, class)
) STRICT, WITHOUT ROWID;

-- Who holds the lease, for people; the lock is what counts.
CREATE TABLE lease (
    only         INTEGER PRIMARY KEY CHECK (only = 1),
    pid          INTEGER NOT NULL,
    start_ticks  INTEGER NOT NULL,
    boot_id      TEXT NOT NULL,
    since_ms     INTEGER NOT NULL,
    heartbeat_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE wake (only INTEGER PRIMARY KEY CHECK (only = 1), counter INTEGER NOT NULL) STRICT;
INSERT INTO wake VALUES (1, 0);

CREATE TABLE event (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms       INTEGER NOT NULL,
    node        TEXT NOT NULL,
    generation  INTEGER,
    what        TEXT NOT NULL,
    placement   TEXT,
    call        TEXT,
    request_id  TEXT,
    duration_ms INTEGER,
    detail      TEXT
) STRICT;
CREATE INDEX event_node ON event (node);
CREATE INDEX event_at ON event (at_ms);
";

fn version(conn: &Connection) -> Result<usize, Fault> {
    let version: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    usize::try_from(version).map_err(|e| Fault::unreadable("schema version", e))
}

/// Brings the file to this version's schema, or refuses a newer one.
pub(super) fn migrate(conn: &mut Connection) -> Result<(), Fault> {
    if version(conn)? == MIGRATIONS.len() {
        return Ok(());
    }
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Read again: another process may just have done it.
    let from = version(&tx)?;
    let Some(steps) = MIGRATIONS.get(from..) else {
        return Err(Fault::new(
            LedgerErrorKind::Newer,
            format!(
                "written by a newer slurmburst (schema {from}, this one knows up to {}); install \
                 that version again, or move the file away: no machine is lost, only the history",
                MIGRATIONS.len()
            ),
        ));
    };
    for step in steps {
        tx.execute_batch(step)?;
    }
    tx.execute_batch(&format!("PRAGMA user_version = {}", MIGRATIONS.len()))?;
    tx.commit()?;
    Ok(())
}
