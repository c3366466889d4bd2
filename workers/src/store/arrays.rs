//! PostgreSQL's arrays in its binary form (the server's `array_recv`), written straight from the cells of a batch: it has
//! a dozen columns, and a vector for each would be made only to be copied.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgTypeInfo};
use sqlx::{Arguments, Encode, Postgres, Type};

use super::statement::Column;
use super::value::{Value, hex};

/// The server's numbers of the types.
const TEXT: u32 = 25;
const BIGINT: u32 = 20;
/// The length that stands for null.
const NULL: i32 = -1;

/// Adds one array for each column of `d`.
///
/// # Errors
/// A text of more than 2 GiB.
pub(super) fn add_arrays(
    arguments: &mut PgArguments,
    columns: &[Column],
    cells: &[Value],
) -> Result<(), sqlx::Error> {
    for (n, column) in columns.iter().enumerate() {
        let array = Array { cells: cells.get(n..).unwrap_or_default(), step: columns.len() };
        let added = match column {
            Column::Text(_) => arguments.add(TextArray(array)),
            Column::Int(_) => arguments.add(IntArray(array)),
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(())
}

/// A column where it stands among the others: each of its cells is `step` behind the one before.
struct Array<'a> {
    cells: &'a [Value],
    step: usize,
}

struct TextArray<'a>(Array<'a>);
struct IntArray<'a>(Array<'a>);

impl<'a> Array<'a> {
    fn iter(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        self.cells.iter().step_by(self.step)
    }

    /// One dimension, no word on nulls, the type, how many, counted from 1.
    fn begin(&self, of: u32, buffer: &mut PgArgumentBuffer) -> Result<(), BoxDynError> {
        buffer.extend_from_slice(&1_i32.to_be_bytes());
        buffer.extend_from_slice(&0_i32.to_be_bytes());
        buffer.extend_from_slice(&of.to_be_bytes());
        buffer.extend_from_slice(&i32::try_from(self.iter().count())?.to_be_bytes());
        buffer.extend_from_slice(&1_i32.to_be_bytes());
        Ok(())
    }
}

impl Type<Postgres> for TextArray<'_> {
    fn type_info() -> PgTypeInfo {
        <Vec<String> as Type<Postgres>>::type_info()
    }
}

impl Type<Postgres> for IntArray<'_> {
    fn type_info() -> PgTypeInfo {
        <Vec<i64> as Type<Postgres>>::type_info()
    }
}

impl Encode<'_, Postgres> for TextArray<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        self.0.begin(TEXT, buffer)?;
        for cell in self.0.iter() {
            match cell {
                Value::Text(text) => element(text.as_bytes(), buffer)?,
                Value::Id(id) => element(&hex(*id), buffer)?,
                Value::Null | Value::Int(_) => buffer.extend_from_slice(&NULL.to_be_bytes()),
            }
        }
        Ok(IsNull::No)
    }
}

impl Encode<'_, Postgres> for IntArray<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        self.0.begin(BIGINT, buffer)?;
        for cell in self.0.iter() {
            match cell {
                Value::Int(number) => element(&number.to_be_bytes(), buffer)?,
                Value::Null | Value::Text(_) | Value::Id(_) => buffer.extend_from_slice(&NULL.to_be_bytes()),
            }
        }
        Ok(IsNull::No)
    }
}

fn element(bytes: &[u8], buffer: &mut PgArgumentBuffer) -> Result<(), BoxDynError> {
    buffer.extend_from_slice(&i32::try_from(bytes.len())?.to_be_bytes());
    buffer.extend_from_slice(bytes);
    Ok(())
}
