//! Power-up, and the completion of a pretended boot.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use slurmburst_core::error::{Effect, Error, ErrorKind, Result};
use slurmburst_core::hostlist::NodeName;
use slurmburst_core::outcome::{Outcome, Outcomes};
use slurmburst_core::provider::{Call, CallNode, Direction, Lifecycle, Pending};

use crate::books::{Book, Books, State};
use crate::config::Request;
use crate::host::{Host, accepted, done};
use crate::process::{Ident, Scan, Tags, signal};

/// A slurmd that ends within this time did not start.
const SETTLE: Duration = Duration::from_millis(700);
/// The most of slurmd's last words that goes into an error.
const WORDS: usize = 400;

/// What became of a node so far.
enum Step {
    Said(Outcome),
    /// A slurmd was started; whether it stays is still to be seen.
    Started(Box<Book>),
}

impl Host {
    /// Starts the nodes of the calls, until `until`.
    pub(crate) fn power_up(&self, cluster: &str, calls: &[Call], until: Instant) -> Outcomes {
        let names = || calls.iter().flat_map(Call::names).cloned();
        let mut outcomes = Outcomes::new(names());
        let books = self.books(cluster);
        let (held, scan) = match self
            .lock(&books, until)
            .and_then(|held| Ok((held, self.scan()?)))
        {
            Ok(both) => both,
            Err(e) => return Outcomes::failed(names(), &e),
        };
        let mut started = Vec::new();
        for call in calls {
            if let Err(e) = self.admit(call) {
                outcomes.merge(Outcomes::failed(call.names().cloned(), &e));
                continue;
            }
            for node in &call.nodes {
                if Instant::now() >= until {
                    let why = "the deadline passed before slurmd was started";
                    outcomes.set(&node.name, Outcome::Skipped(why.into()));
                    continue;
                }
                match self.up(&books, &scan, call, node) {
                    Ok(Step::Said(outcome)) => _ = outcomes.set(&node.name, outcome),
                    Ok(Step::Started(book)) => started.push((node.name.clone(), book)),
                    Err(e) => _ = outcomes.set(&node.name, Outcome::Failed(e)),
                }
            }
        }
        // Others may go on while we look whether they stay.
        drop(held);
        self.settle(&books, started, until, &mut outcomes);
        outcomes
    }

    fn admit(&self, call: &Call) -> Result<()> {
        let (n, max) = (call.nodes.len(), self.config.max_batch);
        if n > max {
            let message = format!(
                "call {} names {n} nodes, and provider.{}.max_batch is {max}",
                call.id, self.config.name
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        Ok(())
    }

    fn up(&self, books: &Books, scan: &Scan, call: &Call, node: &CallNode) -> Result<Step> {
        let name = node.name.as_str();
        let request: Request = serde_json::from_value(call.request.clone()).map_err(|e| {
            let message = format!("call {} holds no request of a local provider: {e}", call.id);
            Error::new(ErrorKind::Invalid, message)
        })?;
        let keeps_identity = call.placement.lifecycle == Lifecycle::StartDeallocate;
        let fresh = |instance: String| Tags {
            owner: books.owner().to_owned(),
            node: name.to_owned(),
            instance,
            generation: node.generation.0,
            call: call.id.clone(),
            token: call.token.clone(),
            keeps_identity,
        };
        if let Some(other) = scan.foreign(books.owner(), name, &request.conf) {
            let message = format!(
                "slurmd {} already runs as {name} of {} and was not started by this cluster's \
                 slurmburst; end it with `kill {0}`",
                other.ident.pid,
                request.conf.display()
            );
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        let mut book = self.book_or_adopt(books, scan, name, &request)?;
        let running = scan.ours(books.owner(), name).next();
        if let Some(b) = &book
            && self.stop_goes_on(b)
            && !scan
                .belongings(books.owner(), name, &b.conf, &books.home(name))
                .is_empty()
        {
            return Ok(Step::Said(Outcome::Waiting {
                why: format!("the slurmd of {name} is still being ended"),
                retry_after: Duration::from_secs(1),
            }));
        }
        let mut instance = format!("{name}.{:x}", self.now_ms());
        if let Some(b) = book.take() {
            let same = b.tags.token == call.token;
            match b.state {
                State::Starting | State::Running if running.is_some() => {
                    return if same {
                        self.note_running(books, b, running.map(|(s, _)| s.ident.clone()))
                    } else if keeps_identity {
                        Ok(Step::Said(Outcome::AlreadyDone))
                    } else {
                        Err(in_the_way(&b, "runs"))
                    };
                }
                State::Starting if same => return self.boot(books, b, &node.name),
                State::Starting if b.due_ms > self.now_ms() => return Err(in_the_way(&b, "boots")),
                State::Running if same => {
                    let error = self.died(books, &b, None);
                    self.sweep(scan, books, &b);
                    self.finish(books, &b, keeps_identity)?;
                    return Err(error);
                }
                State::Stopped if !keeps_identity => return Err(in_the_way(&b, "is deallocated")),
                // What is left of a slurmd that died, or of an interrupted power-down.
                _ => self.sweep(scan, books, &b),
            }
            if keeps_identity && b.tags.keeps_identity {
                instance = b.tags.instance;
            } else {
                self.finish(books, &b, false)?;
            }
        }
        let now = self.now_ms();
        let due_ms = now.saturating_add(i64::try_from(request.boot_delay_ms).unwrap_or(i64::MAX));
        let book = Book {
            tags: fresh(instance),
            state: State::Starting,
            since_ms: now,
            due_ms,
            launched_ms: None,
            argv: request.argv(name),
            slurmd: request.slurmd,
            conf: request.conf,
            process: None,
            display: BTreeMap::new(),
        };
        self.write(books, &book)?;
        self.boot(books, book, &node.name)
    }

    /// The book of a node, made anew from the tags of its slurmd if it was lost.
    pub(crate) fn book_or_adopt(
        &self,
        books: &Books,
        scan: &Scan,
        node: &str,
        request: &Request,
    ) -> Result<Option<Book>> {
        let what = format!("read {}", books.path(node).display());
        let book = books.read(node).map_err(|e| self.books_error(&what, e))?;
        let Some((slurmd, tags)) = scan.ours(books.owner(), node).next() else {
            return Ok(book);
        };
        if book
            .as_ref()
            .is_some_and(|b| b.tags.instance == tags.instance)
        {
            return Ok(book);
        }
        Ok(Some(Book {
            tags: tags.clone(),
            state: State::Running,
            since_ms: self.now_ms(),
            due_ms: 0,
            launched_ms: None,
            slurmd: request.slurmd.clone(),
            argv: request.argv(node),
            conf: slurmd.conf.clone(),
            process: Some(slurmd.ident.clone()),
            display: BTreeMap::new(),
        }))
    }

    fn note_running(&self, books: &Books, mut book: Book, process: Option<Ident>) -> Result<Step> {
        if book.state != State::Running || book.process != process {
            book.state = State::Running;
            book.launched_ms.get_or_insert(self.now_ms());
            book.process = process;
        }
        self.write(books, &book)?;
        Ok(Step::Said(done(Some(&book.tags))))
    }

    /// Starts the slurmd of a written intent, or says how long its boot still takes.
    fn boot(&self, books: &Books, mut book: Book, node: &NodeName) -> Result<Step> {
        let left = book.due_ms.saturating_sub(self.now_ms());
        if left > 0 {
            let wait = Duration::from_millis(left.unsigned_abs());
            return Ok(Step::Said(accepted(node, &book.tags, Direction::Up, wait)));
        }
        match self.spawn(books, &book) {
            Ok(process) => {
                book.state = State::Running;
                book.since_ms = self.now_ms();
                book.launched_ms = Some(book.since_ms);
                book.process = process;
                // It runs whether or not this can be written; the intent and
                // the slurmd's tags find it again.
                self.write(books, &book)
                    .map_err(|e| e.effect(Effect::Unknown))?;
                Ok(Step::Started(Box::new(book)))
            }
            Err(e) => {
                self.finish(books, &book, false)?;
                Err(self.not_started(&book, e))
            }
        }
    }

    /// Starts slurmd in a process group and a folder of its own, with an
    /// environment of its own. The folder is what its slurmstepds are known by.
    fn spawn(&self, books: &Books, book: &Book) -> io::Result<Option<Ident>> {
        let node = &book.tags.node;
        let home = books.home(node);
        fs::create_dir_all(&home)?;
        let log = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(books.log(node))?;
        let child = Command::new(&book.slurmd)
            .args(&book.argv)
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("SLURM_CONF", &book.conf)
            .envs(book.tags.environment())
            .current_dir(&home)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()?;
        let ident = Ident::of(child.id().cast_signed());
        self.keep(child);
        Ok(ident)
    }

    fn not_started(&self, book: &Book, e: io::Error) -> Error {
        let slurmd = book.slurmd.display();
        let kind = match e.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory => ErrorKind::Capacity,
            _ => ErrorKind::Invalid,
        };
        let message = format!(
            "cannot start {slurmd} for {}: {e}; install slurmd, or set provider.{}.slurmd",
            book.tags.node, self.config.name
        );
        Error::new(kind, message).effect(Effect::None).source(e)
    }

    /// Looks for a while whether the slurmds stay.
    fn settle(
        &self,
        books: &Books,
        mut started: Vec<(NodeName, Box<Book>)>,
        until: Instant,
        outcomes: &mut Outcomes,
    ) {
        let end = until.min(Instant::now() + SETTLE);
        let mut dead = Vec::new();
        while !started.is_empty() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
            let (gone, alive): (Vec<_>, Vec<_>) = started
                .into_iter()
                .partition(|(_, b)| b.process.as_ref().is_none_or(|p| !p.alive()));
            dead.extend(gone);
            started = alive;
        }
        for (node, book) in started {
            outcomes.set(&node, done(Some(&book.tags)));
        }
        for (node, book) in dead {
            let outcome = self.bury(books, &book).unwrap_or_else(Outcome::Failed);
            outcomes.set(&node, outcome);
        }
    }

    /// A slurmd ended by itself soon after it was started.
    fn bury(&self, books: &Books, book: &Book) -> Result<Outcome> {
        let pid = book.process.as_ref().map(|p| p.pid);
        let error = self.died(books, book, self.reap(pid));
        let _held = self.lock(books, Instant::now() + Duration::from_secs(2))?;
        let scan = self.scan()?;
        // Not when it was powered down, or started anew, meanwhile.
        let what = format!("read {}", books.path(&book.tags.node).display());
        let now = books
            .read(&book.tags.node)
            .map_err(|e| self.books_error(&what, e))?;
        if now.is_some_and(|b| b == *book) {
            self.sweep(&scan, books, book);
            self.finish(books, book, book.tags.keeps_identity)?;
        }
        Err(error)
    }

    fn died(&self, books: &Books, book: &Book, status: Option<String>) -> Error {
        let node = &book.tags.node;
        let words = last_words(books, node);
        let said = if words.is_empty() {
            "it said nothing".to_owned()
        } else {
            format!("it said: {words}")
        };
        let message = format!(
            "the slurmd of {node} ended{}; {said}; try it by hand: {} {} -vvv",
            status.as_ref().map_or(String::new(), |s| format!(" ({s})")),
            book.slurmd.display(),
            book.argv.join(" "),
        );
        Error::new(ErrorKind::Invalid, message).effect(Effect::None)
    }

    /// Kills what is left of a node, and waits a moment until it is gone: a
    /// new slurmd needs the old one's port.
    fn sweep(&self, scan: &Scan, books: &Books, book: &Book) {
        let tags = &book.tags;
        let home = books.home(&tags.node);
        let left = scan.belongings(books.owner(), &tags.node, &book.conf, &home);
        for ident in &left {
            _ = signal(ident, Signal::SIGKILL);
        }
        let end = Instant::now() + Duration::from_secs(1);
        while left.iter().any(Ident::alive) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn write(&self, books: &Books, book: &Book) -> Result<()> {
        let what = format!("write {}", books.path(&book.tags.node).display());
        books.write(book).map_err(|e| self.books_error(&what, e))
    }

    /// How far a node has come up. A boot whose time has come is completed: a
    /// machine would have done so by itself, and this one has nobody else.
    pub(crate) fn poll_up(
        &self,
        cluster: &str,
        pending: &[&Pending],
        until: Instant,
        outcomes: &mut Outcomes,
    ) -> Result<()> {
        let books = self.books(cluster);
        let held = self.lock(&books, until)?;
        let scan = self.scan()?;
        let mut started = Vec::new();
        for p in pending {
            match self.poll_one(&books, &scan, p) {
                Ok(Step::Said(outcome)) => _ = outcomes.set(&p.node, outcome),
                Ok(Step::Started(book)) => started.push((p.node.clone(), book)),
                Err(e) => _ = outcomes.set(&p.node, Outcome::Failed(e)),
            }
        }
        drop(held);
        self.settle(&books, started, until, outcomes);
        Ok(())
    }

    fn poll_one(&self, books: &Books, scan: &Scan, pending: &Pending) -> Result<Step> {
        let node = pending.node.as_str();
        let wanted = |tags: &Tags| {
            pending
                .instance
                .as_ref()
                .is_none_or(|i| *i == tags.instance)
        };
        let what = format!("read {}", books.path(node).display());
        let book = books.read(node).map_err(|e| self.books_error(&what, e))?;
        let stopping = book.as_ref().is_some_and(|b| b.state == State::Stopping);
        if let Some((_, tags)) = scan
            .ours(books.owner(), node)
            .find(|(_, t)| wanted(t) && !stopping)
        {
            return Ok(Step::Said(done(Some(tags))));
        }
        match book {
            Some(b) if wanted(&b.tags) && b.state == State::Starting => {
                self.boot(books, b, &pending.node)
            }
            Some(b) if wanted(&b.tags) && b.state == State::Running => {
                Err(self.died(books, &b, None))
            }
            _ => Err(Error::new(
                ErrorKind::NotFound,
                format!(
                    "nothing is left of {node}: it was powered down, or its books were deleted"
                ),
            )),
        }
    }
}

fn in_the_way(book: &Book, does: &str) -> Error {
    let message = format!(
        "{} {does} already, as {} of call {} (generation {}); power it down first",
        book.tags.node, book.tags.instance, book.tags.call, book.tags.generation
    );
    Error::new(ErrorKind::Conflict, message)
}

/// The end of what a slurmd said, in one line of bounded length.
fn last_words(books: &Books, node: &str) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = fs::File::open(books.log(node))?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(4096)))?;
        let mut bytes = Vec::new();
        file.take(4096).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let text = String::from_utf8_lossy(&read().unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    // What is wrong, if it says so; else whatever came last.
    let wrong: Vec<&str> = lines
        .iter()
        .copied()
        .filter(|l| l.contains("error:") || l.contains("fatal:"))
        .collect();
    let chosen = if wrong.is_empty() { &lines } else { &wrong };
    let joined = chosen[chosen.len().saturating_sub(3)..].join(" | ");
    let clean: Vec<char> = joined.chars().filter(|c| !c.is_control()).collect();
    clean[clean.len().saturating_sub(WORDS)..].iter().collect()
}
