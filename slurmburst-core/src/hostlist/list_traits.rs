//! What the standard library can do with a list.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use super::error::HostlistError;
use super::iter::Iter;
use super::list::HostList;
use super::name::NodeName;
use super::print::write_slurm;
use super::runs::Stretches;

impl PartialEq for HostList {
    fn eq(&self, other: &HostList) -> bool {
        self.same_pieces(other)
            || (self.count() == other.count()
                && Stretches::new(self.pieces()).eq(Stretches::new(other.pieces())))
    }
}

impl Eq for HostList {}

impl Hash for HostList {
    /// Takes the number of names and the first runs; lists that differ only
    /// far behind have the same hash.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.count().hash(state);
        Stretches::new(self.pieces())
            .take(256)
            .for_each(|stretch| stretch.hash(state));
    }
}

impl fmt::Display for HostList {
    /// [`to_slurm`](HostList::to_slurm).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_slurm(self.pieces(), f)
    }
}

impl fmt::Debug for HostList {
    /// [`to_compact`](HostList::to_compact), in quotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostList({:?})", self.to_compact())
    }
}

impl FromStr for HostList {
    type Err = HostlistError;

    fn from_str(text: &str) -> Result<HostList, HostlistError> {
        HostList::parse(text)
    }
}

impl FromIterator<NodeName> for HostList {
    fn from_iter<I: IntoIterator<Item = NodeName>>(names: I) -> HostList {
        let mut list = HostList::new();
        list.extend(names);
        list
    }
}

impl<'a> FromIterator<&'a NodeName> for HostList {
    fn from_iter<I: IntoIterator<Item = &'a NodeName>>(names: I) -> HostList {
        names.into_iter().cloned().collect()
    }
}

impl Extend<NodeName> for HostList {
    fn extend<I: IntoIterator<Item = NodeName>>(&mut self, names: I) {
        names.into_iter().for_each(|name| self.push(name));
    }
}

impl<'a> Extend<&'a NodeName> for HostList {
    fn extend<I: IntoIterator<Item = &'a NodeName>>(&mut self, names: I) {
        names.into_iter().for_each(|name| self.push(name.clone()));
    }
}

impl<'a> IntoIterator for &'a HostList {
    type Item = NodeName;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl From<NodeName> for HostList {
    fn from(name: NodeName) -> HostList {
        HostList::from_iter([name])
    }
}
