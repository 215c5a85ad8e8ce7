//! `&`, `|`, `-` and `^` of sets.

use std::cmp::Ordering;
use std::ops::{BitAnd, BitAndAssign, BitOr, BitOrAssign, BitXor, BitXorAssign, Sub, SubAssign};

use super::item::Fold;
use super::order::natural;
use super::range::Span;
use super::set::HostSet;
use super::spans;

/// What is done to the names of two sets.
#[derive(Clone, Copy, PartialEq)]
enum Operation {
    And,
    Or,
    Minus,
    Xor,
}

impl Operation {
    /// Whether it keeps what is in the first, or the second, set only.
    fn keeps(self) -> (bool, bool) {
        match self {
            Operation::And => (false, false),
            Operation::Or | Operation::Xor => (true, true),
            Operation::Minus => (true, false),
        }
    }

    fn spans(self, a: &[Span], b: &[Span]) -> Vec<Span> {
        match self {
            Operation::And => spans::intersection(a, b),
            Operation::Or => spans::union(a, b),
            Operation::Minus => spans::difference(a, b),
            Operation::Xor => spans::union(&spans::difference(a, b), &spans::difference(b, a)),
        }
    }

    fn sets(self, a: &HostSet, b: &HostSet) -> HostSet {
        let both = |name: &_, _: &_| match self {
            Operation::And | Operation::Or => Some(Clone::clone(name)),
            Operation::Minus | Operation::Xor => None,
        };
        HostSet {
            plain: self.merge(&a.plain, &b.plain, Ord::cmp, both),
            folds: self.merge(&a.folds, &b.folds, by_key, |x, y| {
                let spans = self.spans(&x.spans, &y.spans);
                (!spans.is_empty()).then(|| Fold { spans, ..x.clone() })
            }),
        }
    }

    /// Goes through two sorted vectors at once.
    fn merge<T: Clone>(
        self,
        a: &[T],
        b: &[T],
        order: impl Fn(&T, &T) -> Ordering,
        both: impl Fn(&T, &T) -> Option<T>,
    ) -> Vec<T> {
        let (first, second) = self.keeps();
        let mut out = Vec::new();
        let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
        loop {
            let next = match (a.peek(), b.peek()) {
                (Some(x), Some(y)) => order(x, y),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return out,
            };
            match next {
                Ordering::Less => out.extend(a.next().filter(|_| first).cloned()),
                Ordering::Greater => out.extend(b.next().filter(|_| second).cloned()),
                Ordering::Equal => {
                    out.extend(a.next().zip(b.next()).and_then(|(x, y)| both(x, y)));
                }
            }
        }
    }
}

fn by_key(a: &Fold, b: &Fold) -> Ordering {
    natural(&a.prefix, &b.prefix).then_with(|| a.suffix.cmp(&b.suffix))
}

macro_rules! operator {
    ($operator:ident, $function:ident, $assign:ident, $assign_function:ident, $operation:ident) => {
        impl $operator<&HostSet> for &HostSet {
            type Output = HostSet;

            fn $function(self, other: &HostSet) -> HostSet {
                Operation::$operation.sets(self, other)
            }
        }

        impl $operator<HostSet> for &HostSet {
            type Output = HostSet;

            fn $function(self, other: HostSet) -> HostSet {
                self.$function(&other)
            }
        }

        impl $operator<&HostSet> for HostSet {
            type Output = HostSet;

            fn $function(self, other: &HostSet) -> HostSet {
                (&self).$function(other)
            }
        }

        impl $operator<HostSet> for HostSet {
            type Output = HostSet;

            fn $function(self, other: HostSet) -> HostSet {
                (&self).$function(&other)
            }
        }

        impl $assign<&HostSet> for HostSet {
            fn $assign_function(&mut self, other: &HostSet) {
                *self = (&*self).$function(other);
            }
        }

        impl $assign<HostSet> for HostSet {
            fn $assign_function(&mut self, other: HostSet) {
                *self = (&*self).$function(&other);
            }
        }
    };
}

operator!(BitAnd, bitand, BitAndAssign, bitand_assign, And);
operator!(BitOr, bitor, BitOrAssign, bitor_assign, Or);
operator!(Sub, sub, SubAssign, sub_assign, Minus);
operator!(BitXor, bitxor, BitXorAssign, bitxor_assign, Xor);
