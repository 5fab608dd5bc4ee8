//! `cluster-health`: asks every member whether it is well.
//!
//! Must never call a member well that did not say so itself.

use super::api::{Api, Ask, code};
use super::members::{self, Member};
use crate::cli::Input;
use crate::cli::spec::{Command, Flag, Group};
use crate::exit::Exit;
use crate::print::say;
use hyper::Method;
use serde_json::Value;
use std::time::Duration;

/// Pause between two looks with `--forever`.
const PAUSE: Duration = Duration::from_secs(10);
/// Longest that a member may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// `cluster-health`.
pub const COMMAND: Command = Command {
    name: "cluster-health",
    usage: "",
    short: "Ask every member whether it is well",
    flags: &[Flag::switch("forever", "again every ten seconds, until it is interrupted").letter('f')],
    group: Group::Cluster,
    run: crate::run!(health),
    ..Command::EMPTY
};

async fn health(input: Input) -> Result<(), Exit> {
    let api = Api::without_sync(&input).await?;
    let members = match members::all(&api).await {
        Ok(members) => members,
        Err(why) => {
            say(b"cluster may be unhealthy: failed to list members\n");
            return Err(why.exit(code::SERVER));
        }
    };
    loop {
        let mut well = 0;
        for member in &members {
            well += usize::from(is_well(&api, member).await);
        }
        let all = well == members.len();
        let words = match well {
            _ if all => "cluster is healthy",
            0 => "cluster is unavailable",
            _ => "cluster is degraded",
        };
        say(format!("{words}\n").as_bytes());
        if !input.on("forever") {
            return if all { Ok(()) } else { Err(Exit::silent(code::NOT_HEALTHY)) };
        }
        say(b"\nnext check after 10 second...\n\n");
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

/// Asks a member at its client URLs until one of them answers, and says what it said.
async fn is_well(api: &Api, Member { id, client_urls, .. }: &Member) -> bool {
    if client_urls.is_empty() {
        say(format!("member {id} is unreachable: no available published client urls\n").as_bytes());
        return false;
    }
    for url in client_urls {
        let reply = api.ask_one(url, &Ask::new(Method::GET, "/health"), PATIENCE).await;
        let answer =
            reply.and_then(|reply| serde_json::from_slice::<Value>(&reply.body).map_err(|why| why.to_string()));
        match answer {
            Ok(answer) => {
                let well = answer["health"] == "true" || answer["health"] == true;
                let word = if well { "healthy" } else { "unhealthy" };
                say(format!("member {id} is {word}: got {word} result from {url}\n").as_bytes());
                return well;
            }
            Err(why) => {
                say(format!("failed to check the health of member {id} on {url}: {why}\n").as_bytes());
            }
        }
    }
    say(format!("member {id} is unreachable: [{}] are all unreachable\n", client_urls.join(" ")).as_bytes());
    false
}
