//! Whether a given Slurm reads a text.

use std::fmt;
use std::str::FromStr;

use super::error::HostlistError;
use super::limits::{Dialect, Limits};
use super::list::HostList;
use super::parse::parse_for;

/// A version of Slurm, such as 23.11.
///
/// ```
/// use slurmburst_core::hostlist::SlurmVersion;
///
/// assert!("22.05.8".parse::<SlurmVersion>()? < SlurmVersion::new(23, 11));
/// # Ok::<(), slurmburst_core::hostlist::ParseSlurmVersionError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlurmVersion {
    year: u16,
    month: u16,
}

impl SlurmVersion {
    /// The first that reads text after a bracket.
    const SUFFIXES: SlurmVersion = SlurmVersion::new(23, 11);

    /// The version of that year and month; for 23.11 `new(23, 11)`.
    #[must_use]
    pub const fn new(year: u16, month: u16) -> SlurmVersion {
        SlurmVersion { year, month }
    }

    /// Reads `text`, refusing what this version of Slurm refuses: ranges of
    /// more than 65,536 names, and before 23.11 text after a bracket.
    ///
    /// ```
    /// use slurmburst_core::hostlist::SlurmVersion;
    ///
    /// assert!(SlurmVersion::new(22, 5).check("n[1-2]-ib").is_err());
    /// assert!(SlurmVersion::new(23, 11).check("n[1-2]-ib").is_ok());
    /// assert!(SlurmVersion::new(26, 5).check("n[1-65537]").is_err());
    /// ```
    ///
    /// # Errors
    /// What would be refused and where.
    pub fn check(self, text: &str) -> Result<HostList, HostlistError> {
        let suffixes = self >= SlurmVersion::SUFFIXES;
        parse_for(text, Dialect::SlurmCompat, &Limits::slurm(), suffixes)
    }
}

impl fmt::Display for SlurmVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.year, self.month)
    }
}

/// The text is no version of Slurm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseSlurmVersionError(());

impl fmt::Display for ParseSlurmVersionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a version of Slurm; write it like `23.11` or `23.11.4`")
    }
}

impl std::error::Error for ParseSlurmVersionError {}

impl FromStr for SlurmVersion {
    type Err = ParseSlurmVersionError;

    /// `23.11`, or `23.11` and anything after another dot or a dash.
    fn from_str(text: &str) -> Result<SlurmVersion, ParseSlurmVersionError> {
        let mut parts = text.split(['.', '-']);
        let mut number = || {
            let part = parts
                .next()
                .filter(|part| part.bytes().all(|b| b.is_ascii_digit()))?;
            part.parse().ok()
        };
        match (number(), number()) {
            (Some(year), Some(month @ 1..=12)) => Ok(SlurmVersion { year, month }),
            _ => Err(ParseSlurmVersionError(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hostlist::HostlistErrorKind;

    #[test]
    fn text_after_a_bracket_needs_23_11() {
        let old = SlurmVersion::new(22, 5);
        for text in ["n[1-2]-ib", "r[1-2]n1", "x,n[1-2].example.com"] {
            let error = old.check(text).unwrap_err();
            assert_eq!(error.kind(), HostlistErrorKind::SuffixUnsupported, "{text}");
            assert!(SlurmVersion::new(24, 11).check(text).is_ok());
        }
        assert!(old.check("a[1-2]b[3-4],n1-ib").is_ok());
        let list: HostList = "n[1-2]-ib,m[1-70000]".parse().unwrap();
        assert!(old.check(&list.to_slurm()).is_ok());
    }

    #[test]
    fn reads_versions() {
        assert_eq!("24.11.5".parse(), Ok(SlurmVersion::new(24, 11)));
        assert_eq!(
            "22.05".parse::<SlurmVersion>().unwrap().to_string(),
            "22.05"
        );
        for text in ["", "24", "24.13", "slurm 24.11", "+24.11", "24.+1"] {
            assert!(text.parse::<SlurmVersion>().is_err(), "{text}");
        }
    }
}
