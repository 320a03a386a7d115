//! What the SDK adds to a request and nobody here has a use for.

use aws_runtime::{
    invocation_id::InvocationIdInterceptor, request_info::RequestInfoInterceptor, user_agent::UserAgentInterceptor,
};
use aws_sdk_secretsmanager::{
    config::{ConfigBag, Intercept, interceptors::BeforeSerializationInterceptorContextRef},
    error::BoxError,
};
use aws_smithy_runtime_api::client::interceptors::disable_interceptor;

/// Leaves out the headers that tell of the SDK and of its own retries, which are off: they are composed, signed and sent
/// anew with each request. Who calls, CloudTrail hears from the HTTP client, under the function's own name.
#[derive(Debug)]
pub(super) struct Plain;

impl Intercept for Plain {
    fn name(&self) -> &'static str {
        "Plain"
    }

    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let state = config.interceptor_state();
        state.store_put(disable_interceptor::<UserAgentInterceptor>("the HTTP client says who calls"));
        state.store_put(disable_interceptor::<InvocationIdInterceptor>("there is one attempt"));
        state.store_put(disable_interceptor::<RequestInfoInterceptor>("there is one attempt"));
        Ok(())
    }
}
