//! [`SlurmControl`]: what the converger asks Slurm and tells it.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;

use async_trait::async_trait;

use super::node_state::NodeState;
use crate::hostlist::NodeName;

/// Asks slurmctld about nodes and changes them.
#[async_trait]
pub trait SlurmControl: fmt::Debug + Send + Sync + 'static {
    /// What Slurm says of these nodes.
    ///
    /// A node that Slurm does not show is absent from the map, and nothing
    /// more is known of it. For [`Which::All`] the map is never empty.
    ///
    /// # Errors
    /// When there is no answer, or none that can be trusted: then nothing at
    /// all may be concluded from it.
    async fn nodes(&self, which: Which<'_>) -> Result<BTreeMap<NodeName, SlurmNode>, SlurmError>;

    /// Changes these nodes. Each is in exactly one of the groups returned.
    ///
    /// A refused group may have been changed in part: Slurm changes what it
    /// can and gives one answer for all. Ask [`nodes`](SlurmControl::nodes).
    async fn update(&self, nodes: &[NodeName], change: &Change) -> Updates;

    /// Which controller acts.
    ///
    /// # Errors
    /// When no controller is up, or none that can be read from the answer.
    async fn ping(&self) -> Result<Acting, SlurmError>;

    /// Slurm's version.
    ///
    /// # Errors
    /// When it cannot be asked, or answers something else.
    async fn version(&self) -> Result<SlurmVersion, SlurmError>;
}

/// The answer to [`SlurmControl::update`]: groups of nodes that share a result.
pub type Updates = Vec<(Vec<NodeName>, Result<(), SlurmError>)>;

/// Which nodes are asked for.
#[derive(Debug, Clone, Copy)]
pub enum Which<'a> {
    /// Every node that Slurm shows.
    All,
    /// These.
    Some(&'a [NodeName]),
}

/// A change to nodes, as `scontrol update` knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// `state=power_down_force`: requeue its jobs and power it down.
    PowerDownForce,
    /// `state=down`. On a node that powers up, only after POWERING_DOWN shows
    /// does the mark last.
    Down {
        /// What `Reason=` will say. Control characters become spaces.
        reason: String,
    },
    /// `state=resume`: back to service.
    Resume,
    /// `state=power_up`.
    PowerUp,
    /// `nodeaddr=`: an address for each node, in the order of the nodes.
    Addresses(Vec<String>),
}

/// What Slurm says of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlurmNode {
    /// Its state.
    pub state: NodeState,
    /// Why it is down or drained.
    pub reason: Option<Reason>,
    /// Where Slurm reaches it.
    pub addr: Option<String>,
    /// The name it has for itself.
    pub hostname: Option<String>,
    /// When it was booted, in milliseconds since 1970. Stays after power-down.
    pub boot_ms: Option<i64>,
    /// When its slurmd was started, in milliseconds since 1970.
    pub slurmd_start_ms: Option<i64>,
    /// When it last had a job, in milliseconds since 1970.
    pub last_busy_ms: Option<i64>,
}

impl SlurmNode {
    /// A node of which only the state is known.
    #[must_use]
    pub fn new(state: NodeState) -> SlurmNode {
        SlurmNode {
            state,
            reason: None,
            addr: None,
            hostname: None,
            boot_ms: None,
            slurmd_start_ms: None,
            last_busy_ms: None,
        }
    }
}

/// The text of `Reason=` and who set it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The text, without who and when.
    pub text: String,
    /// The user, by name or number.
    pub by: Option<String>,
    /// When, in milliseconds since 1970.
    pub at_ms: Option<i64>,
}

/// The controller that acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acting {
    /// `primary`, `backup` or `backup2`, as Slurm says it.
    pub role: String,
    /// Its name in slurm.conf.
    pub host: String,
    /// Whether that is this host.
    pub is_this_host: bool,
}

/// Slurm's version, `24.11.5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlurmVersion {
    /// The year, two digits.
    pub major: u32,
    /// The month.
    pub minor: u32,
    /// The release of that month's version.
    pub patch: u32,
}

impl fmt::Display for SlurmVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}.{}", self.major, self.minor, self.patch)
    }
}

/// What kind of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SlurmErrorKind {
    /// `scontrol` could not be started.
    NotRunnable,
    /// No answer within the time limit.
    Timeout,
    /// slurmctld was not reached.
    Unreachable,
    /// Slurm said no.
    Refused,
    /// Slurm does not know the node, or does not show it.
    NoSuchNode,
    /// Slurm showed no node at all: hidden, or not asked the right one.
    Empty,
    /// An answer that cannot be read.
    Garbage,
    /// A longer answer than is read.
    TooLong,
    /// It was asked something that cannot be asked; nothing was sent.
    Invalid,
}

impl SlurmErrorKind {
    /// The word used in logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            SlurmErrorKind::NotRunnable => "not-runnable",
            SlurmErrorKind::Timeout => "timeout",
            SlurmErrorKind::Unreachable => "unreachable",
            SlurmErrorKind::Refused => "refused",
            SlurmErrorKind::NoSuchNode => "no-such-node",
            SlurmErrorKind::Empty => "empty",
            SlurmErrorKind::Garbage => "garbage",
            SlurmErrorKind::TooLong => "too-long",
            SlurmErrorKind::Invalid => "invalid",
        }
    }

    fn advice(self) -> &'static str {
        match self {
            SlurmErrorKind::NotRunnable => "set `scontrol` in the [slurm] part of the site file",
            SlurmErrorKind::Timeout | SlurmErrorKind::Unreachable => {
                "see that slurmctld and munge run and slurm.conf can be read; the next pass asks again"
            }
            SlurmErrorKind::Refused => {
                "run the command by hand as the SlurmUser; the log of slurmctld says more"
            }
            SlurmErrorKind::NoSuchNode => {
                "see that slurm.conf has the node, and PrivateData=cloud, without which old versions hide it"
            }
            SlurmErrorKind::Empty => {
                "see that slurm.conf has nodes, and PrivateData=cloud, without which old versions hide those that are powered down"
            }
            SlurmErrorKind::Garbage | SlurmErrorKind::TooLong => {
                "see what the command prints by hand, and that `scontrol` is Slurm's own"
            }
            SlurmErrorKind::Invalid => "nothing was sent to Slurm",
        }
    }
}

impl fmt::Display for SlurmErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Slurm gave no answer that can be used. `Display` says what was asked, what
/// happened and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlurmError {
    kind: SlurmErrorKind,
    message: String,
}

impl SlurmError {
    /// An error of this kind.
    pub fn new(kind: SlurmErrorKind, message: impl Into<String>) -> SlurmError {
        SlurmError {
            kind,
            message: message.into(),
        }
    }

    /// What kind of failure it was.
    #[must_use]
    pub fn kind(&self) -> SlurmErrorKind {
        self.kind
    }

    /// What happened, without the advice.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The same error, with what was being done in front.
    #[must_use]
    pub fn during(mut self, what: &str) -> SlurmError {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

impl fmt::Display for SlurmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.message, self.kind.advice())
    }
}

impl StdError for SlurmError {}
