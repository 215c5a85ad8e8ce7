//! [`NodeState`]: what Slurm prints after `State=`.

use std::fmt;

/// Makes an enum of Slurm's words, with a place for words not known here.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
            /// A word that is not known here, as it was written.
            Other(Box<str>),
        }

        impl $name {
            /// The word as Slurm prints it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $($name::$variant => $word,)*
                    $name::Other(word) => word,
                }
            }

            fn from_word(word: &str) -> $name {
                $(if word.eq_ignore_ascii_case($word) {
                    return $name::$variant;
                })*
                $name::Other(word.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// The first word of a node's state.
    Base {
        /// Slurm does not know yet, or nothing was said.
        Unknown = "UNKNOWN",
        /// Out of use: set so, or it did not answer.
        Down = "DOWN",
        /// No job on it.
        Idle = "IDLE",
        /// All of it is used.
        Allocated = "ALLOCATED",
        /// Some of it is used.
        Mixed = "MIXED",
        /// An error state of old versions.
        Error = "ERROR",
        /// Configured, but not existing yet.
        Future = "FUTURE",
    }
}

words! {
    /// What stands after the first word, with a `+` before each.
    Flag {
        /// Part of a reserved block that the topology keeps free.
        Blocked = "BLOCKED",
        /// Defined with `State=CLOUD`.
        Cloud = "CLOUD",
        /// A job on it is ending.
        Completing = "COMPLETING",
        /// No new jobs.
        Drain = "DRAIN",
        /// A dynamic node that has a FUTURE definition.
        DynamicFuture = "DYNAMIC_FUTURE",
        /// A dynamic node.
        DynamicNorm = "DYNAMIC_NORM",
        /// Expected to fail.
        Fail = "FAIL",
        /// It registered with less than is configured.
        InvalidReg = "INVALID_REG",
        /// In a maintenance reservation.
        Maintenance = "MAINTENANCE",
        /// slurmd does not answer.
        NotResponding = "NOT_RESPONDING",
        /// Its counters are in use.
        PerfCtrs = "PERFCTRS",
        /// Held for a job that comes.
        Planned = "PLANNED",
        /// To be powered down.
        PowerDown = "POWER_DOWN",
        /// To be powered down once its jobs are done.
        PowerDrain = "POWER_DRAIN",
        /// Powered down.
        PoweredDown = "POWERED_DOWN",
        /// SuspendProgram was called, SuspendTimeout has not passed.
        PoweringDown = "POWERING_DOWN",
        /// ResumeProgram was called, the node has not registered.
        PoweringUp = "POWERING_UP",
        /// To be powered up.
        PowerUp = "POWER_UP",
        /// A reboot was asked for and taken back.
        RebootCanceled = "REBOOT_CANCELED",
        /// It reboots.
        RebootIssued = "REBOOT_ISSUED",
        /// It will reboot when idle.
        RebootRequested = "REBOOT_REQUESTED",
        /// In a reservation.
        Reserved = "RESERVED",
        /// A drain is taken back.
        Undrain = "UNDRAIN",
    }
}

/// A node's state: a base and any number of flags, in the order in which they
/// were printed. It only says what Slurm says; what to do about it is decided
/// elsewhere.
///
/// Words that are not known here are kept, so `Display` gives back what was
/// read. The marks that other forms put behind a word (`DOWN*`, `IDLE~`)
/// become the flags that they stand for.
///
/// ```
/// use slurmburst_core::slurm::node_state::NodeState;
///
/// let state = NodeState::parse("IDLE+CLOUD+POWERED_DOWN");
/// assert!(state.is_cloud() && state.is_powered_down() && !state.is_down());
/// assert_eq!(state.to_string(), "IDLE+CLOUD+POWERED_DOWN");
/// assert_eq!(NodeState::parse("down*").to_string(), "DOWN+NOT_RESPONDING");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NodeState {
    base: Base,
    flags: Vec<Flag>,
}

impl NodeState {
    /// A state of these. A flag given twice counts once.
    pub fn new(base: Base, flags: impl IntoIterator<Item = Flag>) -> NodeState {
        let mut state = NodeState {
            base,
            flags: Vec::new(),
        };
        for flag in flags {
            state.insert(flag);
        }
        state
    }

    /// Reads `BASE+FLAG+FLAG`. There is no wrong text: an empty one is
    /// `UNKNOWN`, and words not known here say nothing.
    #[must_use]
    pub fn parse(text: &str) -> NodeState {
        let mut state = NodeState {
            base: Base::Unknown,
            flags: Vec::new(),
        };
        for (at, part) in text.split('+').enumerate() {
            let part = part.trim_start();
            let word = part.trim_end_matches(|c: char| c.is_whitespace() || mark(c).is_some());
            if at == 0 && !word.is_empty() {
                state.base = Base::from_word(word);
            } else if !word.is_empty() {
                state.insert(Flag::from_word(word));
            }
            for flag in part[word.len()..].chars().filter_map(mark) {
                state.insert(flag);
            }
        }
        state
    }

    /// The base state.
    #[must_use]
    pub fn base(&self) -> &Base {
        &self.base
    }

    /// The flags, in the order printed.
    #[must_use]
    pub fn flags(&self) -> &[Flag] {
        &self.flags
    }

    /// Whether it has this flag.
    #[must_use]
    pub fn has(&self, flag: &Flag) -> bool {
        self.flags.contains(flag)
    }

    /// Sets the base state.
    pub fn set_base(&mut self, base: Base) {
        self.base = base;
    }

    /// Adds a flag, unless it is there.
    pub fn insert(&mut self, flag: Flag) {
        if !self.has(&flag) {
            self.flags.push(flag);
        }
    }

    /// Takes a flag away.
    pub fn remove(&mut self, flag: &Flag) {
        self.flags.retain(|f| f != flag);
    }

    /// `POWERED_DOWN`: off, as far as Slurm is concerned.
    #[must_use]
    pub fn is_powered_down(&self) -> bool {
        self.has(&Flag::PoweredDown)
    }

    /// `POWERING_UP`: ResumeProgram was called and the node is awaited.
    #[must_use]
    pub fn is_powering_up(&self) -> bool {
        self.has(&Flag::PoweringUp)
    }

    /// `POWERING_DOWN`: SuspendProgram was called, SuspendTimeout has not passed.
    #[must_use]
    pub fn is_powering_down(&self) -> bool {
        self.has(&Flag::PoweringDown)
    }

    /// `POWER_UP`: ResumeProgram will be called.
    #[must_use]
    pub fn is_power_up_requested(&self) -> bool {
        self.has(&Flag::PowerUp)
    }

    /// `POWER_DOWN`: SuspendProgram will be called.
    #[must_use]
    pub fn is_power_down_requested(&self) -> bool {
        self.has(&Flag::PowerDown)
    }

    /// The base is `DOWN`.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.base == Base::Down
    }

    /// `DRAIN`.
    #[must_use]
    pub fn is_drain(&self) -> bool {
        self.has(&Flag::Drain)
    }

    /// `FAIL`.
    #[must_use]
    pub fn is_fail(&self) -> bool {
        self.has(&Flag::Fail)
    }

    /// `NOT_RESPONDING`.
    #[must_use]
    pub fn is_not_responding(&self) -> bool {
        self.has(&Flag::NotResponding)
    }

    /// `CLOUD`.
    #[must_use]
    pub fn is_cloud(&self) -> bool {
        self.has(&Flag::Cloud)
    }

    /// The base is `ALLOCATED` or `MIXED`: a job is on it or placed on it.
    #[must_use]
    pub fn is_allocated_or_mixed(&self) -> bool {
        matches!(self.base, Base::Allocated | Base::Mixed)
    }
}

/// The flag that a mark behind a word stands for.
fn mark(c: char) -> Option<Flag> {
    Some(match c {
        '*' => Flag::NotResponding,
        '~' => Flag::PoweredDown,
        '#' => Flag::PoweringUp,
        '!' => Flag::PowerDown,
        '%' => Flag::PoweringDown,
        '$' => Flag::Maintenance,
        '@' => Flag::RebootRequested,
        '^' => Flag::RebootIssued,
        '-' => Flag::Planned,
        _ => return None,
    })
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.base.as_str())?;
        self.flags.iter().try_for_each(|flag| write!(f, "+{flag}"))
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for NodeState {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for NodeState {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<NodeState, D::Error> {
        <String as serde::Deserialize>::deserialize(deserializer).map(|s| NodeState::parse(&s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_slurm_prints_is_read_and_printed_back() {
        for text in [
            "IDLE+CLOUD+POWERED_DOWN",
            "IDLE+CLOUD+POWER_UP+POWERED_DOWN",
            "MIXED+CLOUD+NOT_RESPONDING+POWERING_UP",
            "MIXED+CLOUD+DRAIN+POWER_DOWN",
            "DOWN+CLOUD+POWERED_DOWN+NOT_RESPONDING",
            "IDLE+CLOUD+BRAND_NEW",
            "STRANGE+CLOUD",
        ] {
            assert_eq!(NodeState::parse(text).to_string(), text);
        }
    }

    #[test]
    fn predicates_see_their_own_flag_only() {
        let s = NodeState::parse("MIXED+CLOUD+NOT_RESPONDING+POWERING_UP");
        assert!(s.is_powering_up() && s.is_not_responding() && s.is_cloud());
        assert!(s.is_allocated_or_mixed());
        assert!(!s.is_power_up_requested() && !s.is_powering_down() && !s.is_powered_down());
        let s = NodeState::parse("IDLE+CLOUD+POWER_DOWN");
        assert!(s.is_power_down_requested() && !s.is_powering_down() && !s.is_powered_down());
        let s = NodeState::parse("DOWN+DRAIN+FAIL");
        assert!(s.is_down() && s.is_drain() && s.is_fail() && !s.is_cloud());
    }

    #[test]
    fn marks_are_flags() {
        let s = NodeState::parse("DOWN*+DRAIN");
        assert!(s.is_down() && s.is_drain() && s.is_not_responding());
        assert!(NodeState::parse("idle~").is_powered_down());
        assert!(NodeState::parse("IDLE~+POWERED_DOWN").flags().len() == 1);
        assert_eq!(NodeState::parse("").base(), &Base::Unknown);
        assert_eq!(NodeState::parse("*").to_string(), "UNKNOWN+NOT_RESPONDING");
    }

    #[cfg(feature = "provider")]
    #[test]
    fn it_is_a_string_in_json() {
        let state = NodeState::parse("IDLE+CLOUD");
        let json = serde_json::to_string(&state).unwrap();
        assert_eq!(json, "\"IDLE+CLOUD\"");
        assert_eq!(serde_json::from_str::<NodeState>(&json).unwrap(), state);
    }

    proptest! {
        #[test]
        fn any_text_is_read_and_the_printed_form_means_the_same(text in "\\PC{0,40}") {
            let state = NodeState::parse(&text);
            prop_assert_eq!(NodeState::parse(&state.to_string()), state);
        }

        #[test]
        fn any_slurm_like_text_round_trips(text in "[A-Za-z_*~#!%$@^+ \\-]{0,40}") {
            let state = NodeState::parse(&text);
            prop_assert_eq!(NodeState::parse(&state.to_string()), state);
        }
    }
}
