//! `/v2/members` and `/v2/machines`: who the members are, and changes of that.
//!
//! Must never change the membership for somebody whom neither kind of authentication knows as an administrator.

use super::super::answer::refusal;
use super::access;
use super::answers::{Refusal, allow, for_method, internal, json as json_answer, message, with_cluster};
use super::form::media_type;
use super::json;
use super::whole::WholeRequest;
use crate::door::{HttpBody, Status};
use crate::services::v2::peer_urls;
use crate::services::{ClientServices, status};
use bytes::Bytes;
use http::{Method, Response, StatusCode};
use model::{MemberChange, MemberInfo};
use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};

/// The client URLs of all members.
pub(super) fn machines(services: &ClientServices, request: &WholeRequest) -> Response<HttpBody> {
    if let Err(refused) = allow(&request.method, &[Method::GET, Method::HEAD]) {
        return *refused;
    }
    let members = match services.ports().reads.members() {
        Ok(members) => members,
        Err(why) => return internal(&status::of_read(&why)),
    };
    let mut urls: Vec<String> = members.into_iter().flat_map(|member| member.client_urls).collect();
    urls.sort_unstable();
    for_method(&request.method, crate::door::text(StatusCode::OK, urls.join(", ")))
}

/// Serves what stands behind `/v2/members`.
pub(super) async fn serve(services: &ClientServices, request: &WholeRequest, rest: &[u8]) -> Response<HttpBody> {
    let methods = [Method::GET, Method::POST, Method::DELETE, Method::PUT];
    if let Err(refused) = allow(&request.method, &methods) {
        return *refused;
    }
    match may_change(services, request).await {
        Ok(true) => {}
        Ok(false) => return message(StatusCode::UNAUTHORIZED, "Insufficient credentials"),
        Err(why) => return internal(&why),
    }
    let rest = rest.strip_prefix(b"/").unwrap_or(rest);
    let rest = String::from_utf8_lossy(rest);
    let answer = match request.method {
        Method::GET => Ok(list(services, &rest)),
        Method::POST => add(services, request).await,
        Method::DELETE => remove(services, &rest).await,
        _ => update(services, request, &rest).await,
    };
    with_cluster(services, answer.unwrap_or_else(|refused| *refused))
}

/// While the v3 API has users, this one, which knows none of them, changes nothing.
async fn may_change(services: &ClientServices, request: &WholeRequest) -> Result<bool, Status> {
    if matches!(request.method, Method::GET | Method::HEAD) {
        return Ok(true);
    }
    if services.ports().reads.auth_revision().0 {
        return Ok(false);
    }
    access::is_root(services, request).await
}

fn list(services: &ClientServices, rest: &str) -> Response<HttpBody> {
    let members = match services.ports().reads.members() {
        Ok(members) => members,
        Err(why) => return internal(&status::of_read(&why)),
    };
    match rest {
        "" => {
            let members: Vec<_> = members.iter().map(shown).collect();
            json_answer(StatusCode::OK, format!("{{\"members\":[{}]}}\n", members.join(",")))
        }
        "leader" => {
            let leader = services.ports().gauges.leader_id();
            match members.iter().find(|member| Some(member.id) == leader) {
                Some(member) => json_answer(StatusCode::OK, shown(member) + "\n"),
                None => message(StatusCode::SERVICE_UNAVAILABLE, "During election"),
            }
        }
        _ => message(StatusCode::NOT_FOUND, "Not found"),
    }
}

fn shown(member: &MemberInfo) -> String {
    let mut out = format!("{{\"id\":\"{:x}\",\"name\":", member.id);
    json::string(&mut out, member.name.as_bytes());
    for (name, urls) in [("peerURLs", &member.peer_urls), ("clientURLs", &member.client_urls)] {
        out.push_str(&format!(",\"{name}\":["));
        for (at, url) in urls.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            json::string(&mut out, url.as_bytes());
        }
        out.push(']');
    }
    out.push('}');
    out
}

/// A handler's answer; as an error where it is a refusal.
type Answer = Result<Response<HttpBody>, Refusal>;

async fn add(services: &ClientServices, request: &WholeRequest) -> Answer {
    let peer_urls = urls_of_body(request)?;
    let unix_seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    let change = MemberChange::Add { peer_urls, learner: false, unix_seconds };
    let (id, members) = services.v2_change_members(change).await.map_err(|why| match &why {
        taken if *taken == status::PEER_URL_EXISTS => message(StatusCode::CONFLICT, "membership: peerURL exists"),
        taken if *taken == status::MEMBER_EXISTS => message(StatusCode::CONFLICT, "membership: ID exists"),
        why => internal(why),
    })?;
    let member = members.iter().find(|member| member.id == id);
    Ok(json_answer(StatusCode::CREATED, member.map(shown).unwrap_or_default() + "\n"))
}

async fn remove(services: &ClientServices, rest: &str) -> Answer {
    let id = id_of(rest)?;
    let was_removed = services.ports().reads.was_removed(id);
    services.v2_change_members(MemberChange::Remove { id }).await.map_err(|why| match &why {
        gone if *gone == status::MEMBER_NOT_FOUND && was_removed => {
            message(StatusCode::GONE, &format!("Member permanently removed: {id:x}"))
        }
        why => unknown_or_internal(why, id),
    })?;
    Ok(no_content())
}

async fn update(services: &ClientServices, request: &WholeRequest, rest: &str) -> Answer {
    let id = id_of(rest)?;
    let peer_urls = urls_of_body(request)?;
    let change = MemberChange::Update { id, peer_urls };
    services.v2_change_members(change).await.map_err(|why| match &why {
        taken if *taken == status::PEER_URL_EXISTS => message(StatusCode::CONFLICT, "membership: peerURL exists"),
        why => unknown_or_internal(why, id),
    })?;
    Ok(no_content())
}

fn unknown_or_internal(why: &Status, id: u64) -> Response<HttpBody> {
    match *why == status::MEMBER_NOT_FOUND {
        true => message(StatusCode::NOT_FOUND, &format!("No such member: {id:x}")),
        false => internal(why),
    }
}

fn no_content() -> Response<HttpBody> {
    let mut response = Response::new(HttpBody::Full(Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn id_of(rest: &str) -> Result<u64, Refusal> {
    if rest.is_empty() {
        return Err(refusal(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed").into());
    }
    u64::from_str_radix(rest, 16).map_err(|_| message(StatusCode::NOT_FOUND, &format!("No such member: {rest}")).into())
}

/// The peer URLs of a body like `{"peerURLs":["http://a:2380"]}`.
fn urls_of_body(request: &WholeRequest) -> Result<Vec<String>, Refusal> {
    let kind = media_type(&request.headers);
    if kind != "application/json" {
        let text = format!("Bad Content-Type {kind}, accept application/json");
        return Err(message(StatusCode::UNSUPPORTED_MEDIA_TYPE, &text).into());
    }
    let bad = |text: &str| message(StatusCode::BAD_REQUEST, text);
    let body: Value = serde_json::from_slice(&request.body).map_err(|why| match why.is_eof() {
        true => bad("unexpected end of JSON input"),
        false => bad(&why.to_string()),
    })?;
    let urls = body.get("peerURLs").and_then(Value::as_array).cloned().unwrap_or_default();
    let urls: Option<Vec<String>> = urls.iter().map(|url| url.as_str().map(str::to_owned)).collect();
    let urls = urls.ok_or_else(|| bad("json: cannot unmarshal into Go struct field .peerURLs of type string"))?;
    if urls.is_empty() {
        return Err(bad("no valid URLs given").into());
    }
    peer_urls(&urls)
        .ok_or_else(|| bad("URLs must have the scheme http, https, unix or unixs, a host and a port").into())
}
