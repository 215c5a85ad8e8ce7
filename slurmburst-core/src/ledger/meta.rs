//! Small things that are said once: pause, wake-ups, keys and values.

use rusqlite::Connection;

use super::Ledger;
use super::codec::query_one;
use super::error::{Fault, LedgerErrorKind, Result};

const PAUSED: &str = "paused";

impl Ledger {
    /// Whether nothing new is started; power-downs go on.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn paused(&self) -> Result<bool> {
        Ok(self.get_meta(PAUSED)?.is_some_and(|value| value == "true"))
    }

    /// Pauses or goes on, and wakes the converger.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_paused(&mut self, paused: bool) -> Result<()> {
        self.write("pausing or going on", |db, _| {
            put(db, PAUSED, if paused { "true" } else { "false" })?;
            bump(db)
        })
    }

    /// The value that was stored under this key.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn get_meta(&self, key: &str) -> Result<Option<String>> {
        self.read("reading a setting", |db| {
            query_one(db, "SELECT value FROM meta WHERE key = ?1", [key], |row| {
                Ok(row.get(0)?)
            })
        })
    }

    /// Stores a value under a key.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_meta(&mut self, key: &str, value: &str) -> Result<()> {
        self.write("storing a setting", |db, _| put(db, key, value))
    }

    /// How often somebody wanted the converger's attention: recorded a wish,
    /// paused, or called [`Ledger::bump_wake`].
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn wake_counter(&self) -> Result<i64> {
        self.read("reading the wake-up counter", |db| {
            let counter = query_one(db, "SELECT counter FROM wake", [], |row| Ok(row.get(0)?))?;
            counter.ok_or_else(|| Fault::unreadable("wake-up counter", "it is missing"))
        })
    }

    /// Wakes the converger.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn bump_wake(&mut self) -> Result<()> {
        self.write("waking the converger", |db, _| bump(db))
    }

    /// A number that changes when another connection (the buckets' of this
    /// process too) has written to the file. Cheap: ask this often, and the
    /// [`Ledger::wake_counter`] when it changed.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn data_version(&self) -> Result<i64> {
        self.read("looking for changes", |db| {
            let version = query_one(db, "PRAGMA data_version", [], |row| Ok(row.get(0)?))?;
            Ok(version.unwrap_or_default())
        })
    }

    /// Reads the whole file and says what is wrong with it. Slow for a large one.
    ///
    /// # Errors
    /// It is damaged, or cannot be read.
    pub fn check(&self) -> Result<()> {
        self.read("checking the file", |db| {
            let found = query_one(db, "PRAGMA integrity_check(1)", [], |row| {
                Ok(row.get::<_, String>(0)?)
            })?;
            match found.as_deref() {
                Some("ok") => Ok(()),
                other => Err(Fault::unreadable("page", other.unwrap_or("no answer"))),
            }
        })
    }
}

/// Counts one wake-up, as part of a transaction.
pub(super) fn bump(db: &Connection) -> Result<(), Fault> {
    match db
        .prepare_cached("UPDATE wake SET counter = counter + 1")?
        .execute([])?
    {
        1 => Ok(()),
        _ => Err(Fault::new(
            LedgerErrorKind::Corrupt,
            "the wake-up counter is missing",
        )),
    }
}

fn put(db: &Connection, key: &str, value: &str) -> Result<(), Fault> {
    db.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?
        .execute([key, value])?;
    Ok(())
}
