//! `member …`.

use super::session::Session;
use crate::cli::spec::{Command, Flag, Group, Kind};
use crate::cli::{Input, number_exit, value};
use crate::client::method::{MEMBER_ADD, MEMBER_LIST, MEMBER_PROMOTE, MEMBER_REMOVE, MEMBER_UPDATE};
use crate::exit::Exit;
use crate::print::{Answer, Format, say_line};
use api::etcdserverpb as pb;

/// `member`.
pub const COMMAND: Command = Command {
    name: "member",
    short: "Manage the members of the cluster. See `{} member --help`",
    long: "Manage the members of the cluster",
    below: &[
        Command {
            name: "add",
            usage: "<memberName> [options]",
            short: "Add a member",
            flags: &[
                Flag::text("peer-urls", "peer URLs of the member, separated by commas"),
                Flag::switch("learner", "add it as a learner that does not vote"),
            ],
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
            usage: "<memberID> [options]",
            short: "Update the peer URLs of a member",
            flags: &[Flag::text("peer-urls", "peer URLs of the member, separated by commas")],
            run: crate::run!(update),
            ..Command::EMPTY
        },
        Command {
            name: "list",
            short: "List all members",
            long: "List all members. In the simple format: ID, status, name, peer addresses, client addresses, whether it is a learner.",
            flags: &[Flag::new(
                "consistency",
                Kind::Text,
                "l",
                "l: as of now (linearizable), s: as the server knows it (serializable)",
            )],
            run: crate::run!(list),
            ..Command::EMPTY
        },
        Command {
            name: "promote",
            usage: "<memberID>",
            short: "Promote a learner to a voting member",
            run: crate::run!(promote),
            ..Command::EMPTY
        },
    ],
    group: Group::Cluster,
    ..Command::EMPTY
};

fn member(input: &Input) -> Result<u64, Exit> {
    input.exactly(1, "member ID is not provided")?;
    let given = input.arg(0);
    value::unsigned(&given, 16)
        .map_err(|why| number_exit("bad member ID arg ({}), expecting ID in Hex", "ParseUint", &given, why))
}

fn urls(input: &Input) -> Result<Vec<String>, Exit> {
    let given = input.text("peer-urls");
    if given.is_empty() {
        return Err(Exit::args("member peer urls not provided"));
    }
    Ok(given.split(',').map(str::to_owned).collect())
}

/// What etcd's client wants of the URL of a member.
fn check(urls: &[String]) -> Result<(), Exit> {
    for given in urls {
        let url = given.trim();
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let (address, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let why = match scheme {
            "unix" | "unixs" => continue,
            "http" | "https" if !address.contains(':') => "URL address does not have the form \"host:port\"",
            "http" | "https" if !path.is_empty() => "URL must not contain a path",
            "http" | "https" => continue,
            _ => "URL scheme must be http, https, unix, or unixs",
        };
        return Err(Exit::new(crate::exit::ERROR, format!("{why}: {url}")));
    }
    Ok(())
}

async fn add(input: Input) -> Result<(), Exit> {
    match &input.args[..] {
        [] => return Err(Exit::args("member name not provided")),
        [_] => {}
        many => {
            let mut said = "too many arguments".to_owned();
            let many = many.iter().map(|arg| crate::cli::text(arg));
            many.filter(|arg| arg.to_lowercase().starts_with("http"))
                .for_each(|url| said.push_str(&format!(", did you mean --peer-urls={url}")));
            return Err(Exit::args(said));
        }
    }
    let (name, peer_urls, is_learner) = (input.arg(0), urls(&input)?, input.on("learner"));
    let session = Session::new(input).await?;
    let client = session.client().await?;
    check(&peer_urls)?;
    let request = pb::MemberAddRequest { peer_urls, is_learner };
    let answer: pb::MemberAddResponse = client.unary(MEMBER_ADD, request, session.until()).await?;
    session.printer.show(&Answer::MemberAdd(&answer))?;
    if session.printer.format == Format::Simple {
        start_settings(&name, &session.input.text("peer-urls"), &answer);
    }
    Ok(())
}

/// What the new member is to be started with.
fn start_settings(name: &str, urls: &str, answer: &pb::MemberAddResponse) {
    let own = answer.member.as_ref().map(|member| member.id);
    let mut cluster = Vec::new();
    for member in &answer.members {
        let name = if Some(member.id) == own { name } else { &member.name };
        cluster.extend(member.peer_urls.iter().map(|url| format!("{name}={url}")));
    }
    say_line("");
    say_line(&format!("ETCD_NAME={name:?}"));
    say_line(&format!("ETCD_INITIAL_CLUSTER={:?}", cluster.join(",")));
    say_line(&format!("ETCD_INITIAL_ADVERTISE_PEER_URLS={urls:?}"));
    say_line("ETCD_INITIAL_CLUSTER_STATE=\"existing\"");
}

async fn remove(input: Input) -> Result<(), Exit> {
    let id = member(&input)?;
    let session = Session::new(input).await?;
    let request = pb::MemberRemoveRequest { id };
    let answer: pb::MemberRemoveResponse =
        session.client().await?.unary(MEMBER_REMOVE, request, session.until()).await?;
    session.printer.show(&Answer::MemberRemove(id, &answer))
}

async fn update(input: Input) -> Result<(), Exit> {
    let id = member(&input)?;
    let request = pb::MemberUpdateRequest { id, peer_urls: urls(&input)? };
    let session = Session::new(input).await?;
    let client = session.client().await?;
    check(&request.peer_urls)?;
    let answer: pb::MemberUpdateResponse = client.unary(MEMBER_UPDATE, request, session.until()).await?;
    session.printer.show(&Answer::MemberUpdate(id, &answer))
}

async fn list(input: Input) -> Result<(), Exit> {
    // etcdctl tells the flag of `get` here, whose default is l
    let linearizable = !input.serializable("l")?;
    let session = Session::new(input).await?;
    let request = pb::MemberListRequest { linearizable };
    let answer: pb::MemberListResponse = session.client().await?.unary(MEMBER_LIST, request, session.until()).await?;
    session.printer.show(&Answer::MemberList(&answer))
}

async fn promote(input: Input) -> Result<(), Exit> {
    let id = member(&input)?;
    let session = Session::new(input).await?;
    let request = pb::MemberPromoteRequest { id };
    let answer: pb::MemberPromoteResponse =
        session.client().await?.unary(MEMBER_PROMOTE, request, session.until()).await?;
    session.printer.show(&Answer::MemberPromote(id, &answer))
}
