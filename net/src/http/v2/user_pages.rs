//! `/v2/auth`: users, roles, and whether they count. Texts and codes are etcd's.
//!
//! Must never show a password or its hash.

use super::super::answer::not_found;
use super::access;
use super::answers::{allow, error, internal, json as json_answer, message, with_cluster};
use super::json;
use super::users::{Done, Refused, Role, User, Users};
use super::whole::WholeRequest;
use crate::door::{HttpBody, Status};
use crate::services::ClientServices;
use http::{Method, Response, StatusCode};

/// Serves what stands behind `/v2/auth`.
pub(super) async fn serve(services: &ClientServices, request: &WholeRequest, rest: &[u8]) -> Response<HttpBody> {
    let rest = String::from_utf8_lossy(rest);
    let pieces: Vec<&str> = rest.split('/').skip(1).collect();
    let page = match pieces[..] {
        ["enable"] => Page::Enable,
        ["roles"] | ["roles", ""] => Page::Roles,
        ["users"] | ["users", ""] => Page::Users,
        ["roles", name] | ["roles", name, ""] => Page::Role(name),
        ["users", name] | ["users", name, ""] => Page::User(name),
        ["roles" | "users", ..] => return message(StatusCode::BAD_REQUEST, "Invalid path"),
        _ => return not_found(),
    };
    let methods: &[Method] = match page {
        Page::Roles | Page::Users => &[Method::GET],
        Page::Enable | Page::Role(_) | Page::User(_) => &[Method::GET, Method::PUT, Method::DELETE],
    };
    if let Err(refused) = allow(&request.method, methods) {
        return *refused;
    }
    let is_free = matches!(page, Page::Enable) && request.method == Method::GET;
    match may_manage(services, request, is_free).await {
        Ok(true) => {}
        Ok(false) => return message(StatusCode::UNAUTHORIZED, "Insufficient credentials"),
        Err(why) => return internal(&why),
    }
    let users = Users(services);
    let answer = match page {
        Page::Enable => enable(&users, request).await,
        Page::Roles => roles(&users).await,
        Page::Users => list(&users).await,
        Page::Role(name) => role(&users, request, name).await,
        Page::User(name) => user(&users, request, name).await,
    };
    with_cluster(services, answer.unwrap_or_else(refusal))
}

/// What is asked for.
#[derive(Clone, Copy)]
enum Page<'p> {
    Enable,
    Roles,
    Users,
    Role(&'p str),
    User(&'p str),
}

async fn may_manage(services: &ClientServices, request: &WholeRequest, is_free: bool) -> Result<bool, Status> {
    if is_free { Ok(true) } else { access::is_root(services, request).await }
}

fn refusal(refused: Refused) -> Response<HttpBody> {
    match refused {
        Refused::Text(status, text) => message(status, &text),
        Refused::Tree(refused) => error(&refused),
        Refused::Failed(why) => internal(&why),
    }
}

fn bad<T>(text: &str) -> Done<T> {
    Err(Refused::Text(StatusCode::BAD_REQUEST, text.into()))
}

fn page(status: StatusCode, json: String) -> Done<Response<HttpBody>> {
    Ok(json_answer(status, json + "\n"))
}

fn empty() -> Done<Response<HttpBody>> {
    Ok(json_answer(StatusCode::OK, ""))
}

async fn enable(users: &Users<'_>, request: &WholeRequest) -> Done<Response<HttpBody>> {
    match request.method {
        Method::GET => return page(StatusCode::OK, format!("{{\"enabled\":{}}}", users.enabled().await?)),
        Method::PUT => users.enable().await?,
        _ => users.disable().await?,
    }
    empty()
}

async fn roles(users: &Users<'_>) -> Done<Response<HttpBody>> {
    let mut all = Vec::new();
    for name in users.roles().await? {
        all.push(users.role(&name).await?.json());
    }
    page(StatusCode::OK, format!("{{\"roles\":[{}]}}", all.join(",")))
}

async fn list(users: &Users<'_>) -> Done<Response<HttpBody>> {
    let mut all = Vec::new();
    for name in users.users().await? {
        let user = users.user(&name).await?;
        all.push(with_roles(users, &user, true).await?);
    }
    let all = if all.is_empty() { "null".to_owned() } else { format!("[{}]", all.join(",")) };
    page(StatusCode::OK, format!("{{\"users\":{all}}}"))
}

/// A user with what its roles may do. A role that is gone is left out where `lenient`.
async fn with_roles(users: &Users<'_>, user: &User, lenient: bool) -> Done<String> {
    let mut roles = Vec::new();
    for name in user.roles.iter().flatten() {
        match users.role(name).await {
            Ok(role) => roles.push(role.json()),
            Err(Refused::Text(..)) if lenient => {}
            Err(refused) => return Err(refused),
        }
    }
    let mut out = String::from("{\"user\":");
    json::string(&mut out, user.name.as_bytes());
    if !roles.is_empty() {
        out.push_str(&format!(",\"roles\":[{}]", roles.join(",")));
    }
    out.push('}');
    Ok(out)
}

async fn role(users: &Users<'_>, request: &WholeRequest, name: &str) -> Done<Response<HttpBody>> {
    match request.method {
        Method::GET => return page(StatusCode::OK, users.role(name).await?.json()),
        Method::DELETE => {
            users.delete_role(name).await?;
            return empty();
        }
        _ => {}
    }
    let Ok(given) = Role::parse(&request.body) else { return bad("Invalid JSON in request body.") };
    if given.name != name {
        return bad("Role JSON name does not match the name in the URL");
    }
    let changes = [&given.grant, &given.revoke].into_iter().flatten().any(|part| !part.is_empty());
    if !changes {
        users.create_role(&given).await?;
        return page(StatusCode::CREATED, given.json());
    }
    if !given.permissions.is_empty() {
        return bad("Role JSON contains both permissions and grant/revoke");
    }
    page(StatusCode::OK, users.update_role(&given).await?.json())
}

async fn user(users: &Users<'_>, request: &WholeRequest, name: &str) -> Done<Response<HttpBody>> {
    match request.method {
        Method::GET => {
            let user = users.user(name).await?;
            return page(StatusCode::OK, with_roles(users, &user, false).await?);
        }
        Method::DELETE => {
            users.delete_user(name).await?;
            return empty();
        }
        _ => {}
    }
    let Ok(given) = User::parse(&request.body) else { return bad("Invalid JSON in request body.") };
    if given.name != name {
        return bad("User JSON name does not match the name in the URL");
    }
    let some = |names: &Option<Vec<String>>| names.as_ref().is_some_and(|names| !names.is_empty());
    let has_roles = some(&given.roles);
    let (user, created) = if some(&given.grant) || some(&given.revoke) {
        if has_roles {
            return bad("User JSON contains both roles and grant/revoke");
        }
        (users.update_user(&given).await?, false)
    } else if has_roles {
        (users.create_user(given).await?, false)
    } else {
        match users.user(name).await {
            Ok(_) => (users.update_user(&given).await?, false),
            Err(_) => (users.create_user(given).await?, true),
        }
    };
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    page(status, User { password: String::new(), ..user }.json())
}
