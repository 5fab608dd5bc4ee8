//! `/v2/keys`: reads, writes and watches of the tree.
//!
//! Must never hold an event for a slow watcher: it is read from the store when it is sent.

use super::access;
use super::answers::{Refusal, allow, error, failure, for_method, json as json_answer, with_cluster, with_indices};
use super::form::Form;
use super::json;
use super::key_request::{Get, KeyRequest, Watch};
use super::whole::WholeRequest;
use crate::door::{Gone, HttpBody};
use crate::services::ClientServices;
use crate::services::v2::{V2Watch, unix_nanos};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::unfold;
use http::{Method, Response, StatusCode};
use model::v2::{Action, Error, Outcome, Request, code};

/// Serves a request about the node at `key`.
pub(super) async fn serve(services: &ClientServices, request: &WholeRequest, key: &[u8]) -> Response<HttpBody> {
    let methods = [Method::HEAD, Method::GET, Method::PUT, Method::POST, Method::DELETE];
    if let Err(refused) = allow(&request.method, &methods) {
        return *refused;
    }
    let response = answer(services, request, key).await.unwrap_or_else(|refused| *refused);
    for_method(&request.method, with_cluster(services, response))
}

async fn answer(services: &ClientServices, request: &WholeRequest, key: &[u8]) -> Result<Response<HttpBody>, Refusal> {
    let form = Form::of(&request.method, request.uri.query(), &request.headers, &request.body)
        .map_err(|why| error(&Error::new(code::INVALID_FORM, why, 0)))?;
    let asked = KeyRequest::of(&request.method, key, &form, unix_nanos()).map_err(|refused| error(&refused))?;
    let recursive = form.flag("recursive") == Some(true);
    if !access::may_use_key(services, request, key, recursive).await.map_err(|why| failure(&why))? {
        return Err(error(&Error::new(code::UNAUTHORIZED, "Insufficient credentials", 0)).into());
    }
    match asked {
        KeyRequest::Get(get) => read(services, &get).await,
        KeyRequest::Watch(watch) => begin_watch(services, watch),
        KeyRequest::Write { request, bare } => write(services, request, bare).await,
    }
}

async fn read(services: &ClientServices, get: &Get) -> Result<Response<HttpBody>, Refusal> {
    if get.quorum {
        services.v2_catch_up().await.map_err(|why| failure(&why))?;
    }
    let held = services.v2_list(&get.path, get.recursive).await.map_err(|why| failure(&why))?;
    services.count_v2_read(held.listing.result.is_ok());
    let nodes = held.listing.result.as_ref().map_err(error)?;
    Ok(with_indices(services, json_answer(StatusCode::OK, json::listing(nodes)), held.listing.index))
}

async fn write(services: &ClientServices, request: Request, bare: bool) -> Result<Response<HttpBody>, Refusal> {
    let Outcome { result, index } = services.v2_write(request).await.map_err(|why| failure(&why))?;
    let event = result.map_err(|refused| error(&refused))?;
    let status = if event.is_created() { StatusCode::CREATED } else { StatusCode::OK };
    let can_be_bare = matches!(event.action(), Action::Set | Action::CompareAndSwap | Action::Create | Action::Update);
    let body = if bare && can_be_bare { json::bare_event(&event) } else { json::event(&event) };
    Ok(with_indices(services, json_answer(status, body), index))
}

fn begin_watch(services: &ClientServices, watch: Watch) -> Result<Response<HttpBody>, Refusal> {
    let Watch { path, recursive, stream, since } = watch;
    let watch = services.v2_watch(path, recursive, stream, since).map_err(|why| failure(&why))?;
    let watch = watch.map_err(|refused| error(&refused))?;
    let index = watch.start;
    let events = unfold(watch, next_event);
    let body = if stream { events.boxed_local() } else { events.take(1).boxed_local() };
    let mut response = json_answer(StatusCode::OK, Bytes::new());
    *response.body_mut() = HttpBody::Stream(body);
    Ok(with_indices(services, response, index))
}

async fn next_event(mut watch: V2Watch) -> Option<(Result<Bytes, Gone>, V2Watch)> {
    let event = watch.next().await?;
    Some((Ok(json::event(&event).into()), watch))
}
