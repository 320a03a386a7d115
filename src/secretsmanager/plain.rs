//! Removes headers that the SDK adds and the function does not need.

use aws_runtime::{
    invocation_id::InvocationIdInterceptor, request_info::RequestInfoInterceptor, user_agent::UserAgentInterceptor,
};
use aws_sdk_secretsmanager::{
    config::{ConfigBag, Intercept, interceptors::BeforeSerializationInterceptorContextRef},
    error::BoxError,
};
use aws_smithy_runtime_api::client::interceptors::disable_interceptor;

/// Removes the headers about the SDK and its retries, which are off. They would be built, signed and sent with each
/// request. CloudTrail still shows the user agent of the HTTP client.
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
