//! Documents of older versions, brought up to date one version at a time.

use serde_json::{Map, Value};

use crate::engine::Documents;

/// Version 1 stored the state bare; version 2 stores it with what was amended. Fields that came to the order and to
/// states since have defaults where they are read.
pub(crate) fn upcast(version: i64, order: Value, state: Value) -> Option<Documents> {
    match version {
        2 => Some((order, state)),
        1 => Some((order, Value::Object(Map::from_iter([("state".to_owned(), state)])))),
        _ => None,
    }
}
