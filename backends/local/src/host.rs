//! This machine as a place where nodes run: what power-up, power-down and
//! listing have in common. Everything here blocks; the provider calls it from
//! a thread of its own.

use std::io;
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use slurmburst_core::clock::Clock;
use slurmburst_core::error::{Effect, Error, ErrorKind, Result};
use slurmburst_core::hostlist::NodeName;
use slurmburst_core::outcome::{Machine, Outcome};
use slurmburst_core::provider::{
    Chore, Direction, Gap, Generation, Instance, InstanceState, Listing, Owner, Pending,
};

use crate::books::{Book, Books, Held, State};
use crate::config::LocalConfig;
use crate::process::{Scan, Tags};
use crate::slurmconf;

/// How long a boot may be overdue before it counts as failed: nobody completes it.
const OVERDUE: Duration = Duration::from_secs(60);

/// What all clones of a provider share.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) config: LocalConfig,
    pub(crate) clock: Clock,
    /// Slurmds that this process started, to be reaped when they end.
    children: Arc<Mutex<Vec<Child>>>,
}

impl Host {
    pub(crate) fn new(config: LocalConfig) -> Host {
        Host {
            config,
            clock: Clock::system(),
            children: Arc::default(),
        }
    }

    pub(crate) fn books(&self, cluster: &str) -> Books {
        Books::new(&self.config.run_dir, cluster)
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    pub(crate) fn keep(&self, child: Child) {
        self.children
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(child);
    }

    /// Reaps what has ended, and says how for `pid`, if it is among that.
    pub(crate) fn reap(&self, pid: Option<i32>) -> Option<String> {
        let mut said = None;
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.retain_mut(|child| match child.try_wait() {
            Ok(None) => true,
            Ok(Some(status)) => {
                if pid == Some(child.id().cast_signed()) {
                    said = Some(status.to_string());
                }
                false
            }
            Err(_) => false,
        });
        said
    }

    pub(crate) fn scan(&self) -> Result<Scan> {
        self.reap(None);
        Scan::take().map_err(|e| {
            Error::new(
                ErrorKind::Unavailable,
                format!("cannot read /proc: {e}; is it mounted?"),
            )
            .effect(Effect::None)
            .source(e)
        })
    }

    pub(crate) fn lock(&self, books: &Books, until: Instant) -> Result<Held> {
        match books.lock(until) {
            Ok(Some(held)) => Ok(held),
            Ok(None) => Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "another process holds {} and did not finish in time; see `fuser {0}`",
                    books.lock_file().display()
                ),
            )),
            Err(e) => Err(self.books_error(&format!("lock {}", books.lock_file().display()), e)),
        }
    }

    /// Something is wrong with the files in `run_dir`; nothing was done.
    pub(crate) fn books_error(&self, what: &str, e: io::Error) -> Error {
        let kind = match e.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Auth,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Quota,
            _ => ErrorKind::Unexpected,
        };
        let message = format!(
            "cannot {what}: {e}; make {} writable for the user that runs this, or set \
             provider.{}.run_dir",
            self.config.run_dir.display(),
            self.config.name
        );
        Error::new(kind, message).effect(Effect::None).source(e)
    }

    /// Whether a power-down that left `book` may still be under way. An older
    /// one was interrupted, and somebody has to do it again.
    pub(crate) fn stop_goes_on(&self, book: &Book) -> bool {
        let limit = self.config.stop_timeout + Duration::from_secs(10);
        book.state == State::Stopping && self.now_ms() - book.since_ms < millis(limit)
    }

    /// Ends what is in the books of a node that runs no more: nothing stays, or
    /// the identity.
    pub(crate) fn finish(&self, books: &Books, book: &Book, keep_identity: bool) -> Result<()> {
        let node = &book.tags.node;
        let conf = slurmconf::Conf::read(&book.conf);
        conf.clean(node, &self.config.run_dir)
            .and_then(|()| {
                if keep_identity {
                    let stopped = Book {
                        state: State::Stopped,
                        since_ms: self.now_ms(),
                        process: None,
                        ..book.clone()
                    };
                    books.write(&stopped)
                } else {
                    books.remove(node)
                }
            })
            .map_err(|e| self.books_error(&format!("clean up after {node}"), e))
    }

    /// Every node of the cluster that has a book or a slurmd with our tags.
    pub(crate) fn list(&self, cluster: &str) -> Result<Listing> {
        let books = self.books(cluster);
        // The books first: a slurmd that starts in between is then seen twice
        // rather than never.
        let (all, broken) = books
            .all()
            .map_err(|e| self.books_error("read the books", e))?;
        let scan = self.scan()?;
        let mut listing = Listing::default();
        for book in &all {
            let node = &book.tags.node;
            let state = self.state_of(book, &scan, &books);
            let (Some(state), Ok(name)) = (state, NodeName::new(node)) else {
                continue;
            };
            listing
                .instances
                .push(instance(name, &book.tags, state, book.launched_ms));
        }
        for tags in scan.slurmds.iter().filter_map(|s| s.tags.as_ref()) {
            let known = |i: &Instance| i.node.as_str() == tags.node;
            if tags.owner != books.owner() || listing.instances.iter().any(known) {
                continue;
            }
            if let Ok(name) = NodeName::new(&tags.node) {
                listing
                    .instances
                    .push(instance(name, tags, InstanceState::Running, None));
            }
        }
        for (path, e) in broken {
            let what = format!(
                "read {}, which is no book of ours or was damaged; delete it",
                path.display()
            );
            let error = self.books_error(&what, e);
            listing.gaps.push(Gap {
                scope: path.display().to_string(),
                error,
            });
        }
        Ok(listing)
    }

    /// What a node with a book is doing; `None` when nothing is left of it.
    pub(crate) fn state_of(
        &self,
        book: &Book,
        scan: &Scan,
        books: &Books,
    ) -> Option<InstanceState> {
        let tags = &book.tags;
        let runs = scan.ours(books.owner(), &tags.node).next().is_some();
        if runs && !self.stop_goes_on(book) {
            return Some(InstanceState::Running);
        }
        if book.state == State::Starting {
            let overdue = self.now_ms() - book.due_ms > millis(OVERDUE);
            return Some(if overdue {
                InstanceState::Failed
            } else {
                InstanceState::Starting
            });
        }
        let home = books.home(&tags.node);
        let keeps = tags.keeps_identity || book.state == State::Stopped;
        if scan
            .belongings(books.owner(), &tags.node, &book.conf, &home)
            .is_empty()
        {
            return keeps.then_some(InstanceState::Stopped);
        }
        Some(match (self.stop_goes_on(book), keeps) {
            (true, true) => InstanceState::Stopping,
            (true, false) => InstanceState::Terminating,
            // slurmd is gone and its steps are not: debris that still computes.
            (false, _) => InstanceState::Failed,
        })
    }

    /// Writes tags for display. There is nothing else to tidy here.
    pub(crate) fn tidy(&self, cluster: &str, chore: &Chore, until: Instant) -> Result<Outcome> {
        let Chore::Tag {
            node,
            instance,
            tags,
        } = chore
        else {
            return Ok(Outcome::AlreadyDone);
        };
        let books = self.books(cluster);
        let _held = self.lock(&books, until)?;
        let what = format!("read the book of {node}");
        let book = books
            .read(node.as_str())
            .map_err(|e| self.books_error(&what, e))?;
        let Some(mut book) = book.filter(|b| b.tags.instance == *instance) else {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("{node} has no instance {instance} here"),
            ));
        };
        book.display.extend(tags.clone());
        books
            .write(&book)
            .map_err(|e| self.books_error(&format!("write the book of {node}"), e))?;
        Ok(done(Some(&book.tags)))
    }
}

fn instance(
    node: NodeName,
    tags: &Tags,
    state: InstanceState,
    launched_ms: Option<i64>,
) -> Instance {
    Instance {
        node,
        id: tags.instance.clone(),
        state,
        owner: Owner::Created,
        generation: Some(Generation(tags.generation)),
        call: Some(tags.call.clone()),
        address: None,
        launched_ms,
        expires_ms: None,
    }
}

pub(crate) fn done(tags: Option<&Tags>) -> Outcome {
    Outcome::Done(Machine {
        instance: tags.map(|t| t.instance.clone()),
        ..Machine::default()
    })
}

pub(crate) fn accepted(
    node: &NodeName,
    tags: &Tags,
    direction: Direction,
    poll_after: Duration,
) -> Outcome {
    Outcome::Accepted(Pending {
        node: node.clone(),
        direction,
        instance: Some(tags.instance.clone()),
        handle: serde_json::Value::Null,
        poll_after,
    })
}

pub(crate) fn millis(d: Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX)
}
