//! Aligned tables.

use std::io;

use crate::out::{Colour, Out, printable};

/// A table: what is in a column begins in the same place in every row.
#[derive(Debug, Default)]
pub(crate) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

/// A piece of text, and its colour.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Cell {
    text: String,
    colour: Colour,
}

impl Cell {
    pub(crate) fn new(text: impl AsRef<str>, colour: Colour) -> Cell {
        Cell {
            text: printable(text.as_ref()),
            colour,
        }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell::new(text, Colour::Plain)
    }
}

impl Table {
    pub(crate) fn new(head: &[&'static str]) -> Table {
        Table {
            head: head.to_vec(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Prints it. A column that is empty in every row is left out.
    pub(crate) fn print(&self, out: &mut Out) -> io::Result<()> {
        let head: Vec<Cell> = self
            .head
            .iter()
            .map(|h| Cell::new(h, Colour::Bold))
            .collect();
        let width = |at: usize| {
            let longest = |rows: &[Vec<Cell>]| {
                let texts = rows.iter().filter_map(|r| r.get(at));
                texts.map(|c| c.text.chars().count()).max().unwrap_or(0)
            };
            match longest(&self.rows) {
                0 => 0,
                most => most.max(self.head.get(at).map_or(0, |h| h.len())),
            }
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        for row in std::iter::once(&head).chain(&self.rows) {
            print_row(out, row, &widths)?;
        }
        Ok(())
    }
}

fn print_row(out: &mut Out, row: &[Cell], widths: &[usize]) -> io::Result<()> {
    let shown: Vec<(&Cell, usize)> = row
        .iter()
        .zip(widths.iter().copied())
        .filter(|(_, width)| *width > 0)
        .collect();
    let last = shown.iter().rposition(|(cell, _)| !cell.text.is_empty());
    for (at, (cell, width)) in shown.iter().enumerate().take(last.map_or(0, |l| l + 1)) {
        out.paint(cell.colour, &cell.text)?;
        if Some(at) != last {
            // Two blanks between columns, none at a line's end.
            let pad = width + 2 - cell.text.chars().count().min(*width);
            out.paint(Colour::Plain, &" ".repeat(pad))?;
        }
    }
    out.line("")
}
