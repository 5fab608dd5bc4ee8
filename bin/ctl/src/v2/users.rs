//! `user` and `auth`: the users of the v2 API, and whether they count.
//!
//! Must never show a password.

use super::api::{Api, Ask, Failure, Reply, name_and_password, says};
use crate::cli::Input;
use crate::cli::spec::{Command, Flag, Group, Kind};
use crate::exit::Exit;
use crate::print::say;
use crate::term::password;
use hyper::Method;
use serde_json::{Value, json};

const ROLES: &[Flag] = &[Flag::new("roles", Kind::List, "", "roles, separated by commas")];

/// `user`.
pub const USER: Command = Command {
    name: "user",
    usage: "<subcommand>",
    short: "Add, show, change and remove users",
    group: Group::Authentication,
    below: &[
        sub("add", "<user>", "Add a user", &[], crate::run!(add)),
        sub("get", "<user>", "Show a user", &[], crate::run!(get)),
        sub("list", "", "List the users", &[], crate::run!(list)),
        sub("remove", "<user>", "Remove a user", &[], crate::run!(remove)),
        sub("grant", "<user>", "Give roles to a user", ROLES, crate::run!(grant)),
        sub("revoke", "<user>", "Take roles from a user", ROLES, crate::run!(revoke)),
        sub("passwd", "<user>", "Change the password of a user", &[], crate::run!(passwd)),
    ],
    ..Command::EMPTY
};

/// `auth`.
pub const AUTH: Command = Command {
    name: "auth",
    usage: "<subcommand>",
    short: "Turn users on and off",
    group: Group::Authentication,
    below: &[
        sub("enable", "", "Let users count", &[], crate::run!(enable)),
        sub("disable", "", "Let everybody do everything", &[], crate::run!(disable)),
    ],
    ..Command::EMPTY
};

/// A command below another one.
pub const fn sub(
    name: &'static str,
    usage: &'static str,
    short: &'static str,
    flags: &'static [Flag],
    run: Option<crate::cli::spec::Run>,
) -> Command {
    Command { name, usage, short, flags, run, ..Command::EMPTY }
}

/// Asks a page about users; any refusal ends the command with its message.
///
/// # Errors
/// As said.
pub async fn asked(api: &Api, ask: &Ask) -> Result<Reply, Exit> {
    let reply = async { api.call(ask).await?.expect(&[200, 201]) };
    reply.await.map_err(|why: Failure| why.bare_exit())
}

fn path(name: &str) -> String {
    format!("/v2/auth/users/{name}")
}

/// The one argument.
///
/// # Errors
/// These words.
pub fn name(input: &Input, words: &str) -> Result<String, Exit> {
    if input.args.len() == 1 { Ok(input.arg(0)) } else { Err(says(words)) }
}

fn user(input: &Input) -> Result<String, Exit> {
    name(input, "Please provide a username")
}

async fn add(input: Input) -> Result<(), Exit> {
    let api = Api::new(&input).await?;
    let (name, password) = name_and_password(&user(&input)?, "New password: ")?;
    let body = json!({ "user": name, "password": password });
    asked(&api, &Ask::new(Method::PUT, path(&name)).with_json(&body)).await?;
    say(format!("User {name} created\n").as_bytes());
    Ok(())
}

async fn get(input: Input) -> Result<(), Exit> {
    let name = user(&input)?;
    let api = Api::new(&input).await?;
    let found = asked(&api, &Ask::new(Method::GET, path(&name))).await?.json().map_err(|why| why.bare_exit())?;
    let roles = found["roles"].as_array().into_iter().flatten();
    let roles: Vec<&str> = roles.filter_map(|role| role["role"].as_str()).collect();
    let shown = found["user"].as_str().unwrap_or_default();
    // etcdctl has as many empty names before the names
    let empty = " ".repeat(roles.len());
    say(format!("User: {shown}\nRoles: {empty}{}\n", roles.join(" ")).as_bytes());
    Ok(())
}

async fn list(input: Input) -> Result<(), Exit> {
    if !input.args.is_empty() {
        return Err(says("No arguments accepted"));
    }
    let api = Api::new(&input).await?;
    let found = asked(&api, &Ask::new(Method::GET, "/v2/auth/users")).await?.json().map_err(|why| why.bare_exit())?;
    for user in found["users"].as_array().into_iter().flatten() {
        say(format!("{}\n", user["user"].as_str().unwrap_or_default()).as_bytes());
    }
    Ok(())
}

async fn remove(input: Input) -> Result<(), Exit> {
    let name = user(&input)?;
    let api = Api::new(&input).await?;
    asked(&api, &Ask::new(Method::DELETE, path(&name))).await?;
    say(format!("User {name} removed\n").as_bytes());
    Ok(())
}

async fn grant(input: Input) -> Result<(), Exit> {
    change_roles(&input, "grant").await
}

async fn revoke(input: Input) -> Result<(), Exit> {
    change_roles(&input, "revoke").await
}

async fn change_roles(input: &Input, how: &str) -> Result<(), Exit> {
    let roles = input.values.list("roles");
    if roles.iter().all(String::is_empty) {
        return Err(says("No roles specified; please use `--roles`"));
    }
    let name = user(input)?;
    let api = Api::new(input).await?;
    let body: Value = json!({ "user": name, how: roles });
    asked(&api, &Ask::new(Method::PUT, path(&name)).with_json(&body)).await?;
    say(format!("User {name} updated\n").as_bytes());
    Ok(())
}

async fn passwd(input: Input) -> Result<(), Exit> {
    let name = user(&input)?;
    let api = Api::new(&input).await?;
    let new = password::ask("New password: ").map_err(|why| says(&format!("Error reading password: {why}")))?;
    let body = json!({ "user": name, "password": new });
    asked(&api, &Ask::new(Method::PUT, path(&name)).with_json(&body)).await?;
    say(b"Password updated\n");
    Ok(())
}

async fn enable(input: Input) -> Result<(), Exit> {
    switch(&input, Method::PUT, "Authentication Enabled\n").await
}

async fn disable(input: Input) -> Result<(), Exit> {
    switch(&input, Method::DELETE, "Authentication Disabled\n").await
}

async fn switch(input: &Input, method: Method, said: &str) -> Result<(), Exit> {
    if !input.args.is_empty() {
        return Err(says("No arguments accepted"));
    }
    let api = Api::new(input).await?;
    asked(&api, &Ask::new(method, "/v2/auth/enable")).await?;
    say(said.as_bytes());
    Ok(())
}
