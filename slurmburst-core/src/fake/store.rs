use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::books::Books;
use crate::error::{Effect, Error, ErrorKind, Result};

/// Where the books are.
#[derive(Debug)]
pub(super) enum Store {
    Memory(Arc<Mutex<Books>>),
    File(PathBuf),
}

impl Store {
    /// Does something with the books while nobody else does.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut Books) -> R) -> Result<R> {
        match self {
            Store::Memory(books) => Ok(act(&mut books
                .lock()
                .unwrap_or_else(PoisonError::into_inner))),
            Store::File(path) => with_file(path, act).map_err(|error| {
                let text = format!("the fake cloud's books {}: {error}", path.display());
                Error::new(ErrorKind::Unexpected, text).effect(Effect::None)
            }),
        }
    }
}

fn with_file<R>(path: &Path, act: impl FnOnce(&mut Books) -> R) -> io::Result<R> {
    // The lock is on a file of its own: the books are replaced, not rewritten.
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.with_extension("lock"))?;
    lock.lock()?;
    let mut books = match fs::read(path) {
        Ok(bytes) => serde_json::from_slice::<Books>(&bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Books::default(),
        Err(error) => return Err(error),
    };
    books.reindex();
    let answer = act(&mut books);
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(&serde_json::to_vec(&books)?)?;
    drop(file);
    fs::rename(&new, path)?;
    Ok(answer)
}
