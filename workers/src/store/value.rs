//! The two kinds of cell that both databases have, and reading rows of them.

use std::str::FromStr;
use std::sync::Arc;

use workflows::ids::WorkflowId;
use workflows::time::At;

/// A cell: what goes into a statement and what comes out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A number, a truth (0 or 1) or a time in microseconds.
    Int(i64),
    /// Text.
    Text(Arc<str>),
    /// The id of an instance, on its way to be text.
    Id(WorkflowId),
}

/// A row of an answer, read from left to right.
#[derive(Debug)]
pub struct Row(std::vec::IntoIter<Value>);

/// A stored value that is not what its column should hold.
#[derive(Clone, Debug, thiserror::Error)]
#[error("a stored value is not {expected}")]
pub struct Misread {
    /// What it should have been. The value itself is not repeated, since it may be anybody's.
    pub expected: &'static str,
}

impl Row {
    /// A row of these cells.
    pub fn new(cells: Vec<Value>) -> Self {
        Row(cells.into_iter())
    }

    /// The next cell: text.
    pub fn text(&mut self) -> Result<Arc<str>, Misread> {
        self.maybe_text()?.ok_or(Misread { expected: "text" })
    }

    /// The next cell: text or nothing.
    pub fn maybe_text(&mut self) -> Result<Option<Arc<str>>, Misread> {
        match self.0.next() {
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(Value::Null) => Ok(None),
            Some(Value::Int(_) | Value::Id(_)) | None => Err(Misread { expected: "text" }),
        }
    }

    /// The next cell: a number.
    pub fn int(&mut self) -> Result<i64, Misread> {
        self.maybe_int()?.ok_or(Misread { expected: "a number" })
    }

    /// The next cell: a number or nothing.
    pub fn maybe_int(&mut self) -> Result<Option<i64>, Misread> {
        match self.0.next() {
            Some(Value::Int(number)) => Ok(Some(number)),
            Some(Value::Null) => Ok(None),
            Some(Value::Text(_) | Value::Id(_)) | None => Err(Misread { expected: "a number" }),
        }
    }

    /// The next cell: a count.
    pub fn count(&mut self) -> Result<u32, Misread> {
        u32::try_from(self.int()?).map_err(|_| Misread { expected: "a count" })
    }

    /// The next cell: 0 or 1.
    pub fn truth(&mut self) -> Result<bool, Misread> {
        Ok(self.int()? != 0)
    }

    /// The next cell: a time.
    pub fn at(&mut self) -> Result<At, Misread> {
        At::try_from(self.int()?).map_err(|_| Misread { expected: "a time" })
    }

    /// The next cell: a time or nothing.
    pub fn maybe_at(&mut self) -> Result<Option<At>, Misread> {
        self.maybe_int()?.map(At::try_from).transpose().map_err(|_| Misread { expected: "a time" })
    }

    /// The next cell: the id of an instance.
    pub fn workflow(&mut self) -> Result<WorkflowId, Misread> {
        let text = self.text()?;
        workflow(&text).ok_or(Misread { expected: "a workflow id" })
    }

    /// The id of an instance in the next cell, which is left where it is: it names a row that cannot be read.
    pub fn peek_workflow(&self) -> Option<WorkflowId> {
        match self.0.as_slice().first() {
            Some(Value::Text(text)) => workflow(text),
            Some(Value::Null | Value::Int(_) | Value::Id(_)) | None => None,
        }
    }

    /// The next cell: the text of a `T`.
    pub fn parsed<T: FromStr>(&mut self, expected: &'static str) -> Result<T, Misread> {
        self.text()?.parse().map_err(|_| Misread { expected })
    }

    /// The next cell: the text of a `T`, or nothing.
    pub fn maybe_parsed<T: FromStr>(&mut self, expected: &'static str) -> Result<Option<T>, Misread> {
        self.maybe_text()?.map(|text| text.parse()).transpose().map_err(|_| Misread { expected })
    }
}

/// An id as it is stored: 32 hex digits.
pub fn hex(id: WorkflowId) -> [u8; 32] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut digits = [0; 32];
    for (two, byte) in digits.chunks_exact_mut(2).zip(id.to_bytes()) {
        two.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    digits
}

/// Digits as text.
pub fn str_of(digits: &[u8; 32]) -> &str {
    std::str::from_utf8(digits).unwrap_or_default()
}

fn workflow(text: &str) -> Option<WorkflowId> {
    u128::from_str_radix(text, 16).ok().map(WorkflowId::new)
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Int(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Value::Int(i64::from(truth))
    }
}

impl From<At> for Value {
    fn from(at: At) -> Self {
        Value::Int(at.as_micros())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text.into())
    }
}

impl From<&Arc<str>> for Value {
    fn from(text: &Arc<str>) -> Self {
        Value::Text(Arc::clone(text))
    }
}

impl From<WorkflowId> for Value {
    fn from(id: WorkflowId) -> Self {
        Value::Id(id)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}
