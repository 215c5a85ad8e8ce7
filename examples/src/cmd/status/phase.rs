//! What slurmburst is doing about a node, in a word.

use slurmburst::ledger::{Attempt, AttemptState, Wish};
use slurmburst::provider::Direction;

/// The word. Documented in `status --help` and docs/json.md.
pub(super) fn phase(wish: Option<&Wish>, attempts: &[Attempt]) -> &'static str {
    let Some(wish) = wish else { return "-" };
    let up = wish.direction == Direction::Up;
    if let Some(settled) = &wish.settled {
        return match (up, settled.result.is_ok()) {
            (true, true) => "up",
            (true, false) => "failed",
            (false, true) => "down",
            (false, false) => "down-failed",
        };
    }
    let mine = attempts.iter().rfind(|a| a.direction == wish.direction);
    match (up, mine.map(|a| &a.state)) {
        (true, Some(AttemptState::Unknown)) => "sent-up",
        (false, Some(AttemptState::Unknown)) => "sent-down",
        (true, Some(AttemptState::Accepted(_) | AttemptState::Done)) => "powering-up",
        (false, Some(AttemptState::Accepted(_) | AttemptState::Done)) => "powering-down",
        (true, _) => "queued-up",
        (false, _) => "queued-down",
    }
}

/// The order in which totals are told.
pub(super) const ALL: [&str; 11] = [
    "queued-up",
    "sent-up",
    "powering-up",
    "up",
    "failed",
    "queued-down",
    "sent-down",
    "powering-down",
    "down",
    "down-failed",
    "-",
];

#[cfg(test)]
mod tests {
    use super::*;
    use slurmburst::error::{Error, ErrorKind};
    use slurmburst::hostlist::NodeName;
    use slurmburst::ledger::{Program, Settled};
    use slurmburst::provider::{Generation, Lifecycle};

    fn wish(direction: Direction, settled: Option<Result<(), Error>>) -> Wish {
        Wish {
            node: NodeName::new("c1").unwrap(),
            generation: Generation(1),
            floor: Generation(0),
            direction,
            deadline_ms: 0,
            created_ms: 0,
            program: Program::Resume,
            settled: settled.map(|result| Settled { at_ms: 0, result }),
        }
    }

    fn attempt(direction: Direction, state: AttemptState) -> Attempt {
        Attempt {
            id: 1,
            node: NodeName::new("c1").unwrap(),
            generation: Generation(1),
            direction,
            provider: "here".into(),
            placement: "here".into(),
            lifecycle: Lifecycle::CreateDelete,
            call: String::new(),
            state,
            instance: None,
            mode: None,
            started_ms: 0,
            updated_ms: 0,
        }
    }

    #[test]
    fn a_wish_and_its_attempt_make_a_phase() {
        let failed = || Some(Err(Error::new(ErrorKind::Capacity, "full")));
        let up = |settled| phase(Some(&wish(Direction::Up, settled)), &[]);
        assert_eq!(
            (up(None), up(Some(Ok(()))), up(failed())),
            ("queued-up", "up", "failed")
        );
        let down = wish(Direction::Down, None);
        let old = attempt(Direction::Up, AttemptState::Done);
        assert_eq!(
            phase(Some(&down), std::slice::from_ref(&old)),
            "queued-down"
        );
        let sent = attempt(Direction::Down, AttemptState::Unknown);
        assert_eq!(phase(Some(&down), &[old, sent]), "sent-down");
        assert_eq!(phase(None, &[]), "-");
    }
}
