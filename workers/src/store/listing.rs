//! What a filter asks for, as a statement.

use super::rows::instance_columns;
use super::sql::limit_value;
use super::value::Value;
use super::{Filter, Order};

/// The statement that a filter asks for: only conditions that it sets, so that each shape has a plan of its own.
pub(super) fn listing(filter: &Filter) -> (String, Vec<Value>) {
    let (conditions, mut values) = conditions(filter);
    values.push(limit_value(filter.limit));
    let (columns, limit) = (instance_columns!(), values.len());
    let order = match filter.order {
        Order::NewestFirst => "i.id desc",
        Order::OldestFirst => "i.id",
        Order::LatestMovedFirst => "i.updated_at desc, i.id desc",
        Order::EarliestMovedFirst => "i.updated_at, i.id",
    };
    (
        format!("/* list */ select {columns} from instances i{conditions} order by {order} limit ${limit}"),
        values,
    )
}

/// What a filter sets, as conditions with their values.
pub(super) fn conditions(filter: &Filter) -> (String, Vec<Value>) {
    let mut values: Vec<Value> = Vec::new();
    let mut conditions: Vec<String> = Vec::new();
    let mut number = |value: Value| {
        values.push(value);
        format!("${}", values.len())
    };
    let single = [
        ("owner =", filter.owner.as_ref().map(Value::from)),
        ("created_at >=", filter.from.map(Value::from)),
        ("created_at <", filter.to.map(Value::from)),
        ("bank =", filter.bank.as_ref().map(Value::from)),
    ];
    for (condition, value) in single {
        if let Some(value) = value {
            conditions.push(format!("i.{condition} {}", number(value)));
        }
    }
    let any = [
        ("kind", filter.kinds.iter().map(Value::from).collect::<Vec<_>>()),
        ("status", filter.statuses.iter().map(|status| status.as_str().into()).collect()),
        ("phase", filter.phases.iter().map(Value::from).collect()),
        ("id", filter.ids.iter().map(|id| Value::from(*id)).collect()),
    ];
    for (column, choices) in any {
        if !choices.is_empty() {
            let choices: Vec<String> = choices.into_iter().map(&mut number).collect();
            conditions.push(format!("i.{column} in ({})", choices.join(", ")));
        }
    }
    if let Some(cursor) = filter.before {
        let cursor = number(cursor.into());
        let moved = |than: &str| {
            format!(
                "(i.updated_at, i.id) {than} (select c.updated_at, c.id from instances c where c.id = {cursor})"
            )
        };
        conditions.push(match filter.order {
            Order::NewestFirst => format!("i.id < {cursor}"),
            Order::OldestFirst => format!("i.id > {cursor}"),
            Order::LatestMovedFirst => moved("<"),
            Order::EarliestMovedFirst => moved(">"),
        });
    }
    if filter.attention {
        conditions.push("i.attention is not null".to_owned());
    }
    let conditions =
        if conditions.is_empty() { String::new() } else { format!(" where {}", conditions.join(" and ")) };
    (conditions, values)
}
