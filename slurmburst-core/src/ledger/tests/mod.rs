//! Tests of the ledger, by subject, and what they share.

mod attempts;
mod changes;
mod files;
mod memory;
mod wishes;

use serde_json::{Value, json};

use super::*;
use crate::provider::{
    Call, CallNode, Direction, DownMode, Generation, Lifecycle, Pending, Placement, Template,
};

/// A time in 2026.
const T0: i64 = 1_780_000_000_000;

fn node(name: &str) -> crate::hostlist::NodeName {
    crate::hostlist::NodeName::new(name).unwrap()
}

/// A ledger whose clock stands (almost) still at `T0`.
fn ledger() -> Ledger {
    Ledger::in_memory(Clock::tokio(T0)).unwrap()
}

fn wish(name: &str, direction: Direction) -> NewWish {
    NewWish {
        node: node(name),
        direction,
        deadline_ms: T0 + 600_000,
        program: Program::Resume,
    }
}

fn new_call(id: &str, placement: &str, nodes: &[(&str, i64)]) -> NewCall {
    let placement = Placement {
        name: placement.to_owned(),
        provider: "here".to_owned(),
        lifecycle: Lifecycle::CreateDelete,
        template: Template {
            zone: Some("z1".to_owned()),
            body: json!({"image": "i"}),
            ..Template::default()
        },
    };
    let nodes = nodes
        .iter()
        .map(|(n, g)| CallNode {
            name: node(n),
            generation: Generation(*g),
        })
        .collect();
    let request = json!({"count": 2, "name": "ünï", "nested": [1, null, {"a": 1.5}]});
    NewCall {
        call: Call {
            id: id.to_owned(),
            token: call_token("hpc1", id),
            placement,
            nodes,
            request,
        },
    }
}

fn down(name: &str, generation: i64, instance: Option<&str>) -> NewDown {
    NewDown {
        node: node(name),
        generation: Generation(generation),
        provider: "here".to_owned(),
        instance: instance.map(str::to_owned),
        mode: DownMode::Terminate,
    }
}

fn event(name: &str, what: &str) -> Event {
    Event {
        at_ms: T0,
        node: node(name),
        generation: Some(Generation(5)),
        what: what.to_owned(),
        placement: Some("p".to_owned()),
        call: Some("a".to_owned()),
        request_id: Some("r-1".to_owned()),
        duration_ms: Some(12),
        detail: None,
    }
}

fn pending(name: &str, direction: Direction) -> Pending {
    Pending {
        node: node(name),
        direction,
        instance: Some("i-1".to_owned()),
        handle: Value::String("https://op/1".to_owned()),
        poll_after: Duration::from_millis(1_500),
    }
}
