//! Lists of node names as Slurm writes them: `gpu[1-3,7],login,r[1-2]n[01-16]`.
//!
//! [`HostList`] is what Slurm passes: ordered, duplicates kept. [`HostSet`] is
//! sorted as Slurm sorts, each name once. [`NodeName`] is one name. None of
//! them is ever expanded unless you ask for the names.
//!
//! ```
//! use slurmburst_core::hostlist::{HostList, HostSet, NodeName};
//!
//! let resumed: HostList = "n[10,9,1-2]".parse()?;
//! for name in &resumed {
//!     assert_eq!(name.prefix(), "n");
//! }
//! assert_eq!(resumed.to_string(), "n[10,9,1-2]");
//!
//! let mut set = resumed.to_set();
//! set.remove(&NodeName::new("n1")?);
//! assert_eq!(set.to_string(), "n[2,9-10]");
//! assert!("n2".parse::<HostSet>()?.is_subset(&set));
//! # Ok::<(), slurmburst_core::hostlist::HostlistError>(())
//! ```
//!
//! # What is read
//!
//! Items with commas between them; blanks, tabs and newlines do as well, and
//! nothing between two of them is skipped. An item is text with brackets in
//! it, as Slurm reads it since 23.11: several, and with text after them. In a
//! bracket there are numbers and ranges with commas between them. The width
//! of a range is that of its first number: `[08-11]` is `08 09 10 11`,
//! `[8-011]` is `8 9 10 11`. Names cannot have commas, brackets, white space
//! or control characters.
//!
//! Two brackets count like digits, the last fastest. With three and more the
//! last is still fastest, then the first, then the second and so on: that is
//! how Slurm does it.
//!
//! # What differs from Slurm
//!
//! | | Slurm | here |
//! |---|---|---|
//! | `n[1-]`, `n[+1-2]`, `n[1, 2]` | something, silently | an error, unless [`Dialect::SlurmCompat`] |
//! | `n[1.5-2]`, `n]`, a control character | something, silently | an error |
//! | a name with a number above 64 bits | another name | that name |
//! | `n1,n3000000000` sorted | loses one | keeps both |
//! | a range of more than 65,536 names | printed, not read | read (unless [`Limits::slurm`]), printed in parts |
//! | a range up to 18446744073709551615 | crashes | works |
//!
//! A list is folded by its names, not by how it was written: `n1[3-4]` is
//! `n[13-14]`.

mod algebra;
mod block;
mod compact;
mod error;
mod item;
mod iter;
mod limits;
mod list;
mod list_traits;
mod name;
mod order;
mod parse;
mod piece;
mod print;
mod range;
mod runs;
#[cfg(feature = "serde")]
mod serde;
mod set;
mod set_traits;
mod sort;
mod spans;
mod version;

pub use error::{HostlistError, HostlistErrorKind};
pub use iter::{Iter, SetIter};
pub use limits::{Dialect, Limits};
pub use list::HostList;
pub use name::NodeName;
pub use set::HostSet;
pub use version::{ParseSlurmVersionError, SlurmVersion};
