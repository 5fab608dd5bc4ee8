//! `role …`.

use super::session::Session;
use crate::cli::Input;
use crate::cli::spec::{Command, Flag, Group};
use crate::client::Until;
use crate::client::method::{
    ROLE_ADD, ROLE_DELETE, ROLE_GET, ROLE_GRANT_PERMISSION, ROLE_LIST, ROLE_REVOKE_PERMISSION,
};
use crate::client::range::{OPEN, prefix_end};
use crate::exit::Exit;
use crate::print::Answer;
use crate::print::answer::RoleAnswer;
use api::authpb::{Permission, permission};
use api::etcdserverpb as pb;
use bytes::Bytes;

const RANGE_FLAGS: &[Flag] = &[
    Flag::switch("prefix", "all keys with the prefix <key>"),
    Flag::switch("from-key", "all keys greater than or equal to <key> in byte order"),
];

/// `role`.
pub const COMMAND: Command = Command {
    name: "role",
    short: "Manage roles and their permissions. See `{} role --help`",
    long: "Manage roles and their permissions",
    below: &[
        Command { name: "add", usage: "<role name>", short: "Add a role", run: crate::run!(add), ..Command::EMPTY },
        Command {
            name: "delete",
            usage: "<role name>",
            short: "Delete a role",
            run: crate::run!(delete),
            ..Command::EMPTY
        },
        Command {
            name: "get",
            usage: "<role name>",
            short: "Show the permissions of a role",
            run: crate::run!(get),
            ..Command::EMPTY
        },
        Command { name: "list", short: "List all roles", run: crate::run!(list), ..Command::EMPTY },
        Command {
            name: "grant-permission",
            usage: "[options] <role name> <permission type> <key> [endkey]",
            short: "Grant a permission to a role: read, write or readwrite",
            flags: RANGE_FLAGS,
            run: crate::run!(grant),
            ..Command::EMPTY
        },
        Command {
            name: "revoke-permission",
            usage: "<role name> <key> [endkey]",
            short: "Revoke a permission from a role",
            flags: RANGE_FLAGS,
            run: crate::run!(revoke),
            ..Command::EMPTY
        },
    ],
    group: Group::Authentication,
    ..Command::EMPTY
};

async fn add(input: Input) -> Result<(), Exit> {
    input.exactly(1, "role add command requires role name as its argument")?;
    let (name, session) = (input.arg(0), Session::new(input).await?);
    let request = pb::AuthRoleAddRequest { name: name.clone() };
    let answer: pb::AuthRoleAddResponse = session.client().await?.unary(ROLE_ADD, request, Until::NEVER).await?;
    session.printer.show(&Answer::Role(&name, RoleAnswer::Add(&answer)))
}

async fn delete(input: Input) -> Result<(), Exit> {
    input.exactly(1, "role delete command requires role name as its argument")?;
    let (role, session) = (input.arg(0), Session::new(input).await?);
    let request = pb::AuthRoleDeleteRequest { role: role.clone() };
    let answer: pb::AuthRoleDeleteResponse = session.client().await?.unary(ROLE_DELETE, request, Until::NEVER).await?;
    session.printer.show(&Answer::Role(&role, RoleAnswer::Delete(&answer)))
}

async fn get(input: Input) -> Result<(), Exit> {
    input.exactly(1, "role get command requires role name as its argument")?;
    let (role, session) = (input.arg(0), Session::new(input).await?);
    let request = pb::AuthRoleGetRequest { role: role.clone() };
    let answer: pb::AuthRoleGetResponse = session.client().await?.unary(ROLE_GET, request, Until::NEVER).await?;
    session.printer.show(&Answer::Role(&role, RoleAnswer::Get(&answer)))
}

async fn list(input: Input) -> Result<(), Exit> {
    input.exactly(0, "role list command requires no arguments")?;
    let session = Session::new(input).await?;
    let request = pb::AuthRoleListRequest {};
    let answer: pb::AuthRoleListResponse = session.client().await?.unary(ROLE_LIST, request, Until::NEVER).await?;
    session.printer.show(&Answer::RoleList(&answer))
}

async fn grant(input: Input) -> Result<(), Exit> {
    if input.args.len() < 3 {
        let said = "role grant command requires role name, permission type, and key [endkey] as its argument";
        return Err(Exit::args(said));
    }
    let kind = match input.arg(1).to_uppercase().as_str() {
        "READ" => permission::Type::Read,
        "WRITE" => permission::Type::Write,
        "READWRITE" => permission::Type::Readwrite,
        _ => return Err(Exit::args(format!("invalid permission type: {}", input.arg(1)))),
    };
    let (key, range_end) = range(&input, 2)?;
    let (name, session) = (input.arg(0), Session::new(input).await?);
    let perm = Permission { perm_type: kind.into(), key, range_end };
    let request = pb::AuthRoleGrantPermissionRequest { name: name.clone(), perm: Some(perm) };
    let answer: pb::AuthRoleGrantPermissionResponse =
        session.client().await?.unary(ROLE_GRANT_PERMISSION, request, Until::NEVER).await?;
    session.printer.show(&Answer::Role(&name, RoleAnswer::Grant(&answer)))
}

async fn revoke(input: Input) -> Result<(), Exit> {
    if input.args.len() < 2 {
        let said = "role revoke-permission command requires role name and key [endkey] as its argument";
        return Err(Exit::args(said));
    }
    let (key, range_end) = range(&input, 1)?;
    let (role, given, session) = (input.arg(0), input.args[1].clone(), Session::new(input).await?);
    let request = pb::AuthRoleRevokePermissionRequest { role: role.clone(), key, range_end: range_end.clone() };
    let answer: pb::AuthRoleRevokePermissionResponse =
        session.client().await?.unary(ROLE_REVOKE_PERMISSION, request, Until::NEVER).await?;
    session.printer.show(&Answer::Role(&role, RoleAnswer::Revoke(&given, &range_end, &answer)))
}

/// Key and end of a permission. The empty key is the first of all.
fn range(input: &Input, at: usize) -> Result<(Bytes, Bytes), Exit> {
    let (prefix, from_key) = (input.on("prefix"), input.on("from-key"));
    let (key, end) = (&input.args[at], input.args.get(at + 1));
    if prefix && from_key && (key.is_empty() || end.is_none()) {
        return Err(Exit::args("--from-key and --prefix flags are mutually exclusive"));
    }
    if key.is_empty() {
        return Ok((OPEN, if prefix || from_key { OPEN } else { Bytes::new() }));
    }
    let end = match end {
        None if prefix => prefix_end(key),
        None if from_key => OPEN,
        None => Bytes::new(),
        Some(_) if prefix => return Err(Exit::args("unexpected endkey argument with --prefix flag")),
        Some(_) if from_key => return Err(Exit::args("unexpected endkey argument with --from-key flag")),
        Some(end) => Bytes::copy_from_slice(end),
    };
    Ok((Bytes::copy_from_slice(key), end))
}
