//! The v2 API of etcd 3.5 on the client port (`--enable-v2`): which path is served by what. Texts, codes and headers are etcd's.
//!
//! | file | |
//! |---|---|
//! | [`form`], [`target`] | forms and paths as Go reads them |
//! | [`json`], [`answers`] | events, listings and errors as Go writes them |
//! | [`key_request`], [`keys`] | `/v2/keys` |
//! | [`members`], [`stats`] | `/v2/members`, `/v2/machines`, `/v2/stats` |
//! | [`whole`] | a request with its body |
//! | [`users`], [`access`], [`user_pages`] | users and roles of this API, who may do what, `/v2/auth` |
//!
//! Must never answer from anything but the newest view, and must never change anything but through the log.

mod access;
mod answers;
mod form;
mod json;
mod key_request;
mod keys;
mod members;
mod stats;
mod target;
mod user_pages;
mod users;
mod whole;

use super::answer::not_found;
use crate::door::{HttpBody, HttpRequest};
use crate::services::ClientServices;
use http::Response;
use whole::WholeRequest;

/// Whether a request belongs to this API.
pub(super) fn serves(request: &HttpRequest) -> bool {
    !request.peer.metrics_only && request.uri.path().starts_with("/v2/")
}

/// Serves a request under `/v2`. `started` is when the member did, nanoseconds since 1970.
pub(super) async fn serve(services: ClientServices, started: i64, request: HttpRequest) -> Response<HttpBody> {
    let path = match target::path(&request.method, &request.uri) {
        Ok(path) => path,
        Err(redirect_or_refusal) => return *redirect_or_refusal,
    };
    let request = match WholeRequest::read(services.handle(), request).await {
        Ok(request) => request,
        Err(refused) => return *refused,
    };
    let below = |prefix: &str| target::below(&path, prefix).map(<[u8]>::to_vec);
    if let Some(key) = below("/v2/keys") {
        return keys::serve(&services, &request, &key).await;
    }
    if let Some(rest) = below("/v2/members") {
        return members::serve(&services, &request, &rest).await;
    }
    if let Some(rest) = below("/v2/auth") {
        return user_pages::serve(&services, &request, &rest).await;
    }
    match &path[..] {
        b"/v2/machines" => members::machines(&services, &request),
        b"/v2/stats/store" => stats::store(&services, &request),
        b"/v2/stats/self" => stats::own(&services, started, &request),
        b"/v2/stats/leader" => stats::leader(&services, &request),
        _ => not_found(),
    }
}
