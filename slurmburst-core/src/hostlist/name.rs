//! The name of one node.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::error::{HostlistError, HostlistErrorKind, quoted};
use super::order::natural;
use super::range::{Span, last_number};

/// Longest name in bytes, as in DNS.
const MAX_BYTES: usize = 255;

/// The name of one node. Cheap to clone.
///
/// Sorted as Slurm sorts: what stands before the last number first, then the
/// number. `n9` comes before `n10`, and `n2` before `n01`.
///
/// ```
/// use slurmburst_core::hostlist::NodeName;
///
/// let name = NodeName::new("gpu1x007-ib")?;
/// assert_eq!((name.prefix(), name.digits(), name.suffix()), ("gpu1x", "007", "-ib"));
/// assert!(NodeName::new("n9")? < NodeName::new("n10")?);
/// assert!(NodeName::new("n[1-2]").is_err());
/// # Ok::<(), slurmburst_core::hostlist::HostlistError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct NodeName(Arc<str>);

impl NodeName {
    /// Checks a name: 1 to 255 bytes, no comma, no brackets, no white space,
    /// no control characters.
    ///
    /// # Errors
    /// [`HostlistErrorKind::EmptyName`], [`HostlistErrorKind::NameTooLong`] or
    /// [`HostlistErrorKind::InvalidCharacter`].
    pub fn new(name: &str) -> Result<NodeName, HostlistError> {
        let whole = 0..name.len();
        if name.is_empty() {
            let what = "a node name cannot be empty; give at least one character";
            return Err(HostlistError::new(
                HostlistErrorKind::EmptyName,
                name,
                0..0,
                whole,
                what,
            ));
        }
        if let Some((at, c)) = name.char_indices().find(|(_, c)| !allowed(*c)) {
            let what = format!(
                "a node name cannot have the character {c:?}; take it out, or parse the text as a hostlist"
            );
            let kind = HostlistErrorKind::InvalidCharacter;
            return Err(HostlistError::new(
                kind,
                name,
                at..at + c.len_utf8(),
                whole,
                what,
            ));
        }
        if name.len() > MAX_BYTES {
            let what = format!(
                "a node name has at most {MAX_BYTES} bytes, this one has {}; shorten it",
                name.len()
            );
            let kind = HostlistErrorKind::NameTooLong;
            return Err(HostlistError::new(
                kind,
                name,
                MAX_BYTES..name.len(),
                whole,
                what,
            ));
        }
        Ok(NodeName(Arc::from(name)))
    }

    /// A name that is known to be one.
    pub(crate) fn trusted(name: &str) -> NodeName {
        NodeName(Arc::from(name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the last number; the whole name if it has none.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.0[..last_number(&self.0).0]
    }

    /// The last number as it is written; empty if there is none.
    #[must_use]
    pub fn digits(&self) -> &str {
        let (from, to) = last_number(&self.0);
        &self.0[from..to]
    }

    /// What stands after the last number.
    #[must_use]
    pub fn suffix(&self) -> &str {
        &self.0[last_number(&self.0).1..]
    }

    /// Prefix, last number and suffix, if that number fits 64 bits.
    pub(crate) fn parts(&self) -> Option<(&str, Span, &str)> {
        split(&self.0)
    }
}

/// Prefix, last number and suffix of `name`, if that number fits 64 bits.
pub(crate) fn split(name: &str) -> Option<(&str, Span, &str)> {
    let (from, to) = last_number(name);
    Some((
        &name[..from],
        Span::of_digits(&name[from..to])?,
        &name[to..],
    ))
}

/// Whether a name can have this character.
pub(crate) fn allowed(c: char) -> bool {
    match c {
        ',' | '[' | ']' | '\0'..=' ' | '\u{7f}' => false,
        '!'..='~' => true,
        c => !c.is_control() && !c.is_whitespace(),
    }
}

/// Slurm's order of names.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    let (x, y) = (key(a), key(b));
    natural(x.0, y.0).then_with(|| {
        // A whole name before one with a number, numbers that fit 64 bits
        // before those that do not, short before long.
        let rank = |digits: &str| match digits {
            "" => 0,
            digits if Span::of_digits(digits).is_some() => 1,
            _ => 2,
        };
        (rank(x.1), x.1.len(), x.1).cmp(&(rank(y.1), y.1.len(), y.1))
    })
}

/// What Slurm sorts by: a name that ends with a number by what is before it
/// and the number, any other as a whole.
fn key(name: &str) -> (&str, &str) {
    match last_number(name) {
        (from, to) if to == name.len() => name.split_at(from),
        _ => (name, ""),
    }
}

impl Ord for NodeName {
    fn cmp(&self, other: &NodeName) -> Ordering {
        compare(&self.0, &other.0)
    }
}

impl PartialOrd for NodeName {
    fn partial_cmp(&self, other: &NodeName) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq<str> for NodeName {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for NodeName {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

impl FromStr for NodeName {
    type Err = HostlistError;

    fn from_str(name: &str) -> Result<NodeName, HostlistError> {
        NodeName::new(name)
    }
}

impl TryFrom<&str> for NodeName {
    type Error = HostlistError;

    fn try_from(name: &str) -> Result<NodeName, HostlistError> {
        NodeName::new(name)
    }
}

impl TryFrom<String> for NodeName {
    type Error = HostlistError;

    fn try_from(name: String) -> Result<NodeName, HostlistError> {
        NodeName::new(&name)
    }
}

impl From<NodeName> for String {
    fn from(name: NodeName) -> String {
        name.0.as_ref().to_owned()
    }
}

impl AsRef<str> for NodeName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// The message for a character that no name can have.
pub(crate) fn refused(c: char, item: &str) -> String {
    match c {
        ']' => "`]` without `[` before it; take it out or open the bracket".to_owned(),
        _ => format!(
            "a node name cannot have the character {c:?}; take it out of `{}`",
            quoted(item)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> NodeName {
        NodeName::new(text).unwrap()
    }

    #[test]
    fn refuses_what_is_no_name() {
        use HostlistErrorKind as Kind;
        let long = "n".repeat(256);
        for (text, kind, span) in [
            ("", Kind::EmptyName, 0..0),
            ("a,b", Kind::InvalidCharacter, 1..2),
            ("a[", Kind::InvalidCharacter, 1..2),
            ("a b", Kind::InvalidCharacter, 1..2),
            ("a\0", Kind::InvalidCharacter, 1..2),
            ("a\u{a0}b", Kind::InvalidCharacter, 1..3),
            ("a\u{85}b", Kind::InvalidCharacter, 1..3),
            (long.as_str(), Kind::NameTooLong, 255..256),
        ] {
            let error = NodeName::new(text).unwrap_err();
            assert_eq!((error.kind(), error.span()), (kind, span), "{text:?}");
        }
        assert!(NodeName::new(&"n".repeat(255)).is_ok());
    }

    #[test]
    fn sorts_as_slurm() {
        let order = [
            "1",
            "01",
            "10",
            "a",
            "n",
            "n1",
            "n7",
            "n10",
            "n001",
            "n002",
            "n003",
            "n18446744073709551616",
            "n1x",
            "n2x",
            "n10x",
        ];
        let mut names: Vec<_> = order.iter().rev().map(|n| name(n)).collect();
        names.sort();
        assert_eq!(
            names.iter().map(NodeName::as_str).collect::<Vec<_>>(),
            order
        );
    }

    #[test]
    fn splits_at_the_last_number() {
        let n = name("é");
        assert_eq!((n.prefix(), n.digits(), n.suffix()), ("é", "", ""));
        let n = name("12");
        assert_eq!((n.prefix(), n.digits(), n.suffix()), ("", "12", ""));
    }
}
