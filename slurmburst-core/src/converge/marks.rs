//! The mark that a node gets which cannot come up.

use crate::error::{Error, ErrorKind};
use crate::hostlist::NodeName;
use crate::ledger::{Mark, MarkStep};
use crate::provider::Generation;
use crate::site::CoolOff;

use super::millis;
use super::slurm_side::REASON_PREFIX;

/// The mark by which Slurm is told that `node` cannot come up, and why. Where
/// the failure has a cool-off, the node returns to service after it.
pub fn mark_for(
    cool_off: &CoolOff,
    node: &NodeName,
    generation: Generation,
    error: &Error,
    placement: Option<&str>,
    now_ms: i64,
) -> Mark {
    let cool_off = match error.kind() {
        ErrorKind::Capacity => Some(cool_off.capacity),
        kind if kind.has_cool_off() => Some(cool_off.failure),
        _ => None,
    };
    let until_ms = cool_off.map_or(0, |d| now_ms.saturating_add(millis(d)));
    Mark {
        node: node.clone(),
        generation,
        step: MarkStep::Force,
        reason: reason(error, placement, until_ms),
        until_ms,
        kind: error.kind(),
        created_ms: now_ms,
    }
}

/// `slurmburst: <kind> <code> <placement> until <time>`, in one line and short
/// enough for every column that shows it.
fn reason(error: &Error, placement: Option<&str>, until_ms: i64) -> String {
    let mut text = format!("{REASON_PREFIX}{}", error.kind());
    for part in [error.cloud_code(), placement].into_iter().flatten() {
        text.push(' ');
        text.extend(
            part.chars()
                .filter(|c| !c.is_control() && *c != '"')
                .take(80),
        );
    }
    if until_ms > 0
        && let Ok(at) = jiff::Timestamp::from_millisecond(until_ms)
    {
        let local = at.to_zoned(jiff::tz::TimeZone::system());
        text.push_str(&local.strftime(" until %Y-%m-%dT%H:%M:%S").to_string());
    }
    text
}
