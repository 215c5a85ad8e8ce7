//! What the standard library can do with a set.

use std::fmt;
use std::str::FromStr;

use super::error::HostlistError;
use super::item::Fold;
use super::iter::SetIter;
use super::limits::Limits;
use super::list::HostList;
use super::name::NodeName;
use super::print::write_slurm;
use super::set::HostSet;

impl From<HostSet> for HostList {
    fn from(set: HostSet) -> HostList {
        set.to_list()
    }
}

impl From<&HostSet> for HostList {
    fn from(set: &HostSet) -> HostList {
        set.to_list()
    }
}

impl FromStr for HostSet {
    type Err = HostlistError;

    /// As [`HostList::parse`] and [`HostList::try_into_set`].
    fn from_str(text: &str) -> Result<HostSet, HostlistError> {
        HostList::parse(text)?.try_into_set(&Limits::default())
    }
}

impl FromIterator<NodeName> for HostSet {
    fn from_iter<I: IntoIterator<Item = NodeName>>(names: I) -> HostSet {
        HostSet::from(HostList::from_iter(names))
    }
}

impl<'a> FromIterator<&'a NodeName> for HostSet {
    fn from_iter<I: IntoIterator<Item = &'a NodeName>>(names: I) -> HostSet {
        names.into_iter().cloned().collect()
    }
}

impl Extend<NodeName> for HostSet {
    fn extend<I: IntoIterator<Item = NodeName>>(&mut self, names: I) {
        *self |= &HostSet::from_iter(names);
    }
}

impl<'a> IntoIterator for &'a HostSet {
    type Item = NodeName;
    type IntoIter = SetIter<'a>;

    fn into_iter(self) -> SetIter<'a> {
        self.iter()
    }
}

impl PartialEq for HostSet {
    fn eq(&self, other: &HostSet) -> bool {
        let key = |fold: &Fold| (fold.prefix.clone(), fold.suffix.clone());
        self.plain == other.plain
            && self.folds.len() == other.folds.len()
            && self
                .folds
                .iter()
                .zip(&other.folds)
                .all(|(a, b)| a.spans == b.spans && key(a) == key(b))
    }
}

impl Eq for HostSet {}

impl std::hash::Hash for HostSet {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.plain.hash(state);
        for fold in &self.folds {
            (&fold.prefix, &fold.suffix, &fold.spans).hash(state);
        }
    }
}

impl fmt::Display for HostSet {
    /// [`to_slurm`](HostSet::to_slurm).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_slurm(self.pieces().into_iter(), f)
    }
}

impl fmt::Debug for HostSet {
    /// [`to_compact`](HostSet::to_compact), in quotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostSet({:?})", self.to_compact())
    }
}
