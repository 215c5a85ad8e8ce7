//! Which Slurm a test runs against, and whether it is on this machine.

use std::env;
use std::fmt;
use std::path::PathBuf;
use std::process::Command;

/// One of the two Slurms that `tests/setup.sh` installs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlurmVersion {
    /// The one that this system packages: 22.05 on Debian 12.
    Packaged,
    /// The one in the tree that `setup.sh newer` makes: 24.11, from Debian 13.
    Newer,
}

/// A release of Slurm; prints as `22.05.8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// 22 in 22.05.8.
    pub year: u16,
    /// 5 in 22.05.8.
    pub month: u16,
    /// 8 in 22.05.8.
    pub patch: u16,
}

impl SlurmVersion {
    /// All that a test can be run against.
    pub const ALL: [Self; 2] = [Self::Packaged, Self::Newer];

    /// The release that is here, or why a cluster of it cannot be started.
    pub fn available(self) -> Result<Release, String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("a cluster needs root".to_owned());
        }
        let mut command = match self.tree() {
            None => Command::new("slurmctld"),
            Some(tree) => {
                if !tree.join("usr/sbin/slurmctld-wlm").exists() {
                    return Err(format!(
                        "no Slurm in {}: run tests/setup.sh newer",
                        tree.display()
                    ));
                }
                let mut chroot = Command::new("chroot");
                chroot.arg(tree).arg("slurmctld");
                chroot
            }
        };
        let output = command
            .arg("-V")
            .env("PATH", search_path())
            .output()
            .map_err(|error| format!("slurmctld: {error}: run tests/setup.sh slurm"))?;
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        Release::parse(&answer).ok_or_else(|| {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            format!("slurmctld -V: {} {answer:?} {said:?}", output.status)
        })
    }

    /// The release, or `None` where this test cannot run and has to return.
    ///
    /// # Panics
    /// Where it cannot run although `SLURMBURST_REQUIRE_SLURM=1` says that it must.
    pub fn or_skip(self) -> Option<Release> {
        match self.available() {
            Ok(release) => Some(release),
            Err(reason) if env::var_os("SLURMBURST_REQUIRE_SLURM").is_some_and(|v| v == "1") => {
                panic!("SLURMBURST_REQUIRE_SLURM=1, but no {self:?} Slurm: {reason}")
            }
            Err(reason) => {
                eprintln!("skipped: no {self:?} Slurm: {reason}");
                None
            }
        }
    }

    /// The root of the tree that this Slurm is in, unless it is the system's own.
    pub(crate) fn tree(self) -> Option<PathBuf> {
        match self {
            Self::Packaged => None,
            Self::Newer => Some(match env::var_os("SLURMBURST_SLURM_NEW") {
                Some(tree) => tree.into(),
                None => {
                    let home = env::var_os("HOME").unwrap_or_else(|| "/root".into());
                    PathBuf::from(home).join(".cache/slurmburst-slurm/trixie")
                }
            }),
        }
    }
}

impl Release {
    /// Reads the answer of `slurmctld -V`, such as `slurm-wlm 22.05.8`.
    fn parse(answer: &str) -> Option<Self> {
        let mut numbers = answer.split_whitespace().last()?.split('.');
        let mut next = || {
            let digits = numbers
                .next()?
                .split(|c: char| !c.is_ascii_digit())
                .next()?;
            digits.parse().ok()
        };
        Some(Self {
            year: next()?,
            month: next()?,
            patch: next()?,
        })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}.{}", self.year, self.month, self.patch)
    }
}

/// Where commands are looked for: daemons too, which a user's own path may leave out.
pub(crate) fn search_path() -> String {
    let own = env::var("PATH").unwrap_or_default();
    format!("{own}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
}

#[cfg(test)]
mod tests {
    use super::Release;

    #[test]
    fn a_release_is_read_from_what_slurmctld_says() {
        let release = Release::parse("slurm-wlm 22.05.8\n").unwrap();
        assert_eq!(
            release,
            Release {
                year: 22,
                month: 5,
                patch: 8
            }
        );
        assert_eq!(release.to_string(), "22.05.8");
        let pre = Release::parse("slurm 25.11.0-0rc1\n").unwrap();
        assert_eq!(pre.to_string(), "25.11.0");
        assert_eq!(Release::parse(""), None);
        assert_eq!(Release::parse("slurm"), None);
    }
}
