//! A host program with a Conclave node inside: its own actix actors write, watch and stop it. Copy this to begin.
//!
//! `cargo run -p conclave-embed --example host -- DATA_FOLDER [CLIENT_URL]`

use actix::prelude::*;
use embed::{Client, Config, Node};
use messages::watch::{CreateWatch, WatchFrame};
use model::request::PutRequest;
use model::{Command, KeyRange};
use std::error::Error;

/// An actor of the host that counts its visits in the store.
struct Visits {
    store: Client,
}

impl Actor for Visits {
    type Context = Context<Self>;
}

/// Somebody came by. Answers how often that happened before.
struct Visit;

impl Message for Visit {
    type Result = Result<u64, String>;
}

impl Handler<Visit> for Visits {
    type Result = ResponseFuture<Result<u64, String>>;

    fn handle(&mut self, _: Visit, _: &mut Context<Self>) -> Self::Result {
        let store = self.store.clone();
        Box::pin(async move {
            let before = store.get("visits").await.map_err(|e| e.to_string())?;
            let before = before.and_then(|kv| std::str::from_utf8(&kv.value).ok()?.parse().ok()).unwrap_or(0);
            let put =
                PutRequest { key: "visits".into(), value: (before + 1).to_string().into(), ..PutRequest::default() };
            store.execute(Command::Put(put)).await.map_err(|e| e.to_string())?;
            Ok(before)
        })
    }
}

async fn host(data: String, url: Option<String>) -> Result<(), Box<dyn Error>> {
    let mut config = Config::new("host", data);
    if let Some(url) = url {
        config.advertise_client_urls = vec![url.clone()];
        config.client_urls = vec![url];
    }
    let serves_others = !config.client_urls.is_empty();
    let node = Node::start(config).await?;
    let mut watch = node.client().watch(CreateWatch::new(KeyRange::new("visits".into(), bytes::Bytes::new())));
    let visits = Visits { store: node.client() }.start();
    for _ in 0..3 {
        let before = visits.send(Visit).await??;
        println!("visited {before} times before");
    }
    let mut seen = 0;
    while seen < 3 {
        let Some(frames) = watch.next().await else { break };
        seen += frames.iter().filter(|f| matches!(f, WatchFrame::Events { .. })).count();
    }
    println!("saw {seen} changes");
    if serves_others {
        println!("serving on {:?}, end with ctrl-c", node.addresses());
        println!("ended: {}", node.stopped().await);
    }
    drop(watch);
    node.stop().await;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let data = arguments.next().ok_or("usage: host DATA_FOLDER [CLIENT_URL]")?;
    System::new().block_on(host(data, arguments.next()))
}
