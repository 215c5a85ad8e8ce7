//! How much is too much, and whose mistakes are accepted.

/// Whose reading of doubtful texts applies.
///
/// | text | Slurm | `Strict` | `SlurmCompat` |
/// |---|---|---|---|
/// | `n[1-]` | `n1` | refused | as Slurm |
/// | `n[+1-2]`, `n[ 1-2]`, `n[1 -2]` | `n01`, `n02` | refused | as Slurm |
/// | `n[1, 2]` | `n1`, `n02` | refused | as Slurm |
/// | `n[1.5-2]`, `n[1a8-9]` | a changed number | refused | refused |
/// | `n[18446744073709551616]` | a changed number | refused | refused |
/// | `n18446744073709551616` | a changed number | kept | kept |
/// | `n]`, `n[[1]]`, `n[1[2]` | brackets in a name | refused | refused |
/// | `a[x]b[1]c[1]` | no host | refused | refused |
/// | control characters, white space in a name | kept | refused | refused |
/// | `,a,,b,`, space, tab, newline between items | skipped | as Slurm | as Slurm |
///
/// Both refuse what Slurm refuses. The rule behind the last column: what
/// Slurm reads with the digits that were written is read as Slurm does; what
/// it reads by losing or changing a host, or with a bracket in a name, is
/// refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// Refuses what Slurm accepts and silently reads as something else.
    #[default]
    Strict,
    /// Accepts what Slurm accepts, with the same result, where no host gets
    /// lost or changed by it.
    SlurmCompat,
}

/// How much is too much.
///
/// Take a ready one and change what you need:
///
/// ```
/// use slurmburst_core::hostlist::{Dialect, HostList, Limits};
///
/// let limits = Limits { names: 3, ..Limits::default() };
/// let list: HostList = "n[1-4]".parse()?;
/// assert!(list.collect_names(&limits).is_err());
///
/// // Slurm itself reads no range of more than 65,536 names.
/// assert!(HostList::parse_with("n[1-65537]", Dialect::Strict, &Limits::slurm()).is_err());
/// assert_eq!("n[1-65537]".parse::<HostList>()?.len(), 65_537);
/// # Ok::<(), slurmburst_core::hostlist::HostlistError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Bytes of text.
    pub input_bytes: usize,
    /// Bytes of one name. [`NodeName::new`](super::NodeName::new) has 255
    /// whatever this is.
    pub name_bytes: usize,
    /// Brackets in one item.
    pub brackets_per_item: usize,
    /// Ranges in one bracket.
    pub ranges_per_bracket: usize,
    /// Ranges in all brackets together.
    pub ranges_per_list: usize,
    /// Names in one range.
    pub names_per_range: u64,
    /// Names in a bracket that another bracket follows.
    pub names_per_leading_bracket: u64,
    /// Names (or ranges, where ranges are what takes the memory) when names
    /// are collected, sorted or made a set of. Parsing does not use it.
    pub names: u64,
}

impl Default for Limits {
    /// 1 MiB of text, 255 bytes a name, 8 brackets an item, 65,536 ranges a
    /// bracket and 262,144 a list, 1,048,576 names collected; ranges as long
    /// as they like.
    fn default() -> Limits {
        Limits {
            input_bytes: 1 << 20,
            name_bytes: 255,
            brackets_per_item: 8,
            ranges_per_bracket: 65_536,
            ranges_per_list: 262_144,
            names_per_range: u64::MAX,
            names_per_leading_bracket: u64::MAX,
            names: 1 << 20,
        }
    }
}

impl Limits {
    /// What Slurm itself reads: no range of more than 65,536 names, and no
    /// more than that in a bracket that another one follows. Slurm has no
    /// limit on brackets (100,000 of them crash it) and on names; this has 64
    /// and 4,096 bytes.
    #[must_use]
    pub fn slurm() -> Limits {
        Limits {
            name_bytes: 4096,
            brackets_per_item: 64,
            names_per_range: 65_536,
            names_per_leading_bracket: 65_536,
            ..Limits::default()
        }
    }
}
