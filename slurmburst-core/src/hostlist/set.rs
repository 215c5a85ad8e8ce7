//! The sorted set.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::compact;
use super::item::{Fold, Item, Run};
use super::iter::SetIter;
use super::list::HostList;
use super::name::{NodeName, compare};
use super::order::natural;
use super::piece::Piece;
use super::range::{Span, push_number};
use super::runs::Runs;
use super::sort::sorted;
use super::spans;

/// Names as Slurm sorts them, each once.
///
/// Held as ranges; what is done with two sets takes time for their ranges,
/// not for their names.
///
/// ```
/// use slurmburst_core::hostlist::HostSet;
///
/// let all: HostSet = "n[1-1000000]".parse()?;
/// let down: HostSet = "n[7,9-10]".parse()?;
/// assert_eq!((&all - &down).to_string().get(..12), Some("n[1-6,8,11-6"));
/// assert!(down.is_subset(&all));
/// assert_eq!((&all & &down).len(), 3);
/// # Ok::<(), slurmburst_core::hostlist::HostlistError>(())
/// ```
#[derive(Clone, Default)]
pub struct HostSet {
    /// Names without a number that fits 64 bits, sorted.
    pub(super) plain: Vec<NodeName>,
    /// All others by prefix and suffix, sorted by these; none is empty.
    pub(super) folds: Vec<Fold>,
}

/// The order of folds; Slurm's as long as there are no suffixes.
fn by_key(a: &Fold, prefix: &str, suffix: &str) -> Ordering {
    natural(&a.prefix, prefix).then_with(|| (*a.suffix).cmp(suffix))
}

impl HostSet {
    /// An empty set.
    #[must_use]
    pub fn new() -> HostSet {
        HostSet::default()
    }

    /// How many names, without expanding; `u64::MAX` if more than that.
    #[must_use]
    pub fn len(&self) -> u64 {
        u64::try_from(self.count()).unwrap_or(u64::MAX)
    }

    pub(super) fn count(&self) -> u128 {
        let folded = self
            .folds
            .iter()
            .flat_map(|fold| &fold.spans)
            .map(Span::count);
        self.plain.len() as u128 + folded.sum::<u128>()
    }

    /// Whether there is no name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.folds.is_empty()
    }

    /// Whether no name has text after its last number.
    pub(super) fn is_plain(&self) -> bool {
        self.folds.iter().all(|fold| fold.suffix.is_empty())
    }

    /// How many names with text after their last number there are, unless
    /// there is nothing else that could come in between.
    pub(super) fn interleaved(&self) -> u128 {
        if self.folds.len() + self.plain.len() < 2 {
            return 0;
        }
        let folds = self.folds.iter().filter(|fold| !fold.suffix.is_empty());
        folds.flat_map(|fold| &fold.spans).map(Span::count).sum()
    }

    /// The names as Slurm sorts them.
    #[must_use]
    pub fn iter(&self) -> SetIter<'_> {
        SetIter::new(self.pieces().into_iter())
    }

    /// The pieces in Slurm's order.
    pub(super) fn pieces(&self) -> Vec<Piece<'_>> {
        if self.is_plain() {
            return self.pieces_of_plain();
        }
        // Names with something after the number are sorted like text, between
        // each other and all others.
        let folded = self.folds.iter().flat_map(|fold| {
            fold.spans.iter().map(|span| Run {
                prefix: &*fold.prefix,
                span: Some(*span),
                suffix: &*fold.suffix,
            })
        });
        let plain = self.plain.iter().map(|name| Run {
            prefix: name.as_str(),
            span: None,
            suffix: "",
        });
        sorted(folded.chain(plain).collect())
            .into_iter()
            .map(Piece::One)
            .collect()
    }

    fn pieces_of_plain(&self) -> Vec<Piece<'_>> {
        let mut out = Vec::with_capacity(self.plain.len() + self.folds.len());
        let mut plain = self.plain.iter().peekable();
        let mut first = String::new();
        for fold in &self.folds {
            if let (Some(span), Some(_)) = (fold.spans.first(), plain.peek()) {
                first.clear();
                first.push_str(&fold.prefix);
                push_number(&mut first, span.len, span.lo);
                while let Some(name) =
                    plain.next_if(|name| compare(name.as_str(), &first) == Ordering::Less)
                {
                    out.push(Piece::Name(name));
                }
            }
            out.push(Piece::Fold {
                prefix: &fold.prefix,
                spans: &fold.spans,
                suffix: "",
            });
        }
        out.extend(plain.map(Piece::Name));
        out
    }

    fn find(&self, prefix: &str, suffix: &str) -> Result<usize, usize> {
        self.folds
            .binary_search_by(|fold| by_key(fold, prefix, suffix))
    }

    /// Whether `name` is in the set.
    #[must_use]
    pub fn contains(&self, name: &NodeName) -> bool {
        match name.parts() {
            None => self.plain.binary_search(name).is_ok(),
            Some((prefix, one, suffix)) => self
                .find(prefix, suffix)
                .is_ok_and(|at| spans::contains(&self.folds[at].spans, &one)),
        }
    }

    /// Puts `name` in; says whether it was not there.
    pub fn insert(&mut self, name: NodeName) -> bool {
        let Some((prefix, one, suffix)) = name.parts() else {
            let place = self.plain.binary_search(&name);
            if let Err(at) = place {
                self.plain.insert(at, name);
            }
            return place.is_err();
        };
        match self.find(prefix, suffix) {
            Ok(at) => spans::insert(&mut self.folds[at].spans, one),
            Err(at) => {
                let (prefix, suffix) = (prefix.into(), suffix.into());
                self.folds.insert(
                    at,
                    Fold {
                        prefix,
                        suffix,
                        spans: vec![one],
                    },
                );
                true
            }
        }
    }

    /// Takes `name` out; says whether it was there.
    pub fn remove(&mut self, name: &NodeName) -> bool {
        let Some((prefix, one, suffix)) = name.parts() else {
            return self
                .plain
                .binary_search(name)
                .map(|at| self.plain.remove(at))
                .is_ok();
        };
        let Ok(at) = self.find(prefix, suffix) else {
            return false;
        };
        let fold = &mut self.folds[at];
        let removed = spans::remove(&mut fold.spans, one);
        if fold.spans.is_empty() {
            self.folds.remove(at);
        }
        removed
    }

    /// Whether every name is in `other` too.
    #[must_use]
    pub fn is_subset(&self, other: &HostSet) -> bool {
        (self - other).is_empty()
    }

    /// Whether every name of `other` is in this.
    #[must_use]
    pub fn is_superset(&self, other: &HostSet) -> bool {
        other.is_subset(self)
    }

    /// Whether no name is in both.
    #[must_use]
    pub fn is_disjoint(&self, other: &HostSet) -> bool {
        (self & other).is_empty()
    }

    /// The names as a list, sorted.
    #[must_use]
    pub fn to_list(&self) -> HostList {
        let mut list = HostList::new();
        for piece in self.pieces() {
            match piece {
                Piece::Name(name) => list.push_item(Item::Name(name.clone())),
                Piece::Fold {
                    prefix,
                    spans,
                    suffix,
                } => list.push_fold(Fold {
                    prefix: prefix.into(),
                    suffix: suffix.into(),
                    spans: spans.to_vec(),
                }),
                Piece::One(Run {
                    prefix, span: None, ..
                }) => list.push_text(prefix, None),
                Piece::One(Run {
                    prefix,
                    span: Some(span),
                    suffix,
                }) => {
                    let (prefix, suffix) = (prefix.into(), suffix.into());
                    list.push_fold(Fold {
                        prefix,
                        suffix,
                        spans: vec![span],
                    });
                }
                Piece::Grid(grid) => list.push_item(Item::Grid(Box::new(grid.clone()))),
            }
        }
        list
    }

    /// Sorted, only a number that ends the name folded; see
    /// [`HostList::to_slurm`].
    #[must_use]
    pub fn to_slurm(&self) -> String {
        self.to_string()
    }

    /// Every number folded; see [`HostList::to_compact`]. The order of the
    /// text is whatever is short.
    ///
    /// ```
    /// # use slurmburst_core::hostlist::HostSet;
    /// let set: HostSet = "n2-ib,n1-ib,r1n[1-2],r2n[1-2]".parse()?;
    /// assert_eq!(set.to_compact(), "n[1-2]-ib,r[1-2]n[1-2]");
    /// # Ok::<(), slurmburst_core::hostlist::HostlistError>(())
    /// ```
    #[must_use]
    pub fn to_compact(&self) -> String {
        let mut out = String::new();
        let plain = self.plain.iter().map(Piece::Name);
        let folds = self.folds.iter().map(|fold| Piece::Fold {
            prefix: &fold.prefix,
            spans: &fold.spans,
            suffix: &fold.suffix,
        });
        // Writing to a string does not fail.
        let _ = compact::write_set(plain.chain(folds), &mut out);
        out
    }
}

impl From<&HostList> for HostSet {
    /// See [`HostList::to_set`].
    fn from(list: &HostList) -> HostSet {
        let mut gathered = Gathered::default();
        for item in list.items() {
            match item {
                Item::Fold(fold) => gathered.fold(Fold::clone(fold)),
                other => gathered.other(other),
            }
        }
        gathered.set()
    }
}

impl From<HostList> for HostSet {
    /// See [`HostList::to_set`].
    fn from(list: HostList) -> HostSet {
        let mut gathered = Gathered::default();
        for item in list.into_items() {
            match item {
                Item::Fold(fold) => gathered.fold(*fold),
                other => gathered.other(&other),
            }
        }
        gathered.set()
    }
}

/// Prefix and suffix.
type Key = (Arc<str>, Arc<str>);

/// What becomes a set.
#[derive(Default)]
struct Gathered {
    plain: Vec<NodeName>,
    keys: HashMap<Key, Vec<Span>>,
    last: Option<Key>,
}

impl Gathered {
    fn fold(&mut self, fold: Fold) {
        match self.keys.entry((fold.prefix, fold.suffix)) {
            Entry::Vacant(entry) => _ = entry.insert(fold.spans),
            Entry::Occupied(mut entry) => entry.get_mut().extend(fold.spans),
        }
    }

    fn other(&mut self, item: &Item) {
        if let (Item::Name(name), None) = (item, item_parts(item)) {
            self.plain.push(name.clone());
            return;
        }
        for run in Runs::new(std::iter::once(Piece::from(item))) {
            let Some(span) = run.span else {
                self.plain.push(NodeName::trusted(&run.prefix));
                continue;
            };
            let key = match self.last.take() {
                Some(key) if *key.0 == *run.prefix && *key.1 == *run.suffix => key,
                _ => (Arc::from(&*run.prefix), Arc::from(&*run.suffix)),
            };
            match self.keys.get_mut(&key) {
                Some(spans) => spans.push(span),
                None => {
                    self.keys.insert(key.clone(), vec![span]);
                }
            }
            self.last = Some(key);
        }
    }

    fn set(mut self) -> HostSet {
        self.plain.sort_unstable();
        self.plain.dedup();
        let mut folds: Vec<Fold> = self
            .keys
            .into_iter()
            .map(|((prefix, suffix), own)| Fold {
                prefix,
                suffix,
                spans: spans::normal(own),
            })
            .collect();
        folds.sort_unstable_by(|a, b| by_key(a, &b.prefix, &b.suffix));
        HostSet {
            plain: self.plain,
            folds,
        }
    }
}

fn item_parts(item: &Item) -> Option<(&str, Span, &str)> {
    match item {
        Item::Name(name) => name.parts(),
        _ => None,
    }
}
