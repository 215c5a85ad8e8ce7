//! The ordered list.

use std::fmt;
use std::io;

use super::block::Names;
use super::compact;
use super::error::{HostlistError, HostlistErrorKind};
use super::item::{Fold, Grid, Item, Run};
use super::iter::{Items, Iter};
use super::limits::{Dialect, Limits};
use super::name::{NodeName, split};
use super::parse::parse;
use super::piece::{Piece, Scratch, for_names};
use super::print::write_slurm;
use super::range::{Span, push_span};
use super::runs::Runs;
use super::set::HostSet;
use super::sort::sorted;

/// Names in order, duplicates kept: what Slurm passes.
///
/// Held as ranges and never expanded, so `n[1-1000000000]` costs as much as
/// `n1`. Two lists are equal if they have the same names in the same order,
/// however they were written.
///
/// ```
/// use slurmburst_core::hostlist::HostList;
///
/// let list: HostList = "gpu[1-2]x[1-2],login".parse()?;
/// assert_eq!(list.len(), 5);
/// let names: Vec<String> = list.iter().map(String::from).collect();
/// assert_eq!(names, ["gpu1x1", "gpu1x2", "gpu2x1", "gpu2x2", "login"]);
/// assert_eq!(list.to_slurm(), "gpu1x[1-2],gpu2x[1-2],login");
/// assert_eq!(list.to_compact(), "gpu[1-2]x[1-2],login");
/// # Ok::<(), slurmburst_core::hostlist::HostlistError>(())
/// ```
#[derive(Clone, Default)]
pub struct HostList {
    items: Vec<Item>,
}

impl HostList {
    /// An empty list.
    #[must_use]
    pub fn new() -> HostList {
        HostList::default()
    }

    /// Reads a list as [`Dialect::Strict`] with the default [`Limits`].
    ///
    /// # Errors
    /// What is wrong and where; see [`HostlistError::render`].
    pub fn parse(text: &str) -> Result<HostList, HostlistError> {
        parse(text, Dialect::Strict, &Limits::default())
    }

    /// Reads a list. Takes time in proportion to the text, however many names
    /// it stands for.
    ///
    /// ```
    /// use slurmburst_core::hostlist::{Dialect, HostList, Limits};
    ///
    /// let argv = HostList::parse_with("n[1-]", Dialect::SlurmCompat, &Limits::slurm())?;
    /// assert_eq!(argv.to_string(), "n1");
    /// assert!(HostList::parse("n[1-]").is_err());
    /// # Ok::<(), slurmburst_core::hostlist::HostlistError>(())
    /// ```
    ///
    /// # Errors
    /// What is wrong and where; see [`HostlistError::render`].
    pub fn parse_with(
        text: &str,
        dialect: Dialect,
        limits: &Limits,
    ) -> Result<HostList, HostlistError> {
        parse(text, dialect, limits)
    }

    /// How many names, duplicates counted, without expanding.
    ///
    /// An item of more names than 64 bits count is refused when it is read;
    /// should several items together have more, this is `u64::MAX`.
    ///
    /// ```
    /// # use slurmburst_core::hostlist::HostList;
    /// assert_eq!("n[1-1000000]x[1-1000000]".parse::<HostList>()?.len(), 1_000_000_000_000);
    /// # Ok::<(), slurmburst_core::hostlist::HostlistError>(())
    /// ```
    #[must_use]
    pub fn len(&self) -> u64 {
        u64::try_from(self.count()).unwrap_or(u64::MAX)
    }

    pub(super) fn count(&self) -> u128 {
        self.items.iter().map(Item::count).sum()
    }

    /// Whether there is no name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The names in order.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        Iter::new(Items(self.items.iter()))
    }

    /// Calls `each` with every name, without allocating for each of them.
    ///
    /// ```
    /// # use slurmburst_core::hostlist::HostList;
    /// let mut bytes = 0;
    /// "n[1-100000]".parse::<HostList>()?.for_each(|name| bytes += name.len());
    /// assert_eq!(bytes, 588_895);
    /// # Ok::<(), slurmburst_core::hostlist::HostlistError>(())
    /// ```
    pub fn for_each(&self, mut each: impl FnMut(&str)) {
        self.all("", &mut |names| {
            let Names { mut text, width } = names;
            while let Some((name, rest)) = text.split_at_checked(width)
                && !name.is_empty()
            {
                each(name);
                text = rest;
            }
            true
        });
    }

    /// Calls `each` with all names, some at a time, until it says `false`.
    fn all(&self, before: &str, each: &mut impl FnMut(Names<'_>) -> bool) {
        let mut scratch = Scratch::default();
        let _ = self
            .items
            .iter()
            .all(|item| for_names(&Piece::from(item), before, &mut scratch, each));
    }

    /// Calls `each` with the text of all names, `sep` between two of them, some
    /// at a time, until it fails.
    fn texts<E>(&self, sep: &str, mut each: impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
        let (mut result, mut first) = (Ok(()), true);
        self.all(sep, &mut |names| {
            let skip = if std::mem::take(&mut first) {
                sep.len()
            } else {
                0
            };
            result = each(names.text.get(skip..).unwrap_or_default());
            result.is_ok()
        });
        result
    }

    /// Writes every name with `sep` between two, without allocating for each.
    ///
    /// ```
    /// # use slurmburst_core::hostlist::HostList;
    /// let mut out = String::new();
    /// "n[8-10]".parse::<HostList>()?.write_to(&mut out, "\n")?;
    /// assert_eq!(out, "n8\nn9\nn10");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Only those of `out`.
    pub fn write_to(&self, out: &mut impl fmt::Write, sep: &str) -> fmt::Result {
        self.texts(sep, |text| out.write_str(text))
    }

    /// [`write_to`](HostList::write_to) for files and sockets. Best with a
    /// buffered writer.
    ///
    /// # Errors
    /// Only those of `out`.
    pub fn write_to_io(&self, out: &mut impl io::Write, sep: &str) -> io::Result<()> {
        self.texts(sep, |text| out.write_all(text.as_bytes()))
    }

    /// All names, if they are no more than [`Limits::names`].
    ///
    /// # Errors
    /// [`HostlistErrorKind::TooManyNames`].
    pub fn collect_names(&self, limits: &Limits) -> Result<Vec<NodeName>, HostlistError> {
        within(self.count(), "names", limits)?;
        Ok(self.iter().collect())
    }

    /// Adds a name at the end.
    pub fn push(&mut self, name: NodeName) {
        let text = name.clone();
        self.push_text(text.as_str(), Some(name));
    }

    /// Adds all names of `other` at the end, without expanding it.
    pub fn append(&mut self, other: &HostList) {
        for item in &other.items {
            match item {
                Item::Name(name) => self.push(name.clone()),
                Item::Fold(fold) => self.push_fold((**fold).clone()),
                Item::Grid(_) => self.items.push(item.clone()),
            }
        }
    }

    /// Adds a name that is known to be one and ends with this number.
    pub(crate) fn push_numbered(&mut self, name: &str, number: Span) {
        let prefix = name.len().saturating_sub(number.len as usize);
        if let Some(Item::Fold(fold)) = self.items.last_mut()
            && fold.suffix.is_empty()
            && fold.prefix.len() == prefix
            && name.as_bytes().starts_with(fold.prefix.as_bytes())
        {
            push_span(&mut fold.spans, number);
        } else {
            self.push_text(name, None);
        }
    }

    /// Adds a name that is known to be one, joining what is before it.
    pub(crate) fn push_text(&mut self, text: &str, name: Option<NodeName>) {
        if let Some((prefix, span, suffix)) = split(text)
            && let Some(last) = self.items.last_mut()
        {
            match last {
                Item::Fold(fold) if *fold.prefix == *prefix && *fold.suffix == *suffix => {
                    push_span(&mut fold.spans, span);
                    return;
                }
                Item::Name(own) => {
                    if let Some((own_prefix, own_span, own_suffix)) = own.parts()
                        && (own_prefix, own_suffix) == (prefix, suffix)
                    {
                        let mut spans = vec![own_span];
                        push_span(&mut spans, span);
                        let (prefix, suffix) = (prefix.into(), suffix.into());
                        *last = Item::Fold(Box::new(Fold {
                            prefix,
                            suffix,
                            spans,
                        }));
                        return;
                    }
                }
                _ => {}
            }
        }
        self.items
            .push(Item::Name(name.unwrap_or_else(|| NodeName::trusted(text))));
    }

    /// Adds a fold, joining what is before it.
    pub(crate) fn push_fold(&mut self, fold: Fold) {
        if let Some(Item::Fold(last)) = self.items.last_mut()
            && last.prefix == fold.prefix
            && last.suffix == fold.suffix
        {
            fold.spans
                .into_iter()
                .for_each(|span| push_span(&mut last.spans, span));
        } else {
            self.items.push(Item::Fold(Box::new(fold)));
        }
    }

    pub(crate) fn push_item(&mut self, item: Item) {
        self.items.push(item);
    }

    pub(super) fn into_items(self) -> Vec<Item> {
        self.items
    }

    pub(crate) fn items(&self) -> &[Item] {
        &self.items
    }

    pub(super) fn pieces(&self) -> impl Iterator<Item = Piece<'_>> + Clone {
        self.items.iter().map(Piece::from)
    }

    /// Whether `name` is one of the names.
    #[must_use]
    pub fn contains(&self, name: &NodeName) -> bool {
        self.items.iter().any(|item| item.contains(name))
    }

    /// How many ranges it is when only last numbers are folded: what sorting,
    /// sets and [`to_slurm`](HostList::to_slurm) take time and memory for.
    fn ranges(&self) -> u128 {
        let ranges = |item: &Item| match item {
            Item::Name(_) => 1,
            Item::Fold(fold) => fold.spans.len() as u128,
            Item::Grid(grid) => u128::from(grid.runs()),
        };
        self.items.iter().map(ranges).sum()
    }

    /// The same names in Slurm's order, duplicates kept.
    ///
    /// Takes memory for every range, and every combination of all brackets of
    /// an item but the last: for a text from outside see
    /// [`try_sorted`](HostList::try_sorted).
    ///
    /// ```
    /// # use slurmburst_core::hostlist::HostList;
    /// assert_eq!("n10,n[1-5],n3".parse::<HostList>()?.sorted().to_slurm(), "n[1-3,3-5,10]");
    /// # Ok::<(), slurmburst_core::hostlist::HostlistError>(())
    /// ```
    #[must_use]
    pub fn sorted(&self) -> HostList {
        let set = self.to_set();
        if set.count() == self.count() {
            return set.to_list();
        }
        let runs: Vec<_> = Runs::new(self.pieces()).collect();
        let segs = runs
            .iter()
            .map(|run| Run {
                prefix: &*run.prefix,
                span: run.span,
                suffix: &*run.suffix,
            })
            .collect();
        let mut list = HostList::new();
        for seg in sorted(segs) {
            list.push_run(&seg);
        }
        list
    }

    /// [`sorted`](HostList::sorted), if that takes no more ranges, or names
    /// where ranges overlap, than [`Limits::names`].
    ///
    /// # Errors
    /// [`HostlistErrorKind::TooManyNames`].
    pub fn try_sorted(&self, limits: &Limits) -> Result<HostList, HostlistError> {
        if self.count() > u128::from(limits.names) {
            let set = self.try_to_set(limits)?;
            // Only then do ranges stay as long as they are.
            if set.interleaved() > 0 || set.count() < self.count() {
                within(self.count(), "names to sort", limits)?;
            }
        }
        Ok(self.sorted())
    }

    fn push_run(&mut self, run: &Run<&str>) {
        match run.span {
            None => self.items.push(Item::Name(NodeName::trusted(run.prefix))),
            Some(span) => match self.items.last_mut() {
                Some(Item::Fold(last))
                    if *last.prefix == *run.prefix && *last.suffix == *run.suffix =>
                {
                    push_span(&mut last.spans, span);
                }
                _ => self.items.push(Item::Fold(Box::new(Fold {
                    prefix: run.prefix.into(),
                    suffix: run.suffix.into(),
                    spans: vec![span],
                }))),
            },
        }
    }

    /// The names as a set.
    ///
    /// Takes memory for every range, and every combination of all brackets of
    /// an item but the last: for a text from outside see
    /// [`try_to_set`](HostList::try_to_set).
    #[must_use]
    pub fn to_set(&self) -> HostSet {
        HostSet::from(self)
    }

    /// [`to_set`](HostList::to_set), if that takes no more ranges than
    /// [`Limits::names`]. Names with text after their last number count one by
    /// one: they may have to be sorted in between each other.
    ///
    /// # Errors
    /// [`HostlistErrorKind::TooManyNames`].
    pub fn try_to_set(&self, limits: &Limits) -> Result<HostSet, HostlistError> {
        within(self.ranges(), "ranges in a set", limits)?;
        whole(self.to_set(), limits)
    }

    /// [`try_to_set`](HostList::try_to_set) of a list that is not needed any
    /// more, whose ranges need not be copied.
    ///
    /// # Errors
    /// [`HostlistErrorKind::TooManyNames`].
    pub fn try_into_set(self, limits: &Limits) -> Result<HostSet, HostlistError> {
        within(self.ranges(), "ranges in a set", limits)?;
        whole(HostSet::from(self), limits)
    }

    /// As slurmctld itself prints it: order kept, only a number that ends the
    /// name folded. Every Slurm since 22.05 reads it; to that end a range of
    /// more than 65,536 names is cut (`n[1-65536,65537-70000]`), which Slurm
    /// prints in one piece and then refuses to read.
    ///
    /// Names with something after their last number are written one by one,
    /// as are all combinations of brackets but the last; for a text from
    /// outside, check [`len`](HostList::len) first.
    #[must_use]
    pub fn to_slurm(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = self.write_slurm(&mut out);
        out
    }

    /// [`to_slurm`](HostList::to_slurm) into something else than a string.
    ///
    /// # Errors
    /// Only those of `out`.
    pub fn write_slurm(&self, out: &mut impl fmt::Write) -> fmt::Result {
        write_slurm(self.pieces(), out)
    }

    /// Folds every number that it can, also with text after it, and keeps
    /// the order. Slurm reads it since 23.11.
    ///
    /// Ranges are written whole however long; Slurm reads none of more than
    /// 65,536 names.
    #[must_use]
    pub fn to_compact(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = compact::write_list(&self.items, &mut out);
        out
    }

    /// Whether both hold the same ranges in the same pieces.
    pub(super) fn same_pieces(&self, other: &HostList) -> bool {
        self.items.len() == other.items.len()
            && self.items.iter().zip(&other.items).all(|pair| match pair {
                (Item::Name(a), Item::Name(b)) => a == b,
                (Item::Fold(a), Item::Fold(b)) => {
                    a.spans == b.spans && a.prefix == b.prefix && a.suffix == b.suffix
                }
                (Item::Grid(a), Item::Grid(b)) => same_grid(a, b),
                _ => false,
            })
    }
}

fn same_grid(a: &Grid, b: &Grid) -> bool {
    a.literals == b.literals && a.dims == b.dims
}

/// The set, if its names need not be sorted in between each other too much.
fn whole(set: HostSet, limits: &Limits) -> Result<HostSet, HostlistError> {
    let what = "names in between each other in a set";
    within(set.interleaved(), what, limits)?;
    Ok(set)
}

/// Refuses what would take too much memory.
fn within(count: u128, what: &str, limits: &Limits) -> Result<(), HostlistError> {
    if count <= u128::from(limits.names) {
        return Ok(());
    }
    let what = format!(
        "{count} {what}, at most {} are collected; stream them instead or raise Limits::names",
        limits.names
    );
    Err(HostlistError::new(
        HostlistErrorKind::TooManyNames,
        "",
        0..0,
        0..0,
        what,
    ))
}
