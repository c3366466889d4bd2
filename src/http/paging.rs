//! Pages: `limit` and an opaque `cursor` in, `items` and `nextCursor` out.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::Problem;

/// How many items a page has when nothing is said, and at most (rest-api §1).
const USUAL: usize = 50;
const MOST: usize = 200;

/// One page of a list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// What to send as `cursor` for the next page; `null` on the last.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// The only page of a short list.
    pub fn whole(items: Vec<T>) -> Self {
        Page { items, next_cursor: None }
    }

    /// The first `limit` of items of which one more was asked for than fit.
    pub fn of(mut items: Vec<T>, limit: usize, id: impl Fn(&T) -> &str) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = items.last().filter(|_| more).map(|last| URL_SAFE_NO_PAD.encode(id(last)));
        Page { items, next_cursor }
    }
}

/// The `limit` of a request.
///
/// # Errors
/// `validation_failed` unless it is a whole number from 1 to 200.
pub fn limit(text: Option<&str>) -> Result<usize, Problem> {
    match text.map_or(Ok(USUAL), str::parse) {
        Ok(limit @ 1..=MOST) => Ok(limit),
        Ok(_) | Err(_) => Err(Problem::field("limit", format!("must be a whole number from 1 to {MOST}"))),
    }
}

/// The id that a `cursor` stands for.
///
/// # Errors
/// `validation_failed` when it is none of ours.
pub fn after<I: std::str::FromStr>(cursor: Option<&str>) -> Result<Option<I>, Problem> {
    let Some(cursor) = cursor else { return Ok(None) };
    let decoded = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let id = decoded.and_then(|text| text.parse().ok());
    id.map(Some).ok_or_else(|| Problem::field("cursor", "must be a nextCursor of an earlier page"))
}

#[cfg(test)]
mod tests {
    use workflows::ids::RecipientId;

    use super::*;

    #[test]
    fn a_cursor_leads_behind_the_last_item_of_a_full_page() {
        let ids: Vec<RecipientId> = ["rec_a", "rec_b", "rec_c"].map(|id| id.parse().unwrap()).into();
        let page = Page::of(ids.clone(), 2, RecipientId::as_str);
        assert_eq!(page.items, ids[..2]);
        assert_eq!(after::<RecipientId>(page.next_cursor.as_deref()).unwrap(), Some(ids[1].clone()));
        assert_eq!(Page::of(ids, 3, RecipientId::as_str).next_cursor, None);
        assert!(after::<RecipientId>(Some("cmVjXw")).is_err());
        assert!(after::<RecipientId>(Some("%%%")).is_err());
    }

    #[test]
    fn a_limit_is_from_one_to_two_hundred() {
        for (text, expected) in [
            (None, Some(50)),
            (Some("1"), Some(1)),
            (Some("200"), Some(200)),
            (Some("0"), None),
            (Some("201"), None),
            (Some("x"), None),
        ] {
            assert_eq!(limit(text).ok(), expected, "{text:?}");
        }
    }
}
