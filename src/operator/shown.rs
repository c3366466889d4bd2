//! What the service answers, for people and for programs.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::Value;

/// Prints an answer: as it came, or as lines.
pub(super) fn print(body: &Value, json: bool) {
    let text = if json { format!("{body:#}\n") } else { lines(body) };
    // Whoever reads may have heard enough.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Says on stderr why nothing was done.
pub(super) fn complain(refused: &dyn Error) {
    let mut text = format!("sluse: {refused}");
    let mut cause = refused.source();
    while let Some(source) = cause {
        let _ = write!(text, ": {source}");
        cause = source.source();
    }
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A list is one line for each item, a thing one line for each of its fields.
fn lines(body: &Value) -> String {
    let mut text = String::new();
    match body {
        Value::Null => text.push_str("done\n"),
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::Array(items) => {
                        let _ = writeln!(text, "{name}: {}", items.len());
                        for item in items {
                            let _ = writeln!(text, "  {}", line(item));
                        }
                    }
                    Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                        let _ = writeln!(text, "{name}: {}", line(value));
                    }
                }
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            let _ = writeln!(text, "{}", line(body));
        }
    }
    text
}

/// A value on one line; what is not there is left out.
fn line(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.replace(['\n', '\r'], " "),
        Value::Array(items) => items.iter().map(line).collect::<Vec<_>>().join(", "),
        Value::Object(members) => {
            let present = members.iter().filter(|(_, value)| !value.is_null());
            present.map(|(name, value)| format!("{name}={}", line(value))).collect::<Vec<_>>().join(" ")
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_is_a_line_for_each_item() {
        let page = json!({"items": [{"id": "wf_1", "phase": "in_doubt", "attention": null}], "total": 1});
        assert_eq!(lines(&page), "items: 1\n  id=wf_1 phase=in_doubt\ntotal: 1\n");
        assert_eq!(lines(&json!({"state": "applied", "reason": "a\nb"})), "reason: a b\nstate: applied\n");
        assert_eq!(lines(&Value::Null), "done\n");
    }
}
