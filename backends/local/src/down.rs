//! Power-down: slurmd is asked to end, then killed; then its steps, as a
//! machine's death would end them.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use slurmburst_core::error::{Effect, Error, ErrorKind, Result};
use slurmburst_core::outcome::{Outcome, Outcomes};
use slurmburst_core::provider::{Direction, DownMode, Pending, PowerDown};

use crate::books::{Book, Books, State};
use crate::host::{Host, accepted, done};
use crate::process::{Ident, Scan, signal};

const LOOK: Duration = Duration::from_millis(20);

/// A node that is being ended.
struct Dying<'a> {
    down: &'a PowerDown,
    book: Book,
    slurmds: Vec<Ident>,
    /// Everything of the node when it was asked to end. What slurmd itself
    /// started can no longer be told from others once slurmd is gone.
    all: Vec<Ident>,
}

impl Host {
    /// Ends the nodes, until `until`.
    pub(crate) fn power_down(
        &self,
        cluster: &str,
        batch: &[PowerDown],
        until: Instant,
    ) -> Outcomes {
        let names = || batch.iter().map(|d| d.node.clone());
        let max = self.config.max_batch;
        if batch.len() > max {
            let message = format!(
                "{} nodes at once, and provider.{}.max_batch is {max}",
                batch.len(),
                self.config.name
            );
            return Outcomes::failed(names(), &Error::new(ErrorKind::Invalid, message));
        }
        let mut outcomes = Outcomes::new(names());
        let books = self.books(cluster);
        let mut dying = Vec::new();
        {
            let both = self
                .lock(&books, until)
                .and_then(|held| Ok((held, self.scan()?)));
            let (_held, scan) = match both {
                Ok(both) => both,
                Err(e) => return Outcomes::failed(names(), &e),
            };
            for down in batch {
                match self.ask(&books, &scan, down) {
                    Ok(Some(d)) => dying.push(d),
                    Ok(None) => _ = outcomes.set(&down.node, Outcome::AlreadyDone),
                    Err(e) => _ = outcomes.set(&down.node, Outcome::Failed(e)),
                }
            }
        }
        // Killing is quick, so waiting may use all but a little of the time left.
        let grace = until.checked_sub(Duration::from_secs(1)).unwrap_or(until);
        let grace = grace.min(Instant::now() + self.config.stop_timeout);
        let running = |d: &Dying<'_>| d.slurmds.iter().any(Ident::alive);
        while Instant::now() < grace && dying.iter().any(running) {
            std::thread::sleep(LOOK);
            self.reap(None);
        }
        self.end(&books, dying, until, &mut outcomes);
        outcomes
    }

    /// Notes that the node is to go, and asks its slurmd to. `None` when there
    /// is nothing to end.
    fn ask<'a>(
        &self,
        books: &Books,
        scan: &Scan,
        down: &'a PowerDown,
    ) -> Result<Option<Dying<'a>>> {
        let node = down.node.as_str();
        let book = self.book_or_adopt(books, scan, node, &self.config.request())?;
        let Some(mut book) = book else {
            return Ok(None);
        };
        if down
            .instance
            .as_ref()
            .is_some_and(|i| *i != book.tags.instance)
        {
            // That one is gone; this is another.
            return Ok(None);
        }
        let keep = down.mode == DownMode::Deallocate;
        let left = scan.belongings(books.owner(), node, &book.conf, &books.home(node));
        let ended = left.is_empty() && book.state != State::Starting;
        if ended && (book.state == State::Stopped) == keep {
            if !keep {
                // It died by itself.
                self.finish(books, &book, false)?;
            }
            return Ok(None);
        }
        book.state = State::Stopping;
        book.since_ms = self.now_ms();
        self.write(books, &book)?;
        let slurmds: Vec<Ident> = scan
            .ours(books.owner(), node)
            .map(|(s, _)| s.ident.clone())
            .collect();
        for ident in &slurmds {
            signal(ident, Signal::SIGTERM).map_err(|e| self.not_ended(down, ident, e))?;
        }
        Ok(Some(Dying {
            down,
            book,
            slurmds,
            all: left,
        }))
    }

    /// Kills whatever is left of the nodes, and settles their books.
    fn end(
        &self,
        books: &Books,
        mut dying: Vec<Dying<'_>>,
        until: Instant,
        outcomes: &mut Outcomes,
    ) {
        let mut looks = 0;
        while !dying.is_empty() {
            let gone: Vec<Dying<'_>>;
            (gone, dying) = match self.scan() {
                Ok(scan) => dying
                    .into_iter()
                    .partition(|d| self.kill(books, &scan, d, outcomes)),
                Err(e) => {
                    let names = dying.iter().map(|d| d.down.node.clone());
                    return outcomes.merge(Outcomes::failed(names, &e));
                }
            };
            if !gone.is_empty() {
                self.close(books, &gone, until, outcomes);
            }
            looks += 1;
            // At least a few looks, also past the deadline: what dies needs a moment.
            if looks > 5 && Instant::now() >= until {
                return;
            }
            if !dying.is_empty() {
                std::thread::sleep(LOOK);
            }
        }
    }

    /// Kills what is left of a node. True when nothing was.
    fn kill(&self, books: &Books, scan: &Scan, d: &Dying<'_>, outcomes: &mut Outcomes) -> bool {
        let tags = &d.book.tags;
        let home = books.home(&tags.node);
        let mut left = scan.belongings(books.owner(), &tags.node, &d.book.conf, &home);
        left.extend(d.all.iter().filter(|ident| ident.alive()).cloned());
        // What is said of the node, should this be the last look.
        let mut outcome = accepted(&d.down.node, tags, Direction::Down, Duration::from_secs(1));
        for ident in &left {
            if let Err(e) = signal(ident, Signal::SIGKILL) {
                outcome = Outcome::Failed(self.not_ended(d.down, ident, e));
            }
        }
        outcomes.set(&d.down.node, outcome);
        left.is_empty()
    }

    /// Nothing runs any more: settles the books.
    fn close(&self, books: &Books, gone: &[Dying<'_>], until: Instant, outcomes: &mut Outcomes) {
        let held = self.lock(
            books,
            until.max(Instant::now() + Duration::from_millis(200)),
        );
        for d in gone {
            let outcome = match &held {
                Ok(_) => self.close_one(books, d).unwrap_or_else(Outcome::Failed),
                Err(e) => Outcome::Failed(e.clone()),
            };
            outcomes.set(&d.down.node, outcome);
        }
    }

    fn close_one(&self, books: &Books, d: &Dying<'_>) -> Result<Outcome> {
        let tags = &d.book.tags;
        let what = format!("read {}", books.path(&tags.node).display());
        let now = books
            .read(&tags.node)
            .map_err(|e| self.books_error(&what, e))?;
        let keep = d.down.mode == DownMode::Deallocate;
        // Another power-down of the same node may have been quicker.
        let same = |b: &Book| b.tags.instance == tags.instance && b.state == State::Stopping;
        if let Some(book) = now.filter(same) {
            self.finish(books, &book, keep)?;
        }
        Ok(done(keep.then_some(tags)))
    }

    fn not_ended(&self, down: &PowerDown, ident: &Ident, e: nix::Error) -> Error {
        let message = format!(
            "process {} of {} cannot be ended: {e}; run this as the user that started it, or \
             `kill {0}`",
            ident.pid, down.node
        );
        Error::new(ErrorKind::Auth, message)
            .effect(Effect::Unknown)
            .source(e)
    }

    /// How far a node has gone down.
    pub(crate) fn poll_down(
        &self,
        cluster: &str,
        pending: &Pending,
        scan: &Scan,
    ) -> Result<Outcome> {
        let books = self.books(cluster);
        let node = pending.node.as_str();
        let what = format!("read {}", books.path(node).display());
        let book = books.read(node).map_err(|e| self.books_error(&what, e))?;
        let wanted = |i: &str| pending.instance.as_ref().is_none_or(|p| p == i);
        let runs = scan
            .ours(books.owner(), node)
            .any(|(_, t)| wanted(&t.instance));
        match book.filter(|b| wanted(&b.tags.instance)) {
            Some(b) if b.state == State::Stopped && !runs => Ok(done(Some(&b.tags))),
            Some(b) if self.stop_goes_on(&b) => Ok(accepted(
                &pending.node,
                &b.tags,
                Direction::Down,
                Duration::from_secs(1),
            )),
            None if !runs => Ok(done(None)),
            _ => Err(Error::new(
                ErrorKind::Timeout,
                format!("the power-down of {node} was interrupted; power it down again"),
            )),
        }
    }
}
