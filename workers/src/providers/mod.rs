//! placeholder
use crate::ports::Ids;
use async_trait::async_trait;
use std::time::Duration;
use workflows::engine::Finding;
use workflows::ports::Call;
/// Context
pub struct Context {}
impl Context {
    /// new
    pub fn new(_ids: &dyn Ids, _timeout: Duration) -> Self {
        Context {}
    }
}
/// Provider
#[async_trait]
pub trait Provider: Send + Sync {
    /// perform
    async fn perform(&self, call: &Call, context: &Context) -> Finding;
}
