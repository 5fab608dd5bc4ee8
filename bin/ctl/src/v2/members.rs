//! `member`: list, add, remove, update.
//!
//! Must never remove a member that was named by anything but its id.

use super::api::{Api, Ask, Failure, says};
use crate::cli::Input;
use crate::cli::spec::{Command, Group};
use crate::exit::Exit;
use crate::print::say;
use hyper::Method;
use serde_json::{Value, json};

/// `member`.
pub const COMMAND: Command = Command {
    name: "member",
    usage: "<subcommand>",
    short: "List, add, remove and update members",
    group: Group::Cluster,
    below: &[
        Command { name: "list", short: "List the members", run: crate::run!(list), ..Command::EMPTY },
        Command {
            name: "add",
            usage: "<name> <peerURL>",
            short: "Add a member",
            run: crate::run!(add),
            ..Command::EMPTY
        },
        Command {
            name: "remove",
            usage: "<memberID>",
            short: "Remove a member",
            run: crate::run!(remove),
            ..Command::EMPTY
        },
        Command {
            name: "update",
            usage: "<memberID> <peerURLs>",
            short: "Change the peer URLs of a member",
            run: crate::run!(update),
            ..Command::EMPTY
        },
    ],
    ..Command::EMPTY
};

/// A member as the API shows it.
pub struct Member {
    pub id: String,
    pub name: String,
    pub peer_urls: Vec<String>,
    pub client_urls: Vec<String>,
}

impl Member {
    fn of(value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let list = |name: &str| {
            let list = value[name].as_array().into_iter().flatten();
            list.filter_map(|url| url.as_str().map(str::to_owned)).collect()
        };
        Self { id: text("id"), name: text("name"), peer_urls: list("peerURLs"), client_urls: list("clientURLs") }
    }
}

/// All members.
///
/// # Errors
/// No endpoint tells.
pub async fn all(api: &Api) -> Result<Vec<Member>, Failure> {
    let reply = api.call(&Ask::new(Method::GET, "/v2/members")).await?.expect(&[200])?;
    Ok(reply.json()?["members"].as_array().into_iter().flatten().map(Member::of).collect())
}

async fn list(input: Input) -> Result<(), Exit> {
    if !input.args.is_empty() {
        return Err(says("No arguments accepted"));
    }
    let api = Api::new(&input).await?;
    let members = all(&api).await.map_err(|why| why.bare_exit())?;
    let leader = async { api.call(&Ask::new(Method::GET, "/v2/members/leader")).await?.expect(&[200])?.json() };
    let leader = leader.await.map_err(|why| says(&format!("Failed to get leader:  {why}")))?;
    for Member { id, name, peer_urls, client_urls } in members {
        let (peers, clients) = (peer_urls.join(","), client_urls.join(","));
        let line = match name.is_empty() {
            true => format!("{id}[unstarted]: peerURLs={peers}\n"),
            false => {
                let leads = leader["id"].as_str() == Some(&id);
                format!("{id}: name={name} peerURLs={peers} clientURLs={clients} isLeader={leads}\n")
            }
        };
        say(line.as_bytes());
    }
    Ok(())
}

async fn add(input: Input) -> Result<(), Exit> {
    if input.args.len() != 2 {
        return Err(says("Provide a name and a single member peerURL"));
    }
    let (name, url) = (input.arg(0), input.arg(1));
    let api = Api::new(&input).await?;
    let ask = Ask::new(Method::POST, "/v2/members").with_json(&json!({ "peerURLs": [url] }));
    let added = async {
        let member = api.call(&ask).await?.expect(&[201])?.json()?;
        Ok((Member::of(&member), all(&api).await?))
    };
    let (member, members) = added.await.map_err(|why: Failure| why.bare_exit())?;
    let named = |other: &Member| if other.id == member.id { name.clone() } else { other.name.clone() };
    let cluster = members.iter().flat_map(|member| member.peer_urls.iter().map(move |url| (member, url)));
    let cluster: Vec<_> = cluster.map(|(member, url)| format!("{}={url}", named(member))).collect();
    let cluster = cluster.join(",");
    say(format!(
        "Added member named {name} with ID {} to cluster\n\nETCD_NAME={name:?}\nETCD_INITIAL_CLUSTER={cluster:?}\n\
         ETCD_INITIAL_CLUSTER_STATE=\"existing\"\n",
        member.id
    )
    .as_bytes());
    Ok(())
}

async fn remove(input: Input) -> Result<(), Exit> {
    if input.args.len() != 1 {
        return Err(says("Provide a single member ID"));
    }
    let id = input.arg(0);
    let api = Api::new(&input).await?;
    let members = all(&api).await;
    let members = members.map_err(|why| says(&format!("Error while verifying ID against known members: {why}")))?;
    for named in members.iter().filter(|member| member.name == id) {
        let program = crate::cli::program();
        eprintln!(
            "Found a member named {}; if this is correct, please use its ID, eg:\n\t{program} member remove {}\n",
            named.name, named.id
        );
    }
    if !members.iter().any(|member| member.id == id) {
        return Err(says(&format!("Couldn't find a member in the cluster with an ID of {id}.")));
    }
    let removed = async { api.call(&Ask::new(Method::DELETE, format!("/v2/members/{id}"))).await?.expect(&[204, 410]) };
    removed.await.map_err(|why| says(&format!("Received an error trying to remove member {id}: {why}")))?;
    say(format!("Removed member {id} from cluster\n").as_bytes());
    Ok(())
}

async fn update(input: Input) -> Result<(), Exit> {
    if input.args.len() != 2 {
        let text =
            "Provide an ID and a list of comma separated peerURL (0xabcd http://example.com,http://example1.com)";
        return Err(says(text));
    }
    let (id, urls) = (input.arg(0), input.arg(1));
    let api = Api::new(&input).await?;
    let body = json!({ "peerURLs": urls.split(',').collect::<Vec<_>>() });
    let ask = Ask::new(Method::PUT, format!("/v2/members/{id}")).with_json(&body);
    let updated = async { api.call(&ask).await?.expect(&[204]) };
    updated.await.map_err(|why| why.bare_exit())?;
    say(format!("Updated member with ID {id} in cluster\n").as_bytes());
    Ok(())
}
