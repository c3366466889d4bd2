//! What a request shows of its caller, and whether a browser was made to send it.

use axum::http::{HeaderMap, Method, header};
use reqwest::Url;

use super::KEY_PREFIX;

/// The session cookie of the web app (FE-12).
const COOKIE: &str = "drop_token";

/// What a request shows of its caller.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Credential<'a> {
    Key(&'a str),
    Token(&'a str),
    Cookie(&'a str),
}

/// The one credential of a request; `None` when there is none or it is not clear which.
pub(super) fn credential(headers: &HeaderMap) -> Option<Credential<'_>> {
    let mut given = headers.get_all(header::AUTHORIZATION).into_iter();
    if let Some(value) = given.next() {
        let (scheme, secret) = value.to_str().ok()?.split_once(' ')?;
        let secret = secret.trim();
        let clear = given.next().is_none() && scheme.eq_ignore_ascii_case("bearer") && !secret.is_empty();
        let shown = if secret.starts_with(KEY_PREFIX) { Credential::Key } else { Credential::Token };
        return clear.then_some(shown(secret));
    }
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut tokens = cookies
        .flat_map(|line| line.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .filter(|(name, value)| *name == COOKIE && !value.is_empty());
    let token = tokens.next()?.1;
    tokens.next().is_none().then_some(Credential::Cookie(token))
}

pub(super) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Whether a request that a browser sends with its cookies was made by a page of ours. Browsers say where a request that
/// writes comes from in two ways, and no page can change or leave out both. Who says neither is no browser: the web
/// app's own server, which was given the cookie.
pub(super) fn is_same_site(headers: &HeaderMap, origins: &[String]) -> bool {
    let text = |name: header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let site = text(header::HeaderName::from_static("sec-fetch-site"));
    match (text(header::ORIGIN), site) {
        (Some(origin), Some("cross-site") | None) => origins.iter().any(|ours| ours == origin),
        (Some(_) | None, Some("same-origin" | "none")) | (None, None) => true,
        (Some(origin), Some(_)) => origins.iter().any(|ours| ours == origin),
        (None, Some(_)) => false,
    }
}

/// The origins of addresses, as browsers write them; an app's own scheme has none.
pub fn origins<'a>(urls: impl IntoIterator<Item = &'a Url>) -> Vec<String> {
    let written = |url: &Url| {
        let origin = url.origin();
        origin.is_tuple().then(|| origin.ascii_serialization())
    };
    urls.into_iter().filter_map(written).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn one_request_shows_one_credential() {
        let headers = |lines: &[(&str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                let name: header::HeaderName = name.parse().unwrap();
                headers.append(name, HeaderValue::from_str(value).unwrap());
            }
            headers
        };
        for (lines, expected) in [
            (&[("authorization", "Bearer a.b.c")][..], Some(Credential::Token("a.b.c"))),
            (&[("authorization", "bearer sk_x")], Some(Credential::Key("sk_x"))),
            (&[("cookie", "a=1; drop_token=t")], Some(Credential::Cookie("t"))),
            (&[("authorization", "Bearer a"), ("cookie", "drop_token=t")], Some(Credential::Token("a"))),
            (&[("authorization", "Basic a"), ("cookie", "drop_token=t")], None),
            (&[("authorization", "Bearer a"), ("authorization", "Bearer b")], None),
            (&[("authorization", "Bearer ")], None),
            (&[("cookie", "drop_token=a; drop_token=b")], None),
            (&[("cookie", "xdrop_token=a")], None),
            (&[], None),
        ] {
            assert_eq!(credential(&headers(lines)), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_cookie_moves_nothing_from_another_site() {
        let ours = ["https://app.example".to_owned()];
        for (origin, site, expected) in [
            (None, Some("same-origin"), true),
            (None, None, true),
            (None, Some("cross-site"), false),
            (None, Some("same-site"), false),
            (Some("https://app.example"), None, true),
            (Some("https://app.example"), Some("cross-site"), true),
            (Some("https://evil.example"), None, false),
            (Some("https://evil.example"), Some("same-site"), false),
            (Some("null"), Some("cross-site"), false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(origin) = origin {
                headers.insert("origin", HeaderValue::from_static(origin));
            }
            if let Some(site) = site {
                headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            }
            assert_eq!(is_same_site(&headers, &ours), expected, "{origin:?} {site:?}");
        }
    }
}
