//! What `scontrol` prints, read. Pure: text in, values out.

use std::collections::BTreeMap;

use super::control::{Acting, Reason, SlurmError, SlurmErrorKind, SlurmNode, SlurmVersion};
use super::node_state::NodeState;
use crate::hostlist::NodeName;

/// What `scontrol show node -o` said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shown {
    /// The nodes shown.
    pub nodes: BTreeMap<NodeName, SlurmNode>,
    /// The names of which it said that they are not found, in order.
    pub not_found: Vec<String>,
    /// Whether it said that there are no nodes in the system.
    pub said_no_nodes: bool,
}

/// Reads the output of `scontrol show node -o`, run with `TZ=UTC0`.
///
/// # Errors
/// [`SlurmErrorKind::Garbage`] when a line is neither a node nor a known
/// remark: half an answer is none.
pub fn shown(text: &str) -> Result<Shown, SlurmError> {
    let mut shown = Shown::default();
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty()) {
        if line.starts_with("NodeName=") {
            let (name, node) = node_line(line)?;
            shown.nodes.insert(name, node);
        } else if let Some(name) = line
            .strip_prefix("Node ")
            .and_then(|l| l.strip_suffix(" not found"))
        {
            shown.not_found.push(name.to_owned());
        } else if line.eq_ignore_ascii_case("No nodes in the system") {
            shown.said_no_nodes = true;
        } else {
            return Err(garbage(
                "scontrol show node printed a line that is no node",
                line,
            ));
        }
    }
    Ok(shown)
}

/// Reads one line of `scontrol show node -o`, run with `TZ=UTC0`.
///
/// The line is `Key=value` with spaces between, and some values have spaces
/// themselves. What users can write (`Reason`, `Comment`, `Extra`, in this
/// order) comes after all else, so the first place of a key is the right one.
///
/// # Errors
/// [`SlurmErrorKind::Garbage`] without a good `NodeName` and a `State`.
pub fn node_line(line: &str) -> Result<(NodeName, SlurmNode), SlurmError> {
    let (facts, free) = split_free_text(line);
    let name = value(facts, "NodeName").ok_or_else(|| garbage("a node without a name", line))?;
    let name = NodeName::new(name)
        .map_err(|e| garbage(&format!("a node with a name that is none ({e})"), line))?;
    let state = value(facts, "State")
        .filter(|s| !s.is_empty())
        .ok_or_else(|| garbage(&format!("no state for node {name}"), line))?;
    let owned = |key| {
        value(facts, key)
            .filter(|v| !v.is_empty())
            .map(str::to_owned)
    };
    let time = |key| value(facts, key).and_then(utc_ms);
    let node = SlurmNode {
        state: NodeState::parse(state),
        reason: free.strip_prefix("Reason=").map(reason),
        addr: owned("NodeAddr"),
        hostname: owned("NodeHostName"),
        boot_ms: time("BootTime"),
        slurmd_start_ms: time("SlurmdStartTime"),
        last_busy_ms: time("LastBusyTime"),
    };
    Ok((name, node))
}

/// What Slurm knows, and from where on it is what somebody wrote.
fn split_free_text(line: &str) -> (&str, &str) {
    // The operating system's name, sent by slurmd, comes before; hence not
    // before the state.
    let from = line.find(" State=").unwrap_or(0);
    let rest = &line[from..];
    let free = [" Reason=", " Comment=", " Extra="]
        .iter()
        .filter_map(|k| rest.find(k))
        .min();
    match free {
        Some(at) => (&line[..from + at], line[from + at..].trim_start()),
        None => (line, ""),
    }
}

/// The value of a key, up to the next space.
fn value<'a>(facts: &'a str, key: &str) -> Option<&'a str> {
    facts
        .split(' ')
        .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

/// Reads `text [user@2026-01-02T03:04:05]` and stops there: what comes behind
/// is the reason's second line, or another key.
fn reason(text: &str) -> Reason {
    for (open, _) in text.match_indices(" [") {
        let Some((stamp, _)) = text[open + 2..].split_once(']') else {
            break;
        };
        if let Some((by, at)) = stamp.rsplit_once('@')
            && !by.contains([' ', '['])
            && let Some(at_ms) = utc_ms(at)
        {
            let text = text[..open].to_owned();
            return Reason {
                text,
                by: Some(by.to_owned()),
                at_ms: Some(at_ms),
            };
        }
    }
    let end = [" Comment=", " Extra="]
        .iter()
        .filter_map(|k| text.find(k))
        .min();
    let text = text[..end.unwrap_or(text.len())].trim_end().to_owned();
    Reason {
        text,
        by: None,
        at_ms: None,
    }
}

/// `2026-01-02T03:04:05` as milliseconds since 1970; None for `None`,
/// `Unknown` and anything else.
fn utc_ms(text: &str) -> Option<i64> {
    let time: jiff::civil::DateTime = text.parse().ok()?;
    let at = jiff::tz::TimeZone::UTC.to_timestamp(time).ok()?;
    Some(at.as_millisecond())
}

/// Reads the output of `scontrol ping`. `this_host` is this machine's name.
///
/// The acting controller is the first that is up: a backup takes over only
/// when those before it are gone.
///
/// # Errors
/// [`SlurmErrorKind::Unreachable`] when all are down,
/// [`SlurmErrorKind::Garbage`] when there is nothing to read.
pub fn ping(text: &str, this_host: &str) -> Result<Acting, SlurmError> {
    let controllers: Vec<_> = text.lines().filter_map(ping_line).collect();
    let Some((role, host, _)) = controllers.iter().find(|(_, _, up)| *up) else {
        if controllers.is_empty() {
            return Err(garbage("scontrol ping named no controller", text));
        }
        let down: Vec<_> = controllers
            .iter()
            .map(|(role, host, _)| format!("{host} ({role})"))
            .collect();
        let message = format!("no controller is up: {}", down.join(", "));
        return Err(SlurmError::new(SlurmErrorKind::Unreachable, message));
    };
    let is_this_host = same_host(host, this_host) || (controllers.len() == 1 && is_loopback(host));
    Ok(Acting {
        role: (*role).to_owned(),
        host: (*host).to_owned(),
        is_this_host,
    })
}

/// `Slurmctld(primary) at HOST is UP`: role, host, whether it is up.
fn ping_line(line: &str) -> Option<(&str, &str, bool)> {
    let rest = line.trim().strip_prefix("Slurmctld(")?;
    let (role, rest) = rest.split_once(") at ")?;
    let (host, state) = rest.split_once(" is ")?;
    // A host may come with its address: `ctl1(10.0.0.5)`.
    let host = host.split(['(', ' ']).next().unwrap_or(host);
    Some((
        role,
        host,
        state.split_whitespace().next()?.eq_ignore_ascii_case("UP"),
    ))
}

/// Whether two names mean one host: the same, or one is the short form of the
/// other.
fn same_host(a: &str, b: &str) -> bool {
    let short = |name: &str| {
        name.split('.')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase()
    };
    if a.is_empty() || b.is_empty() || a.parse::<std::net::IpAddr>().is_ok() {
        return false;
    }
    if a.contains('.') && b.contains('.') {
        return a.eq_ignore_ascii_case(b);
    }
    short(a) == short(b)
}

fn is_loopback(host: &str) -> bool {
    let name = host.to_ascii_lowercase();
    name == "localhost"
        || name.starts_with("localhost.")
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

/// Reads `slurm 24.11.5` or `slurm-wlm 22.05.8`.
///
/// # Errors
/// [`SlurmErrorKind::Garbage`] when there is no version in it.
pub fn version(text: &str) -> Result<SlurmVersion, SlurmError> {
    let read = |word: &str| {
        let mut parts = word.splitn(3, '.');
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next()?.parse().ok()?;
        // `0rc1` and `5-1` happen.
        let rest = parts.next().unwrap_or("0");
        let end = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        Some(SlurmVersion {
            major,
            minor,
            patch: rest[..end].parse().ok()?,
        })
    };
    let first = text.lines().next().unwrap_or_default();
    first
        .split_whitespace()
        .find_map(read)
        .ok_or_else(|| garbage("scontrol --version printed no version", text))
}

/// The error for an answer that cannot be read, with its beginning.
fn garbage(what: &str, text: &str) -> SlurmError {
    let shown: String = text
        .chars()
        .take(120)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    SlurmError::new(
        SlurmErrorKind::Garbage,
        format!("{what}: `{}`", shown.trim()),
    )
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
