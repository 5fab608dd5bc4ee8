//! `lease-keepalive`: renewals of one lease for each client.
//!
//! Must open a stream for each renewal unless told otherwise: that is what etcd's client does, and it costs.

use super::output::{files, report};
use super::{Desk, Failed, call, channels, plan, rng};
use crate::client::{CallError, Channel, Code, Inbound, Method, Outbound};
use crate::flags::Given;
use crate::load::drive;
use crate::report::{Live, Recorder};
use api::etcdserverpb::{LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse};
use bytes::Bytes;
use prost::Message;
use std::cell::RefCell;

const TTL: i64 = 100;

pub(crate) async fn run(given: &Given) -> Result<(), Failed> {
    let channels = channels(given).await?;
    let clients = given.count("clients").max(1);
    let desk = Desk::new(rng(given));
    let mut bodies = Vec::new();
    for client in 0..clients {
        let request = LeaseGrantRequest { ttl: TTL, id: 0 };
        let lease: LeaseGrantResponse = call(&channels[client % channels.len()], Method::LeaseGrant, &request).await?;
        bodies.push(desk.frame(&LeaseKeepAliveRequest { id: lease.id }));
    }
    let reuse = given.flag("reuse-stream");
    let streams: Vec<RefCell<Option<(Outbound, Inbound)>>> = bodies.iter().map(|_| RefCell::default()).collect();
    let recorder = Recorder::new("lease-keepalive");
    let recorders = [recorder.clone()];
    let plan = plan(given, clients);
    let live = Live::start("lease-keepalive", plan.total, plan.duration, &recorders);
    drive(&plan, &channels, &recorders, async move |client, channel: &Channel, _| {
        let body = bodies[client].clone();
        let outcome = if reuse {
            // the client's own: nobody else touches it while it waits
            let held = streams[client].borrow_mut().take();
            match renew(channel, held, body).await {
                Ok(stream) => {
                    *streams[client].borrow_mut() = Some(stream);
                    Ok(())
                }
                Err(why) => Err(why),
            }
        } else {
            renew(channel, None, body).await.map(drop)
        };
        (0, outcome)
    })
    .await?;
    drop(live);
    let summary = recorder.summary();
    report(given, "", &summary, "")?;
    files(given, &[summary])
}

async fn renew(
    channel: &Channel,
    stream: Option<(Outbound, Inbound)>,
    body: Bytes,
) -> Result<(Outbound, Inbound), CallError> {
    let (mut outbound, mut inbound) = match stream {
        Some(stream) => stream,
        None => channel.duplex(Method::LeaseKeepAlive).await?,
    };
    outbound.send(body)?;
    let ended = || CallError::new(Code::Unavailable, "the server ended the keep-alive stream".into());
    let answer = inbound.next().await?.ok_or_else(ended)?;
    let answer = LeaseKeepAliveResponse::decode(answer).map_err(CallError::undecodable)?;
    if answer.ttl <= 0 {
        return Err(CallError::new(Code::NotFound, "etcdserver: requested lease not found".into()));
    }
    Ok((outbound, inbound))
}
