//! One text for two dialects.
//!
//! Statements use the portable subset and `$1`-style parameters. Text in braces is for PostgreSQL alone, which needs
//! row locks where SQLite's single writer needs none: `{for update}`. A [`Batched`] statement reads from a relation
//! `d` with one row for each operation of a batch; `{d}` stands for its definition.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

use super::commit::Part;

/// Which database a text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `d` is a list of rows, and braces are left out.
    Sqlite,
    /// `d` unnests one array for each column.
    Postgres,
}

/// A statement over `d`. It must ignore rows of nothing but nulls.
#[derive(Debug)]
pub struct Batched {
    /// The columns of `d`.
    pub columns: &'static [Column],
    /// Its text, with `{d}` after `with`.
    pub sql: &'static str,
    /// What follows where the rows it touched are wanted and not just their number.
    pub returning: &'static str,
}

/// What is wanted of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// The rows that it answers.
    Rows,
    /// How many it touched.
    Number,
}

/// A column of `d`.
#[derive(Clone, Copy, Debug)]
pub enum Column {
    /// Holds text.
    Text(&'static str),
    /// Holds numbers.
    Int(&'static str),
}

/// At most so many rows go into one SQLite statement; more take several, in the same transaction.
pub const CHUNK: usize = 256;

/// The size a SQLite `d` is padded to with rows of nulls, so that few texts exist for each statement and the
/// connection's cache holds them all.
pub fn padded(rows: usize) -> usize {
    rows.clamp(1, CHUNK).next_power_of_two()
}

impl Dialect {
    /// The text of a plain statement.
    pub fn plain(self, sql: &str) -> String {
        let mut text = String::with_capacity(sql.len());
        let mut rest = sql;
        while let Some((before, braced)) = rest.split_once('{') {
            let (inside, after) = braced.split_once('}').unwrap_or((braced, ""));
            text.push_str(before);
            match self {
                Dialect::Sqlite => {}
                Dialect::Postgres => text.push_str(inside),
            }
            rest = after;
        }
        text.push_str(rest);
        text
    }

    /// The text of a batched statement that answers nothing, with its parameters numbered from `first` on.
    fn numbered(self, statement: &Batched, first: usize) -> String {
        self.plain(&statement.sql.replace("{d}", &self.relation(statement.columns, 0, first)))
    }

    /// The text of a batched statement; `rows` matters to SQLite alone.
    pub fn batched(self, statement: &Batched, wanted: Wanted, rows: usize) -> String {
        let mut sql = statement.sql.replace("{d}", &self.relation(statement.columns, rows, 1));
        if wanted == Wanted::Rows && !statement.returning.is_empty() {
            sql.push_str(" returning ");
            sql.push_str(statement.returning);
        }
        self.plain(&sql)
    }

    fn relation(self, columns: &[Column], rows: usize, first: usize) -> String {
        let mut text = "d(".to_owned();
        separated(&mut text, columns.iter(), |text, column| text.push_str(column.name()));
        match self {
            Dialect::Sqlite => {
                text.push_str(") as (values ");
                let row = format!("({})", vec!["?"; columns.len()].join(", "));
                separated(&mut text, 0..rows, |text, _| text.push_str(&row));
            }
            Dialect::Postgres => {
                text.push_str(") as (select * from unnest(");
                separated(&mut text, (first..).zip(columns), |text, (n, column)| {
                    // Writing to a string cannot fail.
                    let _ = write!(text, "${n}::{}[]", column.postgres_type());
                });
                text.push(')');
            }
        }
        text.push(')');
        text
    }
}

impl Batched {
    /// Its name: the comment that its text begins with.
    fn name(&self) -> &'static str {
        self.sql.split_once("*/").map_or(self.sql, |(name, _)| name)
    }
}

impl Column {
    fn name(self) -> &'static str {
        match self {
            Column::Text(name) | Column::Int(name) => name,
        }
    }

    fn postgres_type(self) -> &'static str {
        match self {
            Column::Text(_) => "text",
            Column::Int(_) => "bigint",
        }
    }
}

/// Which text: of which statement, what is wanted of it, for how many rows.
type Made = (&'static str, Wanted, usize);

/// The same of several statements in a row: by their comments, which name them, and whether their numbers matter.
type MadeOfAll = (Vec<(&'static str, bool)>, usize);

/// Texts of batched statements, each made once.
#[derive(Debug)]
pub struct Texts {
    dialect: Dialect,
    made: Mutex<HashMap<Made, Arc<str>>>,
    of_all: Mutex<HashMap<MadeOfAll, Arc<str>>>,
}

impl Texts {
    /// None yet.
    pub fn new(dialect: Dialect) -> Self {
        Texts { dialect, made: Mutex::default(), of_all: Mutex::default() }
    }

    /// The text for so many rows of `d`.
    pub fn of(&self, statement: &Batched, wanted: Wanted, rows: usize) -> Arc<str> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let text = made
            .entry((statement.sql, wanted, rows))
            .or_insert_with(|| self.dialect.batched(statement, wanted, rows).into());
        Arc::clone(text)
    }

    /// The text of several parts that are carried out together; `rows` matters to SQLite alone.
    pub fn of_all(&self, parts: &[Part], rows: usize) -> Arc<str> {
        let named = parts.iter().map(|part| (part.statement.name(), part.touches.is_some())).collect();
        let mut made = self.of_all.lock().unwrap_or_else(PoisonError::into_inner);
        let text = made.entry((named, rows)).or_insert_with(|| match self.dialect {
            Dialect::Sqlite => in_a_row(parts, rows).into(),
            Dialect::Postgres => in_one(parts).into(),
        });
        Arc::clone(text)
    }
}

/// One statement after the other.
fn in_a_row(parts: &[Part], rows: usize) -> String {
    let text = |part: &Part| Dialect::Sqlite.batched(part.statement, Wanted::Number, rows);
    parts.iter().map(text).collect::<Vec<_>>().join("; ")
}

/// One statement of which each part is a step: with the arrays of every part for parameters, then the number of rows that
/// each part has to touch whose number matters. It fails where one touches another number.
fn in_one(parts: &[Part]) -> String {
    let (mut steps, mut first) = (String::new(), 1);
    for (n, part) in parts.iter().enumerate() {
        let step = Dialect::Postgres.numbered(part.statement, first);
        let comma = if n == 0 { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(steps, "{comma}p{n} as ({step} returning 1)");
        first += part.statement.columns.len();
    }
    let counted = parts.iter().enumerate().filter(|(_, part)| part.touches.is_some());
    let mut held = String::new();
    separated_by(&mut held, " and ", (first..).zip(counted), |text, (parameter, (n, _))| {
        let _ = write!(text, "(select count(*) from p{n}) = ${parameter}");
    });
    let held = if held.is_empty() { "true" } else { &held };
    format!(
        "/* write */ with {steps} select cast(case when {held} then '1' \
         else 'a guard of this batch does not hold; it is written anew with care' end as bigint)"
    )
}

fn separated<T>(text: &mut String, items: impl Iterator<Item = T>, write: impl FnMut(&mut String, T)) {
    separated_by(text, ", ", items, write);
}

fn separated_by<T>(
    text: &mut String,
    by: &str,
    items: impl Iterator<Item = T>,
    mut write: impl FnMut(&mut String, T),
) {
    for (n, item) in items.enumerate() {
        if n > 0 {
            text.push_str(by);
        }
        write(text, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: Batched = Batched {
        columns: &[Column::Text("id"), Column::Int("seq")],
        sql: "/* lock */ with {d} select i.id from d join i on i.id = d.id{ for update of i}",
        returning: "",
    };

    #[test]
    fn one_text_reads_as_each_database_needs_it() {
        let table = [
            (
                Dialect::Sqlite,
                "/* lock */ with d(id, seq) as (values (?, ?), (?, ?)) select i.id from d join i on i.id = d.id",
            ),
            (
                Dialect::Postgres,
                "/* lock */ with d(id, seq) as (select * from unnest($1::text[], $2::bigint[])) \
                 select i.id from d join i on i.id = d.id for update of i",
            ),
        ];
        for (dialect, text) in table {
            assert_eq!(dialect.batched(&LOCK, Wanted::Rows, 2), text);
        }
    }

    #[test]
    fn nine_sizes_hold_every_chunk() {
        let sizes: std::collections::BTreeSet<_> = (1..=CHUNK).map(padded).collect();
        assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [1, 2, 4, 8, 16, 32, 64, 128, 256]);
    }
}
