//! What the ledger holds, as plain values.

use serde::{Deserialize, Serialize};

use crate::error::{Effect, Error, ErrorKind};
use crate::hostlist::NodeName;
use crate::provider::{Call, Direction, DownMode, Generation, Lifecycle, Pending};

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Program {
    /// ResumeProgram.
    Resume,
    /// SuspendProgram.
    Suspend,
    /// ResumeFailProgram.
    ResumeFail,
    /// The reconcile pass, or a person through the operator's command.
    Reconcile,
}

impl Program {
    /// The word used in the log, in the ledger and in the program's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Program::Resume => "resume",
            Program::Suspend => "suspend",
            Program::ResumeFail => "resume-fail",
            Program::Reconcile => "reconcile",
        }
    }
}

/// A wish to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWish {
    /// The node.
    pub node: NodeName,
    /// Up or down.
    pub direction: Direction,
    /// When it must have happened, in milliseconds since 1970.
    pub deadline_ms: i64,
    /// Who asks.
    pub program: Program,
}

/// The newest wish for a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    /// The node.
    pub node: NodeName,
    /// Which wish this is.
    pub generation: Generation,
    /// The generation of the newest wish *down*; instances of this generation
    /// or older serve no wish up. Zero where there never was one.
    pub floor: Generation,
    /// Up or down.
    pub direction: Direction,
    /// When it must have happened, in milliseconds since 1970.
    pub deadline_ms: i64,
    /// When it was recorded.
    pub created_ms: i64,
    /// Who asked.
    pub program: Program,
    /// How it ended, once it has.
    pub settled: Option<Settled>,
}

/// How a wish ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// As it was wished, or why not.
    pub result: Result<(), Error>,
}

/// What is known of the effect of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum AttemptState {
    /// It may or may not have been sent, or acted.
    Unknown,
    /// The cloud is at it.
    Accepted(Pending),
    /// It did what it should.
    Done,
    /// It certainly did nothing, and why.
    Refused(Error),
    /// What it had made is gone again, or it is certain that it made nothing.
    Closed,
}

impl AttemptState {
    /// Whether there is, or may be, an instance behind it.
    pub fn is_live(&self) -> bool {
        matches!(
            self,
            AttemptState::Unknown | AttemptState::Accepted(_) | AttemptState::Done
        )
    }
}

/// One try to bring a node up or down.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Its row.
    pub id: i64,
    /// The node.
    pub node: NodeName,
    /// The wish that it serves.
    pub generation: Generation,
    /// Up or down.
    pub direction: Direction,
    /// The provider's name in the site file.
    pub provider: String,
    /// The placement's name; empty for a power-down.
    pub placement: String,
    /// Whether there will be an instance to delete or to deallocate.
    pub lifecycle: Lifecycle,
    /// The stored call; empty for a power-down.
    pub call: String,
    /// What is known of it.
    pub state: AttemptState,
    /// The cloud's id of the instance, when known.
    pub instance: Option<String>,
    /// For a power-down, how.
    pub mode: Option<DownMode>,
    /// When it was recorded, in milliseconds since 1970.
    pub started_ms: i64,
    /// When it last changed.
    pub updated_ms: i64,
}

/// A power-up to be recorded before it is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct NewCall {
    /// The call, complete with id and token.
    pub call: Call,
}

/// A power-down to be recorded before it is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDown {
    /// The node.
    pub node: NodeName,
    /// The wish.
    pub generation: Generation,
    /// The provider's name in the site file.
    pub provider: String,
    /// The instance, when known.
    pub instance: Option<String>,
    /// How.
    pub mode: DownMode,
}

/// How far telling Slurm about a node has come. The order is the one that
/// every Slurm measured accepts; any other leaves the node stuck or loses the mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MarkStep {
    /// `power_down_force` is to be sent.
    Force,
    /// Sent; POWERING_DOWN or POWERED_DOWN has not shown yet.
    Await,
    /// `state=down reason=...` has been sent, or the node is DOWN by Slurm's
    /// own doing; `state=resume` is due at `until_ms`.
    Hold,
}

/// A node that Slurm is being told about, or that is out of service by our doing.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// The node.
    pub node: NodeName,
    /// The wish that failed; a newer wish *up* ends the mark.
    pub generation: Generation,
    /// How far it has come.
    pub step: MarkStep,
    /// `Reason=` in Slurm, beginning with `slurmburst: `.
    pub reason: String,
    /// When the node returns to service, in milliseconds since 1970; 0 where it
    /// needs no `state=down` at all.
    pub until_ms: i64,
    /// What failed.
    pub kind: ErrorKind,
    /// When the mark was made.
    pub created_ms: i64,
}

/// Something that happened to a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// The node.
    pub node: NodeName,
    /// The wish that was served, where one was.
    pub generation: Option<Generation>,
    /// What, in a word: `wish-up`, `power-up`, `accepted`, `done`, `failed`, ...
    pub what: String,
    /// The placement's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<String>,
    /// The call's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// The cloud's request id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// How long it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<i64>,
    /// Anything else worth reading.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What the ledger stores of an [`Error`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredError {
    /// Its kind.
    pub kind: ErrorKind,
    /// Whether it may have acted.
    pub effect: Effect,
    /// Its message.
    pub message: String,
    /// The cloud's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The cloud's request id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl From<&Error> for StoredError {
    fn from(e: &Error) -> StoredError {
        StoredError {
            kind: e.kind(),
            effect: e.may_have_acted(),
            message: e.message().to_owned(),
            code: e.cloud_code().map(str::to_owned),
            request_id: e.cloud_request_id().map(str::to_owned),
        }
    }
}

impl From<StoredError> for Error {
    fn from(s: StoredError) -> Error {
        let mut e = Error::new(s.kind, s.message).effect(s.effect);
        if let Some(code) = s.code {
            e = e.code(code);
        }
        if let Some(id) = s.request_id {
            e = e.request_id(id);
        }
        e
    }
}
