//! `get`.

use super::session::Session;
use crate::cli::Input;
use crate::cli::spec::{Command, Flag, Group, Kind};
use crate::client::method::{RANGE, RANGE_STREAM};
use crate::client::{Client, Failure, Until, range};
use crate::exit::{BAD_FEATURE, Exit};
use crate::print::{Answer, Format};
use api::etcdserverpb as pb;
use bytes::Bytes;
use tonic::Streaming;

/// `get`.
pub const COMMAND: Command = Command {
    name: "get",
    usage: "[options] <key> [range_end]",
    short: "Get a key or a range of keys",
    flags: FLAGS,
    group: Group::Keys,
    run: crate::run!(run),
    ..Command::EMPTY
};

/// Its flags; `txn` reads them as well.
pub const FLAGS: &[Flag] = &[
    Flag::new("consistency", Kind::Text, "l", "consistency of the read: linearizable (l) or serializable (s)"),
    Flag::text("order", "sort order of the results: ASCEND or DESCEND"),
    Flag::text("sort-by", "field to sort by: CREATE, KEY, MODIFY, VALUE or VERSION"),
    Flag::int("limit", "maximum number of results (0: no limit)"),
    Flag::switch("prefix", "get all keys with the prefix <key>"),
    Flag::switch("from-key", "get all keys greater than or equal to <key> in byte order"),
    Flag::int("rev", "read at this revision"),
    Flag::switch("keys-only", "get only the keys"),
    Flag::switch("count-only", "get only the number of keys (with --write-out=fields)"),
    Flag::switch("print-value-only", "print only values, in the simple format"),
    Flag::int("min-create-rev", "only keys with a create revision of at least this"),
    Flag::int("max-create-rev", "only keys with a create revision of at most this"),
    Flag::int("min-mod-rev", "only keys with a modification revision of at least this"),
    Flag::int("max-mod-rev", "only keys with a modification revision of at most this"),
    Flag::switch("stream", "use RangeStream, which returns the result in several messages"),
];

async fn run(input: Input) -> Result<(), Exit> {
    let request = request(&input)?;
    let (count_only, values_only) = (input.on("count-only"), input.on("print-value-only"));
    let mut session = Session::new(input).await?;
    let client = session.client().await?;
    let answer = if session.input.on("stream") {
        streamed(&client, request, session.until()).await?
    } else {
        client.unary(RANGE, request, session.until()).await?
    };
    if count_only && session.printer.format != Format::Fields {
        return Err(Exit::args("--count-only is only for `--write-out=fields`"));
    }
    if values_only {
        if session.printer.format != Format::Simple {
            return Err(Exit::args("print-value-only is only for `--write-out=simple`"));
        }
        session.printer.values_only = true;
    }
    session.printer.show(&Answer::Get(&answer))
}

/// Puts the parts of a streamed answer together.
async fn streamed(client: &Client, request: pb::RangeRequest, until: Until) -> Result<pb::RangeResponse, Failure> {
    let mut parts: Streaming<pb::RangeStreamResponse> = client.answers(RANGE_STREAM, request, until).await?;
    let mut whole = pb::RangeResponse::default();
    loop {
        match parts.message().await {
            Ok(Some(part)) => {
                let part = part.range_response.unwrap_or_default();
                whole.header = part.header.or(whole.header);
                whole.kvs.extend(part.kvs);
                whole.more |= part.more;
                if part.count != 0 {
                    whole.count = part.count;
                }
            }
            Ok(None) => return Ok(whole),
            Err(status) => return Err(client.broken(status)),
        }
    }
}

/// What the flags and arguments ask for.
///
/// # Errors
/// What does not go together.
pub fn request(input: &Input) -> Result<pb::RangeRequest, Exit> {
    let (prefix, from_key) = (input.on("prefix"), input.on("from-key"));
    let Some(key) = input.args.first() else {
        return Err(Exit::args("get command needs one argument as key and an optional argument as range_end"));
    };
    if prefix && from_key {
        return Err(Exit::args("`--prefix` and `--from-key` cannot be set at the same time, choose one"));
    }
    if input.on("keys-only") && input.on("count-only") {
        return Err(Exit::args("`--keys-only` and `--count-only` cannot be set at the same time, choose one"));
    }
    let serializable = input.serializable(&input.text("consistency"))?;
    if input.args.len() > 1 && (prefix || from_key) {
        let said = "too many arguments, only accept one argument when `--prefix` or `--from-key` is set";
        return Err(Exit::args(said));
    }
    let (key, range_end) = match (prefix, from_key) {
        (true, _) => range::prefix(key),
        (_, true) => range::from_key(key),
        _ => {
            (Bytes::copy_from_slice(key), input.args.get(1).map(|end| Bytes::copy_from_slice(end)).unwrap_or_default())
        }
    };
    let (sort_order, sort_target) = sort(input)?;
    let (min_create_revision, max_create_revision) = bounds(input, "create", "Create")?;
    let (min_mod_revision, max_mod_revision) = bounds(input, "mod", "Mod")?;
    Ok(pb::RangeRequest {
        key,
        range_end,
        limit: input.int("limit"),
        revision: input.int("rev").max(0),
        sort_order: sort_order.into(),
        sort_target: sort_target.into(),
        serializable,
        keys_only: input.on("keys-only"),
        count_only: input.on("count-only"),
        min_mod_revision,
        max_mod_revision,
        min_create_revision,
        max_create_revision,
    })
}

fn sort(input: &Input) -> Result<(pb::SortOrder, pb::SortTarget), Exit> {
    let (order, target) = (input.text("order"), input.text("sort-by"));
    let mut by = match order.to_uppercase().as_str() {
        "ASCEND" => pb::SortOrder::Ascend,
        "DESCEND" => pb::SortOrder::Descend,
        "" => pb::SortOrder::None,
        _ => return Err(Exit::new(BAD_FEATURE, format!("bad sort order {order}"))),
    };
    let what = match target.to_uppercase().as_str() {
        "CREATE" => pb::SortTarget::Create,
        "KEY" | "" => pb::SortTarget::Key,
        "MODIFY" => pb::SortTarget::Mod,
        "VALUE" => pb::SortTarget::Value,
        "VERSION" => pb::SortTarget::Version,
        _ => return Err(Exit::new(BAD_FEATURE, format!("bad sort target {target}"))),
    };
    // keys come in order anyway: etcd's client does not ask for it
    if what == pb::SortTarget::Key && by == pb::SortOrder::Ascend {
        by = pb::SortOrder::None;
    }
    Ok((by, what))
}

fn bounds(input: &Input, name: &str, told: &str) -> Result<(i64, i64), Exit> {
    let (min, max) = (input.int(&format!("min-{name}-rev")), input.int(&format!("max-{name}-rev")));
    if max > 0 && min > max {
        let said = format!("getMin{told}Rev(={min}) > getMax{told}Rev(={max})");
        return Err(Exit::new(BAD_FEATURE, said));
    }
    Ok((min.max(0), max.max(0)))
}
