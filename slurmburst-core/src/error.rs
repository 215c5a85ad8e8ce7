//! What went wrong, and the one place that decides what may be done about it.
//!
//! A backend only *classifies*: it maps what its cloud said to an [`ErrorKind`]
//! and says whether the call may have acted ([`Effect`]). Whether to try again,
//! when, and whether another placement may help follows from those two alone,
//! in [`Error::advice`]. Nothing else in the project decides a retry.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it is. Backends have one table from their cloud's
/// codes to these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum ErrorKind {
    /// The cloud was not reached: no name, no route, refused, TLS. Nothing was sent.
    Connect,
    /// Too many calls. [`Error::retry_after`] says how long to hold the whole call class.
    Throttled,
    /// The cloud answered that it cannot answer (5xx).
    Unavailable,
    /// No answer in time. The call may have acted.
    Timeout,
    /// The cloud has no room for this size here now. Another placement may have.
    Capacity,
    /// This account may not have more of this here.
    Quota,
    /// The credential was refused or lacks a permission.
    Auth,
    /// The request itself is wrong; sending it again changes nothing.
    Invalid,
    /// What the call names does not exist.
    NotFound,
    /// Something else is being done to this node, or its old machine is in the way.
    Conflict,
    /// The provider cannot do this at all.
    Unsupported,
    /// Anything that no table knows. The cloud's own code stays visible.
    Unexpected,
}

impl ErrorKind {
    /// Every kind, for tables and tests.
    pub const ALL: [ErrorKind; 12] = [
        ErrorKind::Connect,
        ErrorKind::Throttled,
        ErrorKind::Unavailable,
        ErrorKind::Timeout,
        ErrorKind::Capacity,
        ErrorKind::Quota,
        ErrorKind::Auth,
        ErrorKind::Invalid,
        ErrorKind::NotFound,
        ErrorKind::Conflict,
        ErrorKind::Unsupported,
        ErrorKind::Unexpected,
    ];

    /// The word used in logs, in the ledger and in Slurm's `Reason=`.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Connect => "connect",
            ErrorKind::Throttled => "throttled",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Capacity => "capacity",
            ErrorKind::Quota => "quota",
            ErrorKind::Auth => "auth",
            ErrorKind::Invalid => "invalid",
            ErrorKind::NotFound => "not-found",
            ErrorKind::Conflict => "conflict",
            ErrorKind::Unsupported => "unsupported",
            ErrorKind::Unexpected => "unexpected",
        }
    }

    /// The kind with this word, if there is one.
    pub fn from_word(word: &str) -> Option<ErrorKind> {
        ErrorKind::ALL.into_iter().find(|k| k.as_str() == word)
    }

    /// Whether, after this failure, the placement and the node are left alone
    /// for a while (the site file says how long), so that a job is not sent
    /// against the same wall again at once.
    pub fn has_cool_off(self) -> bool {
        matches!(
            self,
            ErrorKind::Capacity
                | ErrorKind::Quota
                | ErrorKind::Auth
                | ErrorKind::Invalid
                | ErrorKind::Unsupported
        )
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether the failed call may have done something all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Effect {
    /// It certainly did nothing: never sent, or refused.
    None,
    /// It may have acted: the reply was lost, or late, or unreadable.
    Unknown,
}

/// What may be done about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Doing it again cannot help; a person must act.
    Never,
    /// The same call, under the same token, after this long.
    Retry(Duration),
    /// Not here: another placement may work.
    Elsewhere,
}

/// A failure of a provider's call.
///
/// Cheap to clone. `Display` says what happened, with the cloud's own code;
/// it never holds a secret, because it is logged and stored.
///
/// ```
/// use slurmburst_core::error::{Advice, Error, ErrorKind};
/// use std::time::Duration;
///
/// let e = Error::new(ErrorKind::Throttled, "429 on create")
///     .code("TooManyRequests")
///     .retry_after(Duration::from_secs(7));
/// assert_eq!(e.advice(), Advice::Retry(Duration::from_secs(7)));
/// assert_eq!(e.to_string(), "throttled: 429 on create (TooManyRequests)");
/// assert_eq!(Error::new(ErrorKind::Capacity, "no room").advice(), Advice::Elsewhere);
/// ```
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    effect: Effect,
    message: String,
    code: Option<String>,
    request_id: Option<String>,
    retry_after: Option<Duration>,
    exhausted: bool,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind`. The effect starts as the kind suggests: unknown for
    /// [`ErrorKind::Timeout`], [`ErrorKind::Unavailable`] and
    /// [`ErrorKind::Unexpected`], none otherwise.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        let effect = match kind {
            ErrorKind::Timeout | ErrorKind::Unavailable | ErrorKind::Unexpected => Effect::Unknown,
            _ => Effect::None,
        };
        Error(Box::new(Inner {
            kind,
            effect,
            message: message.into(),
            code: None,
            request_id: None,
            retry_after: None,
            exhausted: false,
            source: None,
        }))
    }

    /// The cloud's own code, verbatim.
    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Error {
        self.0.code = Some(code.into());
        self
    }

    /// The cloud's id of the failed request, for its support.
    #[must_use]
    pub fn request_id(mut self, id: impl Into<String>) -> Error {
        self.0.request_id = Some(id.into());
        self
    }

    /// Overrides whether the call may have acted.
    #[must_use]
    pub fn effect(mut self, effect: Effect) -> Error {
        self.0.effect = effect;
        self
    }

    /// How long the cloud said to wait.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Error {
        self.0.retry_after = Some(after);
        self
    }

    /// The underlying error. Make sure that its text holds no secret.
    #[must_use]
    pub fn source(mut self, source: impl StdError + Send + Sync + 'static) -> Error {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// Marks that retries were made and used up, so that no outer layer retries again.
    #[must_use]
    pub fn exhausted(mut self) -> Error {
        self.0.exhausted = true;
        self
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the call may have acted all the same.
    pub fn may_have_acted(&self) -> Effect {
        self.0.effect
    }

    /// The message without kind and code.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The cloud's own code, if it gave one.
    pub fn cloud_code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The cloud's request id, if it gave one.
    pub fn cloud_request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// How long the cloud said to wait, if it did.
    pub fn delay(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether retries were already used up.
    pub fn is_exhausted(&self) -> bool {
        self.0.exhausted
    }

    /// What may be done. Calls carry a token and are idempotent, so a call whose
    /// effect is unknown is answered by sending the *same* call again.
    pub fn advice(&self) -> Advice {
        let after = |default: u64| self.0.retry_after.unwrap_or(Duration::from_secs(default));
        match (self.0.kind, self.0.effect) {
            (ErrorKind::Connect, _) => Advice::Retry(after(1)),
            (ErrorKind::Throttled, _) => Advice::Retry(after(5)),
            (ErrorKind::Unavailable | ErrorKind::Timeout, _) => Advice::Retry(after(2)),
            (ErrorKind::Conflict, _) => Advice::Retry(after(5)),
            (ErrorKind::Capacity | ErrorKind::Quota, _) => Advice::Elsewhere,
            // Not known what it did: only the same call again can tell.
            (ErrorKind::Unexpected, Effect::Unknown) => Advice::Retry(after(5)),
            (ErrorKind::Unexpected, Effect::None) => Advice::Elsewhere,
            (
                ErrorKind::Auth | ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Unsupported,
                _,
            ) => Advice::Never,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.kind, self.0.message)?;
        if let Some(code) = &self.0.code {
            write!(f, " ({code})")?;
        }
        if let Some(id) = &self.0.request_id {
            write!(f, " [request {id}]")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("effect", &self.0.effect)
            .field("message", &self.0.message)
            .field("code", &self.0.code)
            .field("request_id", &self.0.request_id)
            .field("retry_after", &self.0.retry_after)
            .field("exhausted", &self.0.exhausted)
            .finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_ref()
            .map(|s| &**s as &(dyn StdError + 'static))
    }
}

/// Two errors are equal when they say the same; the source does not count.
impl PartialEq for Error {
    fn eq(&self, other: &Error) -> bool {
        self.0.kind == other.0.kind
            && self.0.effect == other.0.effect
            && self.0.message == other.0.message
            && self.0.code == other.0.code
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_pointer_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }

    #[test]
    fn words_round_trip() {
        for kind in ErrorKind::ALL {
            assert_eq!(ErrorKind::from_word(kind.as_str()), Some(kind));
        }
        assert_eq!(ErrorKind::from_word("no such"), None);
    }

    #[test]
    fn an_unknown_effect_is_never_taken_elsewhere() {
        for kind in ErrorKind::ALL {
            let e = Error::new(kind, "x").effect(Effect::Unknown);
            let capacity = matches!(kind, ErrorKind::Capacity | ErrorKind::Quota);
            assert_eq!(e.advice() == Advice::Elsewhere, capacity, "{kind}");
        }
    }

    #[test]
    fn bad_credentials_are_never_retried() {
        assert_eq!(Error::new(ErrorKind::Auth, "x").advice(), Advice::Never);
    }
}
