//! Rate limits that outlive the process: [`BucketStore`] over the ledger's file.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior, params};

use super::codec::query_one;
use super::error::{Fault, LedgerError, Result};
use super::{Ledger, connect};
use crate::bucket::{Bucket, BucketKey, BucketStore};
use crate::error::Error;

/// How often the file is written at most.
const WRITE_EVERY: Duration = Duration::from_millis(100);

/// How long a write waits for another process's: not long, the next one catches up.
const WAIT: Duration = Duration::from_millis(50);

impl Ledger {
    /// The rate limits of this file, over a connection of their own. Keep one
    /// for the process: several do not see each other's reservations at once.
    ///
    /// They are reckoned in memory and written at most every 100 ms and when
    /// dropped, without waiting for the disk. So a process that is killed
    /// forgets at most what it reserved in its last 100 ms of reserving; and a
    /// write that fails is tried again with the next one.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn buckets(&self) -> Result<Arc<dyn BucketStore>> {
        match &self.in_memory {
            Some(buckets) => Ok(Arc::clone(buckets) as Arc<dyn BucketStore>),
            None => Ok(Arc::new(LedgerBuckets::open(&self.path)?)),
        }
    }
}

/// See [`Ledger::buckets`].
pub(super) struct LedgerBuckets {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    conn: Connection,
    buckets: HashMap<BucketKey, Bucket>,
    unwritten: HashSet<BucketKey>,
    written_at: Option<Instant>,
}

impl LedgerBuckets {
    pub(super) fn open(path: &Path) -> Result<LedgerBuckets> {
        let open = || -> Result<Connection, Fault> {
            let conn = connect(path, "NORMAL")?;
            conn.busy_timeout(WAIT)?;
            Ok(conn)
        };
        let conn = open().map_err(|f| LedgerError::new(path, "opening the rate limits", f))?;
        let state = State {
            conn,
            buckets: HashMap::new(),
            unwritten: HashSet::new(),
            written_at: None,
        };
        Ok(LedgerBuckets {
            path: path.to_owned(),
            state: Mutex::new(state),
        })
    }

    /// Buckets are plain numbers: whoever panicked left them usable.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Changes a bucket, which is read from the file at its first use.
    fn change<T>(
        &mut self,
        key: &BucketKey,
        change: impl FnOnce(&mut Bucket) -> T,
    ) -> Result<T, Fault> {
        if !self.buckets.contains_key(key) {
            let stored = load(&self.conn, key)?.unwrap_or_else(Bucket::full);
            self.buckets.insert(key.clone(), stored);
        }
        let bucket = self.buckets.entry(key.clone()).or_insert_with(Bucket::full);
        let result = change(bucket);
        if !self.unwritten.contains(key) {
            self.unwritten.insert(key.clone());
        }
        if self.written_at.is_none_or(|at| at.elapsed() >= WRITE_EVERY) {
            self.write();
        }
        Ok(result)
    }

    /// Writes what changed. What fails stays for the next time.
    fn write(&mut self) {
        self.written_at = Some(Instant::now());
        if self.store().is_ok() {
            self.unwritten.clear();
        }
    }

    fn store(&mut self) -> Result<(), Fault> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        let tx = self
            .conn
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut stmt = tx.prepare_cached(
                "INSERT OR REPLACE INTO bucket
                     (kind, principal, class, tokens, at_ms, blocked_ms, left_tokens, seen_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?;
            for key in &self.unwritten {
                let Some(b) = self.buckets.get(key) else {
                    continue;
                };
                stmt.execute(params![
                    key.kind,
                    key.principal,
                    key.class,
                    b.tokens,
                    b.at_ms,
                    b.blocked_ms,
                    b.left,
                    b.seen_ms,
                ])?;
            }
        }
        tx.commit()?;
        Ok(())
    }
}

fn load(conn: &Connection, key: &BucketKey) -> Result<Option<Bucket>, Fault> {
    let sql = "SELECT tokens, at_ms, blocked_ms, left_tokens, seen_ms FROM bucket
               WHERE kind = ?1 AND principal = ?2 AND class = ?3";
    query_one(
        conn,
        sql,
        params![key.kind, key.principal, key.class],
        |row| {
            Ok(Bucket {
                tokens: row.get(0)?,
                at_ms: row.get(1)?,
                blocked_ms: row.get(2)?,
                left: row.get(3)?,
                seen_ms: row.get(4)?,
            })
        },
    )
}

impl BucketStore for LedgerBuckets {
    fn reserve(
        &self,
        key: &BucketKey,
        burst: f64,
        per_second: f64,
        tokens: f64,
        now_ms: i64,
    ) -> Result<Duration, Error> {
        self.state()
            .change(key, |bucket| {
                bucket.reserve(burst, per_second, tokens, now_ms)
            })
            .map_err(|fault| LedgerError::new(&self.path, "reading a rate limit", fault))?
    }

    fn refund(&self, key: &BucketKey, tokens: f64) {
        // What cannot be read was not reserved either.
        let _ = self.state().change(key, |bucket| bucket.refund(tokens));
    }

    fn throttled(&self, key: &BucketKey, until_ms: i64, remaining: Option<f64>) {
        let _ = self
            .state()
            .change(key, |bucket| bucket.throttled(until_ms, remaining));
    }
}

impl Drop for LedgerBuckets {
    fn drop(&mut self) {
        self.state().write();
    }
}

impl fmt::Debug for LedgerBuckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerBuckets")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
