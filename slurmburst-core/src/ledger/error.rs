//! [`LedgerError`]: what went wrong, with which file, and what to do.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::error::{Effect, Error, ErrorKind};

/// A result whose error is [`LedgerError`].
pub type Result<T, E = LedgerError> = std::result::Result<T, E>;

/// What kind of failure of the ledger it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LedgerErrorKind {
    /// The file is damaged, or is no ledger. It may be moved away.
    Corrupt,
    /// A newer slurmburst wrote the file.
    Newer,
    /// Another process held the file for too long.
    Busy,
    /// The file or its folder cannot be used: permission, space, kind of disk.
    Io,
    /// A node already has a power-up behind which there is or may be a machine.
    LiveAttempt,
    /// What was to be stored, or what is stored, makes no sense.
    Invalid,
}

/// A failure of the ledger. One pointer wide. `Display` names the file, what was
/// being done, what went wrong and what to do.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct LedgerError(Box<Inner>);

#[derive(Debug, thiserror::Error)]
#[error("{file}: {doing}: {message}")]
struct Inner {
    kind: LedgerErrorKind,
    file: String,
    doing: &'static str,
    message: String,
}

impl LedgerError {
    pub(super) fn new(file: &Path, doing: &'static str, fault: Fault) -> LedgerError {
        let Fault { kind, message } = fault;
        LedgerError(Box::new(Inner {
            kind,
            file: file.display().to_string(),
            doing,
            message,
        }))
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> LedgerErrorKind {
        self.0.kind
    }
}

/// Nothing was sent when the books could not be written.
impl From<LedgerError> for Error {
    fn from(e: LedgerError) -> Error {
        let kind = match e.kind() {
            LedgerErrorKind::Busy => ErrorKind::Unavailable,
            LedgerErrorKind::LiveAttempt => ErrorKind::Conflict,
            _ => ErrorKind::Invalid,
        };
        Error::new(kind, e.to_string()).effect(Effect::None)
    }
}

/// A failure before it is known which file it was.
#[derive(Debug)]
pub(super) struct Fault {
    kind: LedgerErrorKind,
    message: String,
}

impl Fault {
    pub(super) fn new(kind: LedgerErrorKind, message: impl Into<String>) -> Fault {
        Fault {
            kind,
            message: message.into(),
        }
    }

    /// Something of the operating system's about the file or its folder.
    pub(super) fn io(e: &std::io::Error) -> Fault {
        Fault::new(
            LedgerErrorKind::Io,
            format!("{e}; the folder must be on a local disk and belong to the SlurmUser"),
        )
    }

    /// A stored value that this version cannot read.
    pub(super) fn unreadable(what: &str, why: impl std::fmt::Display) -> Fault {
        Fault::new(
            LedgerErrorKind::Corrupt,
            format!("a stored {what} cannot be read ({why}); {MOVE_AWAY}"),
        )
    }
}

const MOVE_AWAY: &str = "the file may be moved away, together with those of the same name that \
     end in -wal and -shm: the truth is in the machines' tags and in Slurm, so no machine is lost, \
     only the history";

impl From<rusqlite::Error> for Fault {
    fn from(e: rusqlite::Error) -> Fault {
        let (kind, advice) = match e.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                (LedgerErrorKind::Corrupt, MOVE_AWAY)
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                (LedgerErrorKind::Busy, "another process holds it; try again")
            }
            Some(ErrorCode::DiskFull) => (LedgerErrorKind::Io, "make room on its disk"),
            Some(
                ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::ReadOnly
                | ErrorCode::SystemIoFailure
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::NoLargeFileSupport,
            ) => (
                LedgerErrorKind::Io,
                "the folder must be on a local disk and belong to the SlurmUser",
            ),
            Some(ErrorCode::ConstraintViolation) => (
                LedgerErrorKind::Invalid,
                "nothing was recorded; this is a mistake in slurmburst, please report it",
            ),
            // A table or a column that is not there, a type that is another.
            _ => (LedgerErrorKind::Corrupt, MOVE_AWAY),
        };
        Fault {
            kind,
            message: format!("{e}; {advice}"),
        }
    }
}

impl From<serde_json::Error> for Fault {
    fn from(e: serde_json::Error) -> Fault {
        Fault::unreadable("value", e)
    }
}
