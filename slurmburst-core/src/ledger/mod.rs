//! The ledger: what is wished, what was tried, what is known. SQLite.
//!
//! Every step is recorded here *before* it is taken, so that a killed process
//! changes nothing: the next one reads how far things are. Yet losing the file
//! loses no machine, since the truth is in the machines' tags and in Slurm.
//!
//! - [`Ledger::record`] and its neighbours: **wishes**, per node the newest one;
//! - [`Ledger::begin_calls`]: **calls** as they will be sent, and **attempts**;
//! - [`Ledger::set_mark`]: nodes that Slurm is being told about;
//! - [`Ledger::set_dry`], [`Ledger::sight`]: what placements have nothing, what
//!   was first seen when;
//! - [`Ledger::buckets`]: rate limits; [`Ledger::events`]: the history;
//! - [`Lease`]: who may act.
//!
//! One process may have several ledgers of one folder open, and so may several
//! processes; each write is one `BEGIN IMMEDIATE` transaction, on disk (WAL,
//! `synchronous=FULL`) when the method returns. The folder must be on a local
//! disk. **Never keep a ledger across a fork**: SQLite's locks do not survive
//! it. Fork first, then open. (`std::process::Command` is fine: it execs.)
//!
//! ```
//! use slurmburst_core::clock::Clock;
//! use slurmburst_core::hostlist::NodeName;
//! use slurmburst_core::ledger::{Ledger, NewWish, Program};
//! use slurmburst_core::provider::Direction;
//!
//! let mut ledger = Ledger::in_memory(Clock::system())?;
//! let c1 = NodeName::new("c1").unwrap();
//! let wish = NewWish {
//!     node: c1.clone(),
//!     direction: Direction::Up,
//!     deadline_ms: 0,
//!     program: Program::Resume,
//! };
//! let first = ledger.record(std::slice::from_ref(&wish))?;
//! let second = ledger.record(&[wish])?;
//! assert!(second[0].generation > first[0].generation);
//! assert_eq!(ledger.settle(&[(c1, first[0].generation, Ok(()))])?, 0, "no longer the newest");
//! # Ok::<(), slurmburst_core::ledger::LedgerError>(())
//! ```

mod attempts;
mod buckets;
mod capacity;
mod changes;
mod codec;
mod error;
mod events;
mod lease;
mod marks;
mod meta;
mod records;
mod schema;
mod token;
mod wishes;

#[cfg(test)]
mod tests;

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

pub use attempts::{AttemptKey, AttemptUpdate};
pub use changes::Changes;
pub use error::{LedgerError, LedgerErrorKind, Result};
pub use lease::{Holder, Lease};
pub use records::{
    Attempt, AttemptState, Event, Mark, MarkStep, NewCall, NewDown, NewWish, Program, Settled,
    StoredError, Wish,
};
pub use token::{call_token, new_call_id};

use crate::bucket::MemoryBuckets;
use crate::clock::Clock;
use error::Fault;

/// The file's name in `state_dir`.
pub const FILE_NAME: &str = "ledger.sqlite3";

/// How long a write waits for another process's.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// An open ledger. See the [module](self).
#[derive(Debug)]
pub struct Ledger {
    conn: Connection,
    path: PathBuf,
    clock: Clock,
    /// Where the rate limits are when there is no file.
    in_memory: Option<Arc<MemoryBuckets>>,
}

impl Ledger {
    /// Opens `ledger.sqlite3` in `dir`, which is created with mode 0700 if it is
    /// missing.
    ///
    /// # Errors
    /// The folder or the file cannot be used, is damaged, or was written by a
    /// newer version; the message says what to do.
    pub fn open(dir: &Path, clock: Clock) -> Result<Ledger> {
        let path = dir.join(FILE_NAME);
        match prepare(dir, &path).and_then(|()| connect(&path, "FULL")) {
            Ok(conn) => Ok(Ledger {
                conn,
                path,
                clock,
                in_memory: None,
            }),
            Err(fault) => Err(LedgerError::new(&path, "opening the ledger", fault)),
        }
    }

    /// A ledger that is forgotten when it is dropped, for tests.
    ///
    /// # Errors
    /// No memory.
    pub fn in_memory(clock: Clock) -> Result<Ledger> {
        let path = PathBuf::from(":memory:");
        let open = || -> Result<Connection, Fault> {
            let mut conn = Connection::open_in_memory()?;
            schema::migrate(&mut conn)?;
            Ok(conn)
        };
        match open() {
            Ok(conn) => Ok(Ledger {
                conn,
                path,
                clock,
                in_memory: Some(Arc::default()),
            }),
            Err(fault) => Err(LedgerError::new(&path, "opening the ledger", fault)),
        }
    }

    /// The file; `:memory:` where there is none.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` in one transaction, at one time (milliseconds since 1970).
    fn write<T>(
        &mut self,
        doing: &'static str,
        work: impl FnOnce(&Connection, i64) -> Result<T, Fault>,
    ) -> Result<T> {
        let Ledger {
            conn, clock, path, ..
        } = self;
        let run = || -> Result<T, Fault> {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = work(&tx, clock.now_ms())?;
            tx.commit()?;
            Ok(result)
        };
        run().map_err(|fault| LedgerError::new(path, doing, fault))
    }

    /// Runs `work`, which only reads.
    fn read<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T> {
        work(&self.conn).map_err(|fault| LedgerError::new(&self.path, doing, fault))
    }
}

/// Makes the folder, and the file for its owner alone.
fn prepare(dir: &Path, path: &Path) -> Result<(), Fault> {
    if !dir.is_dir() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|e| Fault::io(&e))?;
    }
    // `create_new` never opens what exists: closing it again would drop the
    // locks that SQLite holds on it elsewhere in this process.
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(Fault::io(&e)),
        _ => Ok(()),
    }
}

/// A connection to the file at this version's schema.
fn connect(path: &Path, synchronous: &str) -> Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(64);
    let mode = write_ahead(&conn)?;
    if mode != "wal" {
        return Err(Fault::new(
            LedgerErrorKind::Io,
            format!("its journal mode is {mode}, not wal; the folder must be on a local disk"),
        ));
    }
    conn.pragma_update(None, "synchronous", synchronous)?;
    schema::migrate(&mut conn)?;
    Ok(conn)
}

/// Switches to WAL. SQLite does not wait here as it does elsewhere when several
/// processes open a new file at once.
fn write_ahead(conn: &Connection) -> Result<String, Fault> {
    let begun = Instant::now();
    loop {
        let mode = conn.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0));
        match mode {
            Err(e)
                if e.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && begun.elapsed() < BUSY_TIMEOUT =>
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            other => return Ok(other?),
        }
    }
}
