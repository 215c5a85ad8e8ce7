//! What became of each node that a person wanted something of.

use serde::Serialize;
use slurmburst::error::Error;
use slurmburst::hostlist::{HostSet, NodeName};
use slurmburst::ledger::StoredError;

use crate::failure::{BAD_NEWS, Failure};
use crate::out::{Colour, Out};
use crate::table::{Cell, Table};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Word {
    Done,
    AlreadyDone,
    UnderWay,
    /// A newer wish made it pointless.
    Superseded,
    /// Not even tried.
    Refused,
    Failed,
}

impl Word {
    fn shown(self) -> Cell {
        match self {
            Word::Done => Cell::new("done", Colour::Green),
            Word::AlreadyDone => Cell::new("already so", Colour::Green),
            Word::UnderWay => Cell::new("under way", Colour::Yellow),
            Word::Superseded => Cell::new("superseded", Colour::Yellow),
            Word::Refused => Cell::new("REFUSED", Colour::Red),
            Word::Failed => Cell::new("FAILED", Colour::Red),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    pub(super) node: NodeName,
    pub(super) result: Word,
    /// Why it was refused, or what to know of it.
    pub(super) why: Option<String>,
    /// Why it failed.
    pub(super) error: Option<StoredError>,
}

impl Verdict {
    pub(super) fn new(node: &NodeName, result: Word) -> Verdict {
        Verdict {
            node: node.clone(),
            result,
            why: None,
            error: None,
        }
    }

    pub(super) fn refused(node: &NodeName, why: impl Into<String>) -> Verdict {
        Verdict {
            why: Some(why.into()),
            ..Verdict::new(node, Word::Refused)
        }
    }

    pub(super) fn failed(node: &NodeName, error: &Error) -> Verdict {
        Verdict {
            error: Some(StoredError::from(error)),
            why: Some(error.to_string()),
            ..Verdict::new(node, Word::Failed)
        }
    }
}

/// `--json`.
#[derive(Debug, Serialize)]
pub(super) struct Verdicts {
    pub(super) action: &'static str,
    pub(super) nodes: Vec<Verdict>,
    /// What to know besides.
    pub(super) notes: Vec<String>,
}

impl Verdicts {
    pub(super) fn new(action: &'static str) -> Verdicts {
        Verdicts {
            action,
            nodes: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, verdict: Verdict) {
        self.nodes.push(verdict);
    }

    /// Prints them. Answers with the exit code: what is still under way is bad
    /// news only to who has waited for it.
    pub(super) fn tell(mut self, json: bool, waited: bool) -> Result<u8, Failure> {
        self.nodes.sort_by(|a, b| a.node.cmp(&b.node));
        let mut out = Out::new();
        if json {
            out.json(&self)?;
        } else {
            self.print(&mut out)?;
        }
        out.end()?;
        let bad = |v: &Verdict| match v.result {
            Word::Done | Word::AlreadyDone => false,
            Word::UnderWay => waited,
            Word::Superseded | Word::Refused | Word::Failed => true,
        };
        Ok(if self.nodes.iter().any(bad) {
            BAD_NEWS
        } else {
            0
        })
    }

    /// Nodes of the same fate in one line.
    fn print(&self, out: &mut Out) -> Result<(), Failure> {
        let mut fates: Vec<(Word, &str, HostSet)> = Vec::new();
        for verdict in &self.nodes {
            let why = verdict.why.as_deref().unwrap_or_default();
            let alike = |(word, text, _): &&mut (Word, &str, HostSet)| {
                *word == verdict.result && *text == why
            };
            match fates.iter_mut().find(alike) {
                Some((_, _, nodes)) => _ = nodes.insert(verdict.node.clone()),
                None => fates.push((verdict.result, why, [&verdict.node].into_iter().collect())),
            }
        }
        let mut table = Table::new(&["NODES", self.column(), "NOTE"]);
        for (word, why, nodes) in fates {
            table.row(vec![nodes.to_string().into(), word.shown(), why.into()]);
        }
        table.print(out)?;
        for note in &self.notes {
            out.paint(Colour::Yellow, "note: ")?;
            out.line(&crate::out::printable(note))?;
        }
        Ok(())
    }

    fn column(&self) -> &'static str {
        match self.action {
            "create" => "CREATE",
            "start" => "START",
            "deallocate" => "DEALLOCATE",
            "delete" => "DELETE",
            "restart" => "RESTART",
            "stop" => "STOP",
            _ => "ADOPT",
        }
    }
}
