//! Marks: nodes that Slurm is being told about, or that are out of service by
//! our doing. Whether a node's DOWN is ours is decided here, not by its Reason.

use rusqlite::{Connection, Row, params};

use super::Ledger;
use super::codec::{node_at, query, query_one, word, word_at};
use super::error::{Fault, Result};
use super::records::{Mark, MarkStep};
use crate::hostlist::NodeName;
use crate::provider::Generation;

const COLUMNS: &str = "node, generation, step, reason, until_ms, kind, created_ms";

impl Ledger {
    /// Marks a node; an older mark of it is replaced.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_mark(&mut self, mark: &Mark) -> Result<()> {
        self.set_marks(std::slice::from_ref(mark))
    }

    /// Marks nodes, all or none.
    ///
    /// # Errors
    /// The file cannot be written; nothing is marked then.
    pub fn set_marks(&mut self, marks: &[Mark]) -> Result<()> {
        if marks.is_empty() {
            return Ok(());
        }
        self.write("marking nodes", |db, _| put_marks(db, marks))
    }

    /// Every mark, by node.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn marks(&self) -> Result<Vec<Mark>> {
        self.read("reading marks", |db| {
            query(
                db,
                &format!("SELECT {COLUMNS} FROM mark ORDER BY node"),
                [],
                mark_of,
            )
        })
    }

    /// The mark of a node, if it has one.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn mark(&self, node: &NodeName) -> Result<Option<Mark>> {
        self.read("reading a mark", |db| {
            let sql = format!("SELECT {COLUMNS} FROM mark WHERE node = ?1");
            query_one(db, &sql, [node.as_str()], mark_of)
        })
    }

    /// Takes the mark off a node. Answers whether it had one.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn clear_mark(&mut self, node: &NodeName) -> Result<bool> {
        Ok(self.clear_marks(std::slice::from_ref(node))? > 0)
    }

    /// Takes the marks off nodes. Answers how many had one.
    ///
    /// # Errors
    /// The file cannot be written; all keep theirs then.
    pub fn clear_marks(&mut self, nodes: &[NodeName]) -> Result<usize> {
        if nodes.is_empty() {
            return Ok(0);
        }
        self.write("clearing marks", |db, _| {
            let mut stmt = db.prepare_cached("DELETE FROM mark WHERE node = ?1")?;
            nodes
                .iter()
                .try_fold(0, |n, node| Ok(n + stmt.execute([node.as_str()])?))
        })
    }

    /// Moves a node's mark to a step. Answers whether it has one.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn step_mark(&mut self, node: &NodeName, step: MarkStep) -> Result<bool> {
        Ok(self.step_marks(std::slice::from_ref(node), step)? > 0)
    }

    /// Moves nodes' marks to a step. Answers how many have one.
    ///
    /// # Errors
    /// The file cannot be written; all stay where they are then.
    pub fn step_marks(&mut self, nodes: &[NodeName], step: MarkStep) -> Result<usize> {
        if nodes.is_empty() {
            return Ok(0);
        }
        self.write("moving marks on", |db, _| {
            let step = word(step)?;
            let mut stmt = db.prepare_cached("UPDATE mark SET step = ?2 WHERE node = ?1")?;
            nodes
                .iter()
                .try_fold(0, |n, node| Ok(n + stmt.execute([node.as_str(), &step])?))
        })
    }
}

pub(super) fn put_marks(db: &Connection, marks: &[Mark]) -> Result<(), Fault> {
    let mut stmt = db.prepare_cached(&format!(
        "INSERT OR REPLACE INTO mark ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
    ))?;
    for mark in marks {
        stmt.execute(params![
            mark.node.as_str(),
            mark.generation.0,
            word(mark.step)?,
            mark.reason,
            mark.until_ms,
            mark.kind.as_str(),
            mark.created_ms,
        ])?;
    }
    Ok(())
}

fn mark_of(row: &Row<'_>) -> Result<Mark, Fault> {
    Ok(Mark {
        node: node_at(row, "node")?,
        generation: Generation(row.get("generation")?),
        step: word_at(row, "step")?,
        reason: row.get("reason")?,
        until_ms: row.get("until_ms")?,
        kind: word_at(row, "kind")?,
        created_ms: row.get("created_ms")?,
    })
}
