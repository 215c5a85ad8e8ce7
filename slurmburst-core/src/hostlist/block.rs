//! Many names at once: the names of a span are of one length, and from one
//! hundred to the next only a digit or two change.

use super::range::Span;

/// The digits that a block counts through.
const LOW: usize = 2;
/// Spans of fewer names are not worth a block.
pub(crate) const WORTH: u64 = 24;

/// The text of up to a hundred names of a span, each with the same text before
/// it.
#[derive(Default)]
pub(crate) struct Block {
    text: Vec<u8>,
    /// Bytes from one name to the next.
    width: usize,
}

/// Names that follow each other in one text.
pub(crate) struct Names<'a> {
    /// All of them, what stands before each included.
    pub(crate) text: &'a str,
    /// Bytes from one to the next.
    pub(crate) width: usize,
}

impl<'a> Names<'a> {
    /// A single name.
    pub(crate) fn one(text: &'a str) -> Names<'a> {
        Names {
            text,
            width: text.len(),
        }
    }
}

impl Block {
    /// Calls `each` with all names of the span, up to a hundred at a time,
    /// until it says `false`; returns whether it never did.
    pub(crate) fn for_span(
        &mut self,
        before: &str,
        prefix: &str,
        span: &Span,
        suffix: &str,
        each: &mut impl FnMut(Names<'_>) -> bool,
    ) -> bool {
        let len = span.len as usize;
        let low = len.min(LOW);
        let size: u64 = if low == LOW { 100 } else { 10 };
        // Where the number of the first name begins, and its last digits.
        let number = before.len() + prefix.len();
        let digits = number + len - low;
        self.width = number + len + suffix.len();
        let mut block = span.lo / size;
        let last = span.hi / size;
        self.fill(before, prefix, block, (len, low), suffix);
        loop {
            let from = if block == span.lo / size {
                span.lo % size
            } else {
                0
            };
            let to = if block == last {
                span.hi % size
            } else {
                size - 1
            };
            let bytes = self.width * from as usize..self.width * (to as usize + 1);
            let text = self
                .text
                .get(bytes)
                .and_then(|text| std::str::from_utf8(text).ok());
            let Some(text) = text else { return false };
            if !each(Names {
                text,
                width: self.width,
            }) {
                return false;
            }
            if block == last {
                return true;
            }
            block += 1;
            self.count_up(number, digits);
        }
    }

    /// Writes the whole block.
    fn fill(
        &mut self,
        before: &str,
        prefix: &str,
        block: u64,
        (len, low): (usize, usize),
        suffix: &str,
    ) {
        self.text.clear();
        let high = len - low;
        let mut rest = block;
        let mut name = [before.as_bytes(), prefix.as_bytes()].concat();
        name.resize(name.len() + high, b'0');
        for digit in name.iter_mut().rev().take(high) {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        let size = if low == LOW { 100 } else { 10 };
        for n in 0..size {
            self.text.extend_from_slice(&name);
            if low == LOW {
                self.text.push(b'0' + n / 10);
            }
            if low > 0 {
                self.text.push(b'0' + n % 10);
            }
            self.text.extend_from_slice(suffix.as_bytes());
        }
    }

    /// Adds one to the digits from `number` to `end` of every name.
    fn count_up(&mut self, number: usize, end: usize) {
        let mut at = end;
        while at > number {
            at -= 1;
            let Some(digit) = self.text.get(at).copied() else {
                return;
            };
            let next = if digit == b'9' { b'0' } else { digit + 1 };
            for byte in self.text.iter_mut().skip(at).step_by(self.width) {
                *byte = next;
            }
            if digit != b'9' {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_through_blocks() {
        for (len, lo, hi) in [
            (1, 0, 9),
            (1, 3, 7),
            (2, 8, 11),
            (3, 0, 999),
            (4, 0, 2001),
            (4, 1000, 2001),
            (5, 9_950, 10_050),
            (7, 998, 1002),
            (25, 999, 3000),
            (20, u64::MAX - 2000, u64::MAX),
        ] {
            let span = Span { len, lo, hi };
            let (mut block, mut got) = (Block::default(), String::new());
            assert!(block.for_span(",", "né", &span, "-ib", &mut |names| {
                assert_eq!(names.text.len() % names.width, 0);
                got.push_str(names.text);
                true
            }));
            let width = len as usize;
            let expected: String = (lo..=hi).map(|n| format!(",né{n:0width$}-ib")).collect();
            assert_eq!(got, expected);
        }
    }
}
