//! The books: one JSON file per node in `run_dir/CLUSTER/`.
//!
//! A book is written before anything is done (the intent), replaced whole by
//! rename, and removed last. So a crash leaves at most a book whose work is not
//! done; the work is then found done in `/proc`, or is done by the next replay.
//! Whoever changes anything holds the cluster's lock. The kernel frees it with
//! its holder; a child that is just being started holds it until it has become
//! slurmd, so nobody looks for that slurmd too early.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::process::{Ident, Tags};

/// How far a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// To be started at [`Book::due_ms`]; perhaps started, and not noted yet.
    Starting,
    /// Started as [`Book::process`].
    Running,
    /// Being ended.
    Stopping,
    /// Deallocated: the identity is kept.
    Stopped,
}

/// What is known of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Book {
    pub(crate) tags: Tags,
    pub(crate) state: State,
    /// When the state was entered, in milliseconds since 1970.
    pub(crate) since_ms: i64,
    /// When the boot is over, in milliseconds since 1970.
    pub(crate) due_ms: i64,
    pub(crate) launched_ms: Option<i64>,
    /// The program to start.
    pub(crate) slurmd: PathBuf,
    pub(crate) conf: PathBuf,
    /// Its arguments, without the program's name.
    pub(crate) argv: Vec<String>,
    pub(crate) process: Option<Ident>,
    /// Tags that were written later, for display.
    #[serde(default)]
    pub(crate) display: BTreeMap<String, String>,
}

/// The books of one cluster.
#[derive(Debug, Clone)]
pub(crate) struct Books {
    dir: PathBuf,
    owner: String,
}

/// A file that is no book, and why.
pub(crate) type Broken = (PathBuf, io::Error);

/// The lock of [`Books`], while it is held.
#[derive(Debug)]
pub(crate) struct Held(#[allow(dead_code)] File);

impl Books {
    pub(crate) fn new(run_dir: &Path, cluster: &str) -> Books {
        let dir = run_dir.join(file_name(cluster));
        Books {
            owner: dir.to_string_lossy().into_owned(),
            dir,
        }
    }

    /// What the tags of this cluster's slurmds name as their owner.
    pub(crate) fn owner(&self) -> &str {
        &self.owner
    }

    pub(crate) fn lock_file(&self) -> PathBuf {
        self.dir.join("lock")
    }

    /// The folder that a node's slurmd runs in.
    pub(crate) fn home(&self, node: &str) -> PathBuf {
        self.dir.join(format!("{}.d", file_name(node)))
    }

    /// What slurmd says while it starts.
    pub(crate) fn log(&self, node: &str) -> PathBuf {
        self.home(node).join("slurmd.out")
    }

    pub(crate) fn path(&self, node: &str) -> PathBuf {
        self.dir.join(format!("{}.json", file_name(node)))
    }

    /// Makes the folder and takes the lock; `None` when `until` passes first.
    pub(crate) fn lock(&self, until: Instant) -> io::Result<Option<Held>> {
        fs::create_dir_all(&self.dir)?;
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.lock_file())?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Held(file))),
                Err(TryLockError::Error(e)) => return Err(e),
                Err(TryLockError::WouldBlock) if Instant::now() >= until => return Ok(None),
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// The book of a node, if there is one.
    pub(crate) fn read(&self, node: &str) -> io::Result<Option<Book>> {
        read(&self.path(node))
    }

    /// All books, and the files that cannot be read.
    pub(crate) fn all(&self) -> io::Result<(Vec<Book>, Vec<Broken>)> {
        let (mut books, mut broken) = (Vec::new(), Vec::new());
        let entries = match fs::read_dir(&self.dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok((books, broken)),
            other => other?,
        };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_none_or(|ext| ext != "json") {
                continue;
            }
            match read(&path) {
                Ok(book) => books.extend(book),
                Err(e) => broken.push((path, e)),
            }
        }
        books.sort_by(|a, b| a.tags.node.cmp(&b.tags.node));
        Ok((books, broken))
    }

    pub(crate) fn write(&self, book: &Book) -> io::Result<()> {
        let path = self.path(&book.tags.node);
        let new = path.with_extension("new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        serde_json::to_writer_pretty(&mut file, book)?;
        file.write_all(b"\n")?;
        file.sync_data()?;
        fs::rename(&new, &path)
    }

    /// Forgets a node: its folder first, so that a crash leaves the book that
    /// says there is something to clean.
    pub(crate) fn remove(&self, node: &str) -> io::Result<()> {
        absent_is_fine(fs::remove_dir_all(self.home(node)))?;
        absent_is_fine(fs::remove_file(self.path(node).with_extension("new")))?;
        absent_is_fine(fs::remove_file(self.path(node)))
    }
}

fn read(path: &Path) -> io::Result<Option<Book>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(io::Error::from),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

pub(crate) fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A name that is a file name, whatever is in it, and different for each name.
fn file_name(name: &str) -> String {
    let mut out = String::new();
    for (i, byte) in name.bytes().enumerate() {
        match byte {
            b'.' if i == 0 => out.push_str("%2e"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02x}")),
        }
    }
    if out.is_empty() { "%".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_folder() {
        let names = ["hpc1-7f3a", "..", ".", "", "a/b", "a%2fb", "ä", "lock"];
        let files: std::collections::BTreeSet<String> =
            names.iter().map(|n| file_name(n)).collect();
        assert_eq!(files.len(), names.len());
        for file in files {
            assert!(
                !file.contains('/') && !file.starts_with('.') && !file.is_empty(),
                "{file}"
            );
        }
    }

    #[test]
    fn one_holder_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let books = Books::new(dir.path(), "x");
        let held = books.lock(Instant::now()).unwrap();
        assert!(held.is_some());
        assert!(books.lock(Instant::now()).unwrap().is_none());
        drop(held);
        assert!(books.lock(Instant::now()).unwrap().is_some());
    }

    #[test]
    fn a_broken_book_is_named_and_hides_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let books = Books::new(dir.path(), "x");
        assert!(books.all().unwrap().0.is_empty());
        let held = books.lock(Instant::now()).unwrap();
        let tags = Tags {
            node: "c1".into(),
            ..Tags::default()
        };
        let book = Book {
            tags,
            state: State::Stopped,
            since_ms: 1,
            due_ms: 1,
            launched_ms: None,
            slurmd: "/s".into(),
            conf: "/c".into(),
            argv: vec![],
            process: None,
            display: BTreeMap::new(),
        };
        books.write(&book).unwrap();
        fs::write(books.path("c2"), "{").unwrap();
        let (all, broken) = books.all().unwrap();
        assert_eq!(all, [book]);
        assert_eq!(broken[0].0, books.path("c2"));
        books.remove("c1").unwrap();
        books.remove("c1").unwrap();
        assert_eq!(books.read("c1").unwrap(), None);
        drop(held);
    }
}
