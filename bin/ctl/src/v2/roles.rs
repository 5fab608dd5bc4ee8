//! `role`: what roles of the v2 API may do.
//!
//! Must never grant a path that is not written as keys are.

use super::api::{Api, Ask, says};
use super::users::{asked, name, sub};
use crate::cli::Input;
use crate::cli::spec::{Command, Flag, Group};
use crate::exit::Exit;
use crate::print::say;
use hyper::Method;
use serde_json::{Value, json};

const PERMISSION: &[Flag] = &[
    Flag::text("path", "path, or the beginning of paths with a star at its end"),
    Flag::switch("read", "to read"),
    Flag::switch("write", "to write"),
    Flag::switch("readwrite", "to read and write"),
    Flag::switch("rw", "to read and write"),
];

/// `role`.
pub const COMMAND: Command = Command {
    name: "role",
    usage: "<subcommand>",
    short: "Add, show, change and remove roles",
    group: Group::Authentication,
    below: &[
        sub("add", "<role>", "Add a role", &[], crate::run!(add)),
        sub("get", "<role>", "Show what a role may do", &[], crate::run!(get)),
        sub("list", "", "List the roles", &[], crate::run!(list)),
        sub("remove", "<role>", "Remove a role", &[], crate::run!(remove)),
        sub("grant", "<role>", "Permit a role a path", PERMISSION, crate::run!(grant)),
        sub("revoke", "<role>", "Take a path from a role", PERMISSION, crate::run!(revoke)),
    ],
    ..Command::EMPTY
};

fn path(name: &str) -> String {
    format!("/v2/auth/roles/{name}")
}

fn role(input: &Input) -> Result<String, Exit> {
    name(input, "Please provide a role name")
}

async fn fetched(api: &Api, target: &str) -> Result<Value, Exit> {
    asked(api, &Ask::new(Method::GET, target)).await?.json().map_err(|why| why.bare_exit())
}

async fn add(input: Input) -> Result<(), Exit> {
    let name = role(&input)?;
    let api = Api::new(&input).await?;
    let exists = async { api.call(&Ask::new(Method::GET, path(&name))).await?.expect(&[200]) };
    if exists.await.is_ok() {
        return Err(says(&format!("Role {name} already exists")));
    }
    let body = json!({ "role": name, "permissions": { "kv": { "read": null, "write": null } } });
    asked(&api, &Ask::new(Method::PUT, path(&name)).with_json(&body)).await?;
    say(format!("Role {name} created\n").as_bytes());
    Ok(())
}

async fn get(input: Input) -> Result<(), Exit> {
    let name = role(&input)?;
    let api = Api::new(&input).await?;
    let found = fetched(&api, &path(&name)).await?;
    let mut out = format!("Role: {}\n", found["role"].as_str().unwrap_or_default());
    for (title, list) in [("KV Read:\n", "read"), ("KV Write:\n", "write")] {
        out.push_str(title);
        for pattern in found["permissions"]["kv"][list].as_array().into_iter().flatten() {
            out.push_str(&format!("\t{}\n", pattern.as_str().unwrap_or_default()));
        }
    }
    say(out.as_bytes());
    Ok(())
}

async fn list(input: Input) -> Result<(), Exit> {
    if !input.args.is_empty() {
        return Err(says("No arguments accepted"));
    }
    let api = Api::new(&input).await?;
    let found = fetched(&api, "/v2/auth/roles").await?;
    for role in found["roles"].as_array().into_iter().flatten() {
        say(format!("{}\n", role["role"].as_str().unwrap_or_default()).as_bytes());
    }
    Ok(())
}

async fn remove(input: Input) -> Result<(), Exit> {
    let name = role(&input)?;
    let api = Api::new(&input).await?;
    asked(&api, &Ask::new(Method::DELETE, path(&name))).await?;
    say(format!("Role {name} removed\n").as_bytes());
    Ok(())
}

async fn grant(input: Input) -> Result<(), Exit> {
    change(&input, "grant", "Role unchanged; already granted").await
}

async fn revoke(input: Input) -> Result<(), Exit> {
    change(&input, "revoke", "Role unchanged; already revoked").await
}

async fn change(input: &Input, how: &str, unchanged: &str) -> Result<(), Exit> {
    let pattern = input.text("path");
    if pattern.is_empty() {
        return Err(says("No path specified; please use `--path`"));
    }
    let canonical = canonical(&pattern);
    if canonical != pattern {
        return Err(says(&format!("Not canonical path; please use `--path={canonical}`")));
    }
    let both = input.on("readwrite") || input.on("rw");
    let asked_for = [input.on("read"), input.on("write"), both];
    if asked_for.iter().filter(|on| **on).count() != 1 {
        return Err(says("Please specify exactly one of --read, --write or --readwrite"));
    }
    let of = |on: bool| if on { json!([pattern]) } else { Value::Null };
    let name = role(input)?;
    let api = Api::new(input).await?;
    let before = fetched(&api, &path(&name)).await?;
    let permissions = json!({ "kv": { "read": of(input.on("read") || both), "write": of(input.on("write") || both) } });
    let body = json!({ "role": name, how: permissions });
    let reply = asked(&api, &Ask::new(Method::PUT, path(&name)).with_json(&body)).await?;
    let after = reply.json().map_err(|why| why.bare_exit())?;
    let same = if after == before { unchanged } else { "" };
    say(format!("{same}Role {name} updated\n").as_bytes());
    Ok(())
}

/// A path as keys are written: absolute, without empty parts and dots; a slash at its end stays.
fn canonical(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let slash = if path.ends_with('/') && !parts.is_empty() { "/" } else { "" };
    format!("/{}{slash}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn paths_are_written_as_keys_are() {
        for (path, expected) in [("a", "/a"), ("/a//b/", "/a/b/"), ("/", "/"), ("/a/../b*", "/b*")] {
            assert_eq!(canonical(path), expected);
        }
    }
}
