//! One name after another, from either end.

use std::iter::FusedIterator;

use super::item::Item;
use super::name::NodeName;
use super::piece::Piece;
use super::range::{Span, push_number};

/// Where an end of a piece is: so many names into a span of it.
#[derive(Clone, Copy, Default)]
struct Place {
    span: usize,
    /// Names of that span before this place (front) or from it on (back).
    used: u64,
}

/// A piece of which both ends move.
#[derive(Clone)]
struct Cursor<'a> {
    piece: Piece<'a>,
    left: u128,
    front: Place,
    back: Place,
    /// Names taken from the front (for grids, which need no place).
    taken: u64,
}

impl<'a> Cursor<'a> {
    fn new(piece: Piece<'a>) -> Cursor<'a> {
        let left = piece.count();
        let spans = match &piece {
            Piece::Fold { spans, .. } => spans.len(),
            _ => 1,
        };
        let back = Place {
            span: spans.saturating_sub(1),
            used: 0,
        };
        Cursor {
            piece,
            left,
            front: Place::default(),
            back,
            taken: 0,
        }
    }

    fn span(&self, at: usize) -> Option<Span> {
        match &self.piece {
            Piece::Fold { spans, .. } => spans.get(at).copied(),
            Piece::One(run) => run.span,
            _ => None,
        }
    }

    /// Leaves out `n` names at the front; there are as many.
    fn skip_front(&mut self, n: u128) {
        self.left -= n;
        self.taken = self
            .taken
            .saturating_add(u64::try_from(n).unwrap_or(u64::MAX));
        let mut rest = n;
        while rest > 0
            && let Some(span) = self.span(self.front.span)
        {
            let there = span.count() - u128::from(self.front.used);
            if rest < there {
                self.front.used += u64::try_from(rest).unwrap_or(u64::MAX);
                return;
            }
            rest -= there;
            self.front = Place {
                span: self.front.span + 1,
                used: 0,
            };
        }
    }

    /// Leaves out `n` names at the back; there are as many.
    fn skip_back(&mut self, n: u128) {
        self.left -= n;
        let mut rest = n;
        while rest > 0
            && let Some(span) = self.span(self.back.span)
        {
            let there = span.count() - u128::from(self.back.used);
            if rest < there {
                self.back.used += u64::try_from(rest).unwrap_or(u64::MAX);
                return;
            }
            rest -= there;
            match self.back.span.checked_sub(1) {
                Some(span) => self.back = Place { span, used: 0 },
                None => return,
            }
        }
    }

    fn name(&self, value: Option<(u32, u64)>, index: u64, buffer: &mut String) -> NodeName {
        buffer.clear();
        let (prefix, suffix) = match &self.piece {
            Piece::Name(name) => return (*name).clone(),
            Piece::Fold { prefix, suffix, .. } => (*prefix, *suffix),
            Piece::One(run) => (run.prefix, run.suffix),
            Piece::Grid(grid) => {
                grid.write_name(index, buffer);
                ("", "")
            }
        };
        buffer.push_str(prefix);
        if let Some((len, value)) = value {
            push_number(buffer, len, value);
        }
        buffer.push_str(suffix);
        NodeName::trusted(buffer)
    }

    fn next(&mut self, buffer: &mut String) -> Option<NodeName> {
        if self.left == 0 {
            return None;
        }
        let value = self
            .span(self.front.span)
            .map(|s| (s.len, s.lo + self.front.used));
        let name = self.name(value, self.taken, buffer);
        self.skip_front(1);
        Some(name)
    }

    fn next_back(&mut self, buffer: &mut String) -> Option<NodeName> {
        let left = self.left.checked_sub(1)?;
        let value = self
            .span(self.back.span)
            .map(|s| (s.len, s.hi - self.back.used));
        let index = self
            .taken
            .saturating_add(u64::try_from(left).unwrap_or(u64::MAX));
        let name = self.name(value, index, buffer);
        self.skip_back(1);
        Some(name)
    }
}

/// Names from pieces.
#[derive(Clone)]
struct Names<'a, I> {
    pieces: I,
    front: Option<Cursor<'a>>,
    back: Option<Cursor<'a>>,
    left: u128,
    buffer: String,
}

impl<'a, I: DoubleEndedIterator<Item = Piece<'a>> + Clone> Names<'a, I> {
    fn new(pieces: I) -> Names<'a, I> {
        let left = pieces.clone().map(|piece| piece.count()).sum();
        Names {
            pieces,
            front: None,
            back: None,
            left,
            buffer: String::new(),
        }
    }

    /// The piece at the front that still has names.
    fn front(&mut self) -> Option<&mut Cursor<'a>> {
        while self.front.as_ref().is_none_or(|cursor| cursor.left == 0) {
            match self.pieces.next() {
                Some(piece) => self.front = Some(Cursor::new(piece)),
                None => return self.back.as_mut().filter(|cursor| cursor.left > 0),
            }
        }
        self.front.as_mut()
    }

    fn back(&mut self) -> Option<&mut Cursor<'a>> {
        while self.back.as_ref().is_none_or(|cursor| cursor.left == 0) {
            match self.pieces.next_back() {
                Some(piece) => self.back = Some(Cursor::new(piece)),
                None => return self.front.as_mut().filter(|cursor| cursor.left > 0),
            }
        }
        self.back.as_mut()
    }

    fn next(&mut self) -> Option<NodeName> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let name = self.front().and_then(|cursor| cursor.next(&mut buffer));
        self.buffer = buffer;
        self.left = self.left.saturating_sub(u128::from(name.is_some()));
        name
    }

    fn next_back(&mut self) -> Option<NodeName> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let name = self.back().and_then(|cursor| cursor.next_back(&mut buffer));
        self.buffer = buffer;
        self.left = self.left.saturating_sub(u128::from(name.is_some()));
        name
    }

    fn skip(&mut self, n: usize) {
        let mut rest = (n as u128).min(self.left);
        self.left -= rest;
        while rest > 0
            && let Some(cursor) = self.front()
        {
            let step = rest.min(cursor.left);
            cursor.skip_front(step);
            rest -= step;
        }
    }

    fn skip_back(&mut self, n: usize) {
        let mut rest = (n as u128).min(self.left);
        self.left -= rest;
        while rest > 0
            && let Some(cursor) = self.back()
        {
            let step = rest.min(cursor.left);
            cursor.skip_back(step);
            rest -= step;
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match usize::try_from(self.left) {
            Ok(left) => (left, Some(left)),
            Err(_) => (usize::MAX, None),
        }
    }
}

macro_rules! names_iterator {
    ($(#[$doc:meta])* $name:ident, $pieces:ty) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name<'a>(Names<'a, $pieces>);

        impl<'a> $name<'a> {
            pub(crate) fn new(pieces: $pieces) -> $name<'a> {
                $name(Names::new(pieces))
            }
        }

        impl Iterator for $name<'_> {
            type Item = NodeName;

            fn next(&mut self) -> Option<NodeName> {
                self.0.next()
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                self.0.size_hint()
            }

            fn nth(&mut self, n: usize) -> Option<NodeName> {
                self.0.skip(n);
                self.0.next()
            }

            fn count(self) -> usize {
                self.0.size_hint().0
            }

            fn last(mut self) -> Option<NodeName> {
                self.0.next_back()
            }
        }

        impl DoubleEndedIterator for $name<'_> {
            fn next_back(&mut self) -> Option<NodeName> {
                self.0.next_back()
            }

            fn nth_back(&mut self, n: usize) -> Option<NodeName> {
                self.0.skip_back(n);
                self.0.next_back()
            }
        }

        impl FusedIterator for $name<'_> {}

        impl std::fmt::Debug for $name<'_> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).field("left", &self.0.left).finish()
            }
        }
    };
}

/// The items of a list as pieces.
#[derive(Clone)]
pub(crate) struct Items<'a>(pub(crate) std::slice::Iter<'a, Item>);

impl<'a> Iterator for Items<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        self.0.next().map(Piece::from)
    }
}

impl DoubleEndedIterator for Items<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(Piece::from)
    }
}

names_iterator! {
    /// The names of a [`HostList`](super::HostList), in order.
    ///
    /// From either end; `nth` skips ranges, not names. The size hint is exact
    /// up to `usize::MAX` names.
    Iter, Items<'a>
}

names_iterator! {
    /// The names of a [`HostSet`](super::HostSet), as Slurm sorts them.
    ///
    /// From either end; `nth` skips ranges, not names. The size hint is exact
    /// up to `usize::MAX` names.
    SetIter, std::vec::IntoIter<Piece<'a>>
}
