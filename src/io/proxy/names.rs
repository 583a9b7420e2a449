//! Owns the names of the headers that are looked up on every request. As values they are hashed and
//! compared; as text each look-up would parse them first.

use http::header::HeaderName;

pub(super) static AMZN_REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
pub(super) static AMZ_CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
pub(super) static AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
pub(super) static AMZ_TARGET: HeaderName = HeaderName::from_static("x-amz-target");
pub(super) static AMZ_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
pub(super) static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
pub(super) static SDK_INVOCATION_ID: HeaderName = HeaderName::from_static("amz-sdk-invocation-id");
pub(super) static SDK_REQUEST: HeaderName = HeaderName::from_static("amz-sdk-request");
