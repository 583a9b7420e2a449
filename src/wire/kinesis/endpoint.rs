//! Owns which host a call goes to: the SDKs' endpoint rules of Kinesis. Refuses to look anything up.
//! Source: reference/wire-and-proxy.md 1.6.
