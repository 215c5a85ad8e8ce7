//! What is remembered for a while: placements that have nothing, and what was
//! first seen when.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::Ledger;
use super::codec::{error_from, error_json, json_list, query};
use super::error::{Fault, Result};
use crate::error::Error;
use crate::policy::Dry;

impl Ledger {
    /// Remembers that a placement has nothing until then (milliseconds since
    /// 1970), and why. What was said last counts. Forgets what has expired.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_dry(&mut self, placement: &str, error: &Error, until_ms: i64) -> Result<()> {
        self.write("remembering a dry placement", |db, now_ms| {
            put_dry(db, placement, error, until_ms, now_ms)
        })
    }

    /// The placements that have nothing at `now_ms`, by name.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn dry(&self, now_ms: i64) -> Result<BTreeMap<String, Dry>> {
        self.read("reading dry placements", |db| {
            let sql = "SELECT placement, until_ms, error FROM dry WHERE until_ms > ?1";
            let found = query(db, sql, [now_ms], |row| {
                let error = error_from(&row.get::<_, String>(2)?)?;
                Ok((
                    row.get(0)?,
                    Dry {
                        until_ms: row.get(1)?,
                        error,
                    },
                ))
            })?;
            Ok(found.into_iter().collect())
        })
    }

    /// When `key` was first sighted, in milliseconds since 1970: now, unless it
    /// was before.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn sight(&mut self, key: &str, now_ms: i64) -> Result<i64> {
        let first = self.sight_all(&[key.to_owned()], now_ms)?;
        Ok(first.first().copied().unwrap_or(now_ms))
    }

    /// [`Ledger::sight`] for many keys, in order. A time that has not come yet,
    /// because the clock was set back, becomes now.
    ///
    /// # Errors
    /// The file cannot be written; nothing is remembered then.
    pub fn sight_all(&mut self, keys: &[String], now_ms: i64) -> Result<Vec<i64>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        self.write("remembering sightings", |db, _| {
            let mut stmt = db.prepare_cached(
                "INSERT INTO sighting (key, first_ms) VALUES (?1, ?2)
                 ON CONFLICT (key) DO UPDATE SET first_ms = min(first_ms, excluded.first_ms)
                 RETURNING first_ms",
            )?;
            let mut first = Vec::with_capacity(keys.len());
            for key in keys {
                first.push(stmt.query_row(params![key, now_ms], |row| row.get(0))?);
            }
            Ok(first)
        })
    }

    /// What was sighted, and when first.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn sightings(&self) -> Result<BTreeMap<String, i64>> {
        self.read("reading sightings", |db| {
            let found = query(db, "SELECT key, first_ms FROM sighting", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
            Ok(found.into_iter().collect())
        })
    }

    /// Forgets every sighting but these. Answers how many were forgotten.
    ///
    /// # Errors
    /// The file cannot be written; nothing is forgotten then.
    pub fn forget_sightings_except(&mut self, keys: &[String]) -> Result<usize> {
        self.write("forgetting sightings", |db, _| {
            let keep = json_list(keys.iter().map(String::as_str))?;
            let sql = "DELETE FROM sighting WHERE key NOT IN (SELECT value FROM json_each(?1))";
            Ok(db.prepare_cached(sql)?.execute([keep])?)
        })
    }
}

/// See [`Ledger::set_dry`].
pub(super) fn put_dry(
    db: &Connection,
    placement: &str,
    error: &Error,
    until_ms: i64,
    now_ms: i64,
) -> Result<(), Fault> {
    db.prepare_cached("DELETE FROM dry WHERE until_ms <= ?1")?
        .execute([now_ms])?;
    db.prepare_cached(
        "INSERT OR REPLACE INTO dry (placement, until_ms, error) VALUES (?1, ?2, ?3)",
    )?
    .execute(params![placement, until_ms, error_json(error)?])?;
    Ok(())
}
