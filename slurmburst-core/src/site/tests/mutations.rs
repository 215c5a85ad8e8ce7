//! No text makes the parser panic, and every error stands within the text.

use proptest::prelude::*;

use super::super::Glimpse;
use super::{WHOLE, parse};

/// What tends to matter to a parser.
const PIECES: [&str; 24] = [
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    "\"",
    "'''",
    "\"\"\"",
    "\n",
    "#",
    ".",
    ",",
    "\\",
    "\\u00",
    "1e999",
    "2024-01-01",
    "ä",
    "\u{0}",
    "c[1-",
    "provider",
    "nodes.placement",
    "-0x",
];

fn check(text: &str) {
    Glimpse::of(text);
    if let Err(e) = parse(text) {
        let lines = text.split('\n').count();
        assert!(
            (1..=lines).contains(&e.line()),
            "line {} of {lines}: {e}",
            e.line()
        );
        let line = text.split('\n').nth(e.line() - 1).unwrap_or_default();
        assert!(
            (1..=line.chars().count() + 1).contains(&e.column()),
            "{e} in {line:?}"
        );
        assert!(!e.to_string().contains('\n'));
    }
}

/// `text` with `piece` in place of `length` bytes at `at`, cut to characters.
fn replaced(text: &str, at: usize, length: usize, piece: &str) -> String {
    let boundary = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let (from, to) = (boundary(at), boundary(at + length));
    format!("{}{piece}{}", &text[..from], &text[to..])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn a_mutated_file_is_no_panic(
        edits in prop::collection::vec((0..WHOLE.len(), 0..12_usize, prop::sample::select(PIECES.to_vec())), 1..5)
    ) {
        let mut text = WHOLE.to_owned();
        for (at, length, piece) in edits {
            text = replaced(&text, at, length, piece);
        }
        check(&text);
    }

    #[test]
    fn a_file_with_lines_moved_is_no_panic(order in prop::collection::vec(0..42_usize, 0..60)) {
        let lines: Vec<&str> = WHOLE.lines().collect();
        let text: Vec<&str> = order.into_iter().map(|i| lines[i % lines.len()]).collect();
        check(&text.join("\n"));
    }

    #[test]
    fn any_text_is_no_panic(text in ".{0,200}") {
        check(&text);
    }
}

#[test]
fn every_beginning_of_a_good_file_is_no_panic() {
    for end in 0..WHOLE.len() {
        check(&WHOLE[..end]);
    }
}
