//! `user …`.

use super::session::Session;
use crate::cli::Input;
use crate::cli::spec::{Command, Flag, Group, Kind};
use crate::client::Until;
use crate::client::method::{
    ROLE_GET, USER_ADD, USER_CHANGE_PASSWORD, USER_DELETE, USER_GET, USER_GRANT_ROLE, USER_LIST, USER_REVOKE_ROLE,
};
use crate::exit::Exit;
use crate::print::answer::{RoleAnswer, UserAnswer};
use crate::print::{Answer, say_line};
use crate::term::password;
use api::authpb::UserAddOptions;
use api::etcdserverpb as pb;

const INTERACTIVE: Flag =
    Flag::new("interactive", Kind::Bool, "true", "prompt for the password; if false, read it from standard input");

/// `user`.
pub const COMMAND: Command = Command {
    name: "user",
    short: "Manage users. See `{} user --help`",
    long: "Manage users",
    below: &[
        Command {
            name: "add",
            usage: "<user name or user:password> [options]",
            short: "Add a user",
            flags: &[
                INTERACTIVE,
                Flag::text("new-user-password", "password of the new user"),
                Flag::switch(
                    "no-password",
                    "add a user that can authenticate only by the common name of a certificate",
                ),
            ],
            run: crate::run!(add),
            ..Command::EMPTY
        },
        Command {
            name: "delete",
            usage: "<user name>",
            short: "Delete a user",
            run: crate::run!(delete),
            ..Command::EMPTY
        },
        Command {
            name: "get",
            usage: "<user name> [options]",
            short: "Show the roles of a user",
            flags: &[Flag::switch("detail", "also show the permissions of each role")],
            run: crate::run!(get),
            ..Command::EMPTY
        },
        Command { name: "list", short: "List all users", run: crate::run!(list), ..Command::EMPTY },
        Command {
            name: "passwd",
            usage: "<user name> [options]",
            short: "Change the password of a user",
            flags: &[INTERACTIVE],
            run: crate::run!(passwd),
            ..Command::EMPTY
        },
        Command {
            name: "grant-role",
            usage: "<user name> <role name>",
            short: "Grant a role to a user",
            run: crate::run!(grant),
            ..Command::EMPTY
        },
        Command {
            name: "revoke-role",
            usage: "<user name> <role name>",
            short: "Revoke a role from a user",
            run: crate::run!(revoke),
            ..Command::EMPTY
        },
    ],
    group: Group::Authentication,
    ..Command::EMPTY
};

async fn add(input: Input) -> Result<(), Exit> {
    input.exactly(1, "user add command requires user name as its argument")?;
    let (given, from_flag) = (input.arg(0), input.text("new-user-password"));
    let no_password = input.on("no-password");
    let (name, password) = if no_password {
        (given, String::new())
    } else if !from_flag.is_empty() {
        (given, from_flag)
    } else if let Some((name, password)) = given.split_once(':') {
        if name.is_empty() {
            return Err(Exit::args("empty user name is not allowed"));
        }
        (name.to_owned(), password.to_owned())
    } else {
        let password = new_password(&input, &given)?;
        (given, password)
    };
    let session = Session::new(input).await?;
    let options = Some(UserAddOptions { no_password });
    let request = pb::AuthUserAddRequest { name: name.clone(), password, options, ..Default::default() };
    let answer: pb::AuthUserAddResponse = session.client().await?.unary(USER_ADD, request, Until::NEVER).await?;
    session.printer.show(&Answer::User(&name, UserAnswer::Add(&answer)))
}

/// From a person, twice; or the first word of standard input.
fn new_password(input: &Input, name: &str) -> Result<String, Exit> {
    if !input.on("interactive") {
        return Ok(password::word());
    }
    let ask = |prompt: &str| password::ask(prompt).map_err(|why| Exit::args(format!("failed to ask password: {why}")));
    let first = ask(&format!("Password of {name}: "))?;
    if first.is_empty() {
        return Err(Exit::args("empty password"));
    }
    if ask(&format!("Type password of {name} again for confirmation: "))? != first {
        return Err(Exit::args("given passwords are different"));
    }
    Ok(first)
}

async fn delete(input: Input) -> Result<(), Exit> {
    input.exactly(1, "user delete command requires user name as its argument")?;
    let (name, session) = (input.arg(0), Session::new(input).await?);
    let request = pb::AuthUserDeleteRequest { name: name.clone() };
    let answer: pb::AuthUserDeleteResponse = session.client().await?.unary(USER_DELETE, request, Until::NEVER).await?;
    session.printer.show(&Answer::User(&name, UserAnswer::Delete(&answer)))
}

async fn get(input: Input) -> Result<(), Exit> {
    input.exactly(1, "user get command requires user name as its argument")?;
    let (name, detail) = (input.arg(0), input.on("detail"));
    let session = Session::new(input).await?;
    let client = session.client().await?;
    let request = pb::AuthUserGetRequest { name: name.clone() };
    let answer: pb::AuthUserGetResponse = client.unary(USER_GET, request, Until::NEVER).await?;
    if !detail {
        return session.printer.show(&Answer::User(&name, UserAnswer::Get(&answer)));
    }
    say_line(&format!("User: {name}"));
    for role in &answer.roles {
        say_line("");
        let request = pb::AuthRoleGetRequest { role: role.clone() };
        let answer: pb::AuthRoleGetResponse = client.unary(ROLE_GET, request, Until::NEVER).await?;
        session.printer.show(&Answer::Role(role, RoleAnswer::Get(&answer)))?;
    }
    Ok(())
}

async fn list(input: Input) -> Result<(), Exit> {
    input.exactly(0, "user list command requires no arguments")?;
    let session = Session::new(input).await?;
    let request = pb::AuthUserListRequest {};
    let answer: pb::AuthUserListResponse = session.client().await?.unary(USER_LIST, request, Until::NEVER).await?;
    session.printer.show(&Answer::UserList(&answer))
}

async fn passwd(input: Input) -> Result<(), Exit> {
    input.exactly(1, "user passwd command requires user name as its argument")?;
    let name = input.arg(0);
    let password = new_password(&input, &name)?;
    let session = Session::new(input).await?;
    let request = pb::AuthUserChangePasswordRequest { name: name.clone(), password, ..Default::default() };
    let answer: pb::AuthUserChangePasswordResponse =
        session.client().await?.unary(USER_CHANGE_PASSWORD, request, Until::NEVER).await?;
    session.printer.show(&Answer::User(&name, UserAnswer::Password(&answer)))
}

async fn grant(input: Input) -> Result<(), Exit> {
    input.exactly(2, "user grant command requires user name and role name as its argument")?;
    let (user, role, session) = (input.arg(0), input.arg(1), Session::new(input).await?);
    let request = pb::AuthUserGrantRoleRequest { user: user.clone(), role: role.clone() };
    let answer: pb::AuthUserGrantRoleResponse =
        session.client().await?.unary(USER_GRANT_ROLE, request, Until::NEVER).await?;
    session.printer.show(&Answer::User(&user, UserAnswer::Grant(&role, &answer)))
}

async fn revoke(input: Input) -> Result<(), Exit> {
    input.exactly(2, "user revoke-role requires user name and role name as its argument")?;
    let (name, role, session) = (input.arg(0), input.arg(1), Session::new(input).await?);
    let request = pb::AuthUserRevokeRoleRequest { name: name.clone(), role: role.clone() };
    let answer: pb::AuthUserRevokeRoleResponse =
        session.client().await?.unary(USER_REVOKE_ROLE, request, Until::NEVER).await?;
    session.printer.show(&Answer::User(&name, UserAnswer::Revoke(&role, &answer)))
}
