//! What stands around every route: a request gets its id, a failure its envelope, an answer its headers.
//!
//! One service around the router and not layers on it, which axum would put, each in a box, around every single route.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::response::Response;
use futures::FutureExt;
use futures::future::BoxFuture;
use tower::Service;
use tracing::Instrument;

use super::App;
use super::error::Form;
use super::headers;
use super::request_id::Named;

/// A service that answers as every route does.
#[derive(Clone)]
pub struct Around<S> {
    inner: S,
    app: App,
}

impl<S> Around<S> {
    /// Around this one, by this front-end's clock and ids.
    pub fn new(inner: S, app: App) -> Self {
        Around { inner, app }
    }
}

impl<S> Service<Request> for Around<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let app = Arc::clone(&self.app);
        let named = Named::give(&app, &mut request);
        let form = Form::wanted(request.headers());
        let mut inner = self.inner.clone();
        Box::pin(async move {
            let answering = async {
                let answered = AssertUnwindSafe(async { inner.call(request).await }).catch_unwind().await;
                form.envelope(answered.map(|Ok(response)| response), named.id())
            };
            let mut response = answering.instrument(named.span().clone()).await;
            headers::secure(response.headers_mut());
            named.answered(&app, &mut response);
            Ok(response)
        })
    }
}
