//! [`Lease`]: who may act. One converger per cluster holds it.
//!
//! The lock is what counts: the system frees it when the holder dies, however
//! it dies. What the ledger says of the holder is for people to read.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::params;

use super::Ledger;
use super::codec::query_one;
use super::error::{Fault, LedgerError, LedgerErrorKind, Result};

/// The lock's file in `state_dir`.
const LOCK_NAME: &str = "converger.lock";

/// The right to act for this cluster, until it is dropped or the process dies.
#[derive(Debug)]
pub struct Lease {
    lock: File,
    path: PathBuf,
}

impl Lease {
    /// Takes the lease, or answers `None` where somebody holds it.
    ///
    /// Whoever lets go of it looks at [`Ledger::wake_counter`] once more
    /// afterwards: a wish that was left for the holder may have come just then.
    ///
    /// # Errors
    /// The lock's file cannot be made or locked.
    pub fn try_acquire(dir: &Path) -> Result<Option<Lease>> {
        let path = dir.join(LOCK_NAME);
        let fault = |fault| LedgerError::new(&path, "taking the lease", fault);
        let lock = OpenOptions::new()
            .write(true)
            .read(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|e| fault(Fault::io(&e)))?;
        // Who merely asks (`is_held`) shares the lock for a moment. That must
        // not be taken for a holder, or nobody would serve the wish.
        for _ in 0..500 {
            match lock.try_lock() {
                Ok(()) => return Ok(Some(Lease { lock, path })),
                Err(TryLockError::Error(e)) => return Err(fault(Fault::io(&e))),
                Err(TryLockError::WouldBlock) => {}
            }
            if !can_share(&lock).map_err(fault)? {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Err(fault(Fault::new(
            LedgerErrorKind::Busy,
            "somebody keeps asking who holds it; try again",
        )))
    }

    /// Whether somebody holds the lease. A file that cannot be opened is held by nobody.
    pub fn is_held(dir: &Path) -> bool {
        File::open(dir.join(LOCK_NAME)).is_ok_and(|lock| matches!(can_share(&lock), Ok(false)))
    }

    /// Whether the lock's file is still the one in the folder: in another one
    /// somebody else may hold the lease.
    fn is_in_place(&self) -> Result<bool, Fault> {
        let own = self.lock.metadata().map_err(|e| Fault::io(&e))?;
        let there = std::fs::metadata(&self.path);
        Ok(there.is_ok_and(|there| (there.dev(), there.ino()) == (own.dev(), own.ino())))
    }

    /// The lock's file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether nobody holds the lock alone. Lets go of it again at once.
fn can_share(lock: &File) -> Result<bool, Fault> {
    match lock.try_lock_shared() {
        Ok(()) => {
            lock.unlock().map_err(|e| Fault::io(&e))?;
            Ok(true)
        }
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(e)) => Err(Fault::io(&e)),
    }
}

/// Who held the lease last, by its own word. Whether it still does says
/// [`Lease::is_held`].
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// When it started, in the kernel's clock ticks since boot: with pid and
    /// boot id, which process it is.
    pub start_ticks: u64,
    /// Which boot of which machine.
    pub boot_id: String,
    /// When it first said so, in milliseconds since 1970.
    pub since_ms: i64,
    /// When it last said so.
    pub heartbeat_ms: i64,
}

impl Ledger {
    /// Says that this process holds the lease and is alive.
    ///
    /// # Errors
    /// The file cannot be written, or the folder is another one by now.
    pub fn heartbeat(&mut self, lease: &Lease) -> Result<()> {
        let fault = |fault| LedgerError::new(&lease.path, "keeping the lease", fault);
        if !lease.is_in_place().map_err(fault)? {
            let message = "the folder has been moved or deleted; whoever finds it next goes on";
            return Err(fault(Fault::new(LedgerErrorKind::Io, message)));
        }
        let (pid, start, boot) = (std::process::id(), own_start_ticks(), boot_id());
        self.write("writing the heartbeat", |db, now_ms| {
            db.prepare_cached(
                "INSERT INTO lease (only, pid, start_ticks, boot_id, since_ms, heartbeat_ms)
                 VALUES (1, ?1, ?2, ?3, ?4, ?4)
                 ON CONFLICT (only) DO UPDATE SET
                     since_ms = CASE WHEN (pid, start_ticks, boot_id) = (?1, ?2, ?3)
                                     THEN since_ms ELSE ?4 END,
                     pid = ?1, start_ticks = ?2, boot_id = ?3, heartbeat_ms = ?4",
            )?
            .execute(params![
                pid,
                i64::try_from(start).unwrap_or(0),
                boot,
                now_ms
            ])?;
            Ok(())
        })
    }

    /// Who last said that it holds the lease.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn holder(&self) -> Result<Option<Holder>> {
        self.read("reading the lease", |db| {
            let sql = "SELECT pid, start_ticks, boot_id, since_ms, heartbeat_ms FROM lease";
            query_one(db, sql, [], |row| {
                Ok(Holder {
                    pid: row.get(0)?,
                    start_ticks: u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0),
                    boot_id: row.get(2)?,
                    since_ms: row.get(3)?,
                    heartbeat_ms: row.get(4)?,
                })
            })
        })
    }
}

/// Field 22 of /proc/self/stat; 0 where there is no such file. The second field
/// may hold blanks and brackets, so fields are counted from its end.
fn own_start_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    stat.rsplit_once(')')
        .and_then(|(_, rest)| rest.split_ascii_whitespace().nth(19))
        .and_then(|field| field.parse().ok())
        .unwrap_or(0)
}

fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}
