//! Standard output: colours only where a person looks, and progress on a
//! terminal's standard error.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::failure::{Failure, NOT_RECORDED};

/// A colour, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Colour {
    #[default]
    Plain,
    Bold,
    Green,
    Yellow,
    Red,
}

impl Colour {
    fn code(self) -> Option<&'static str> {
        match self {
            Colour::Plain => None,
            Colour::Bold => Some("1"),
            Colour::Green => Some("32"),
            Colour::Yellow => Some("33"),
            Colour::Red => Some("31"),
        }
    }
}

/// Standard output.
pub(crate) struct Out {
    to: BufWriter<StdoutLock<'static>>,
    coloured: bool,
}

impl Out {
    pub(crate) fn new() -> Out {
        let set = |name| std::env::var_os(name).filter(|v| !v.is_empty());
        let coloured = io::stdout().is_terminal()
            && set("NO_COLOR").is_none()
            && set("TERM").is_some_and(|term| term != "dumb");
        Out {
            to: BufWriter::new(io::stdout().lock()),
            coloured,
        }
    }

    /// `text` in this colour, where colours are shown.
    pub(crate) fn paint(&mut self, colour: Colour, text: &str) -> io::Result<()> {
        match colour.code().filter(|_| self.coloured) {
            Some(code) => write!(self.to, "\x1b[{code}m{text}\x1b[0m"),
            None => self.to.write_all(text.as_bytes()),
        }
    }

    /// A line of text.
    pub(crate) fn line(&mut self, text: &str) -> io::Result<()> {
        self.to.write_all(text.as_bytes())?;
        self.to.write_all(b"\n")
    }

    /// A value as JSON, for programs.
    pub(crate) fn json<T: Serialize>(&mut self, value: &T) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|e| Failure::new(NOT_RECORDED, format!("this cannot be said in JSON: {e}")))?;
        Ok(self.line(&text)?)
    }

    /// Sees that everything is written; what is left to a drop may get lost.
    pub(crate) fn end(mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// `text` without what moves a cursor: a cloud's message may hold anything.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// `1 node`, `2 nodes`.
pub(crate) fn plural<N: std::fmt::Display + PartialEq + From<u8>>(count: N, what: &str) -> String {
    let s = if count == N::from(1) { "" } else { "s" };
    format!("{count} {what}{s}")
}

/// A line on a terminal that says what is waited for and since when, and how far
/// it has come where that is known. Nothing anywhere else; gone when it is dropped.
pub(crate) struct Progress {
    shared: Arc<Shared>,
    ticker: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    done: AtomicUsize,
    /// 0 where it is not known.
    total: usize,
}

impl Progress {
    pub(crate) fn new(what: &str) -> Progress {
        Progress::of(what, 0)
    }

    /// The same, of so many.
    pub(crate) fn of(what: &str, total: usize) -> Progress {
        const TICK: Duration = Duration::from_millis(100);
        let shared = Arc::new(Shared {
            total,
            ..Shared::default()
        });
        let mut ticker = None;
        if io::stderr().is_terminal() {
            let shared = Arc::clone(&shared);
            let what = printable(what);
            ticker = Some(std::thread::spawn(move || {
                let begun = Instant::now();
                let mut shown = 0;
                while !shared.over.load(Ordering::Relaxed) {
                    std::thread::sleep(TICK);
                    let seconds = begun.elapsed().as_secs();
                    // What is quick needs no words.
                    if seconds > shown {
                        shown = seconds;
                        let bar = bar(shared.done.load(Ordering::Relaxed), shared.total);
                        let _ = write!(io::stderr(), "\r\x1b[K{what}{bar}, {seconds} s");
                    }
                }
                if shown > 0 {
                    let _ = write!(io::stderr(), "\r\x1b[K");
                }
            }));
        }
        Progress { shared, ticker }
    }

    /// So many are done.
    pub(crate) fn done(&self, done: usize) {
        self.shared.done.store(done, Ordering::Relaxed);
    }
}

/// ` [#####     ] 10 of 20`, or nothing where the end is not known.
fn bar(done: usize, total: usize) -> String {
    const WIDTH: usize = 20;
    if total == 0 {
        return String::new();
    }
    let done = done.min(total);
    let full = "#".repeat(done * WIDTH / total);
    format!(" [{full:WIDTH$}] {done} of {total}")
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        if let Some(ticker) = self.ticker.take() {
            let _ = ticker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_says_how_far_it_is() {
        assert_eq!(bar(3, 0), "");
        assert_eq!(bar(0, 7), format!(" [{}] 0 of 7", " ".repeat(20)));
        assert_eq!(
            bar(10, 20),
            format!(" [{}{}] 10 of 20", "#".repeat(10), " ".repeat(10))
        );
        assert_eq!(bar(9, 7), format!(" [{}] 7 of 7", "#".repeat(20)));
    }
}
