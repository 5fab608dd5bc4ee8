//! Peers over QUIC: a connection brings the lanes of raft, and takes them if its dialler says so, or it brings one snapshot.

use super::accepted::{Remote, Strangers, log_handshake, log_refused};
use crate::origin;
use crate::peer::bulk::receive;
use crate::peer::codec::hello::Purpose;
use crate::peer::dial::certificate;
use crate::peer::lanes::read::ReadHalf;
use crate::peer::lanes::write::WriteHalf;
use crate::peer::session::context::Context;
use crate::peer::session::hello::{Heard, HelloError, hear};
use crate::peer::session::offer::Offered;
use crate::peer::session::quic;
use crate::peer::session::receiving::Receiving;
use crate::peer::session::shared::{Shared, put_first};
use crate::peer::tls::Trust;
use quinn::{Connection, ConnectionError, Endpoint, Incoming, TransportErrorCode, VarInt};
use rustls::pki_types::CertificateDer;
use std::rc::Rc;
use tokio::time::timeout;

/// With which a connection is closed whose certificate is for another address: the alert of that name, as QUIC numbers it.
const BAD_CERTIFICATE: VarInt = VarInt::from_u32(0x100 + 42);

/// Takes connections until the endpoint is closed.
pub async fn accept(context: Rc<Context>, endpoint: Endpoint, strangers: Strangers, trust: Trust) {
    let trust = Rc::new(trust);
    while let Some(incoming) = endpoint.accept().await {
        let Some(stranger) = strangers.enter(context.config.limits.strangers) else {
            // no answer: whoever is a member tries again
            incoming.ignore();
            continue;
        };
        let (context, trust) = (context.clone(), trust.clone());
        actix_rt::spawn(async move {
            let remote = Remote::Net(incoming.remote_address());
            let patience = context.config.dial_timeout();
            let accepted = match timeout(patience, accept_hello(&context, incoming, &trust)).await {
                Ok(Ok(accepted)) => accepted,
                Ok(Err(AcceptError::Handshake(why))) if is_given_up(&why) => return,
                Ok(Err(AcceptError::Handshake(why))) => match certificate::after_quic(&why) {
                    Some(complaint) => return log_handshake(&context, remote, &format_args!("{complaint} ({why})")),
                    None => return log_handshake(&context, remote, &why),
                },
                Ok(Err(AcceptError::Origin(why))) => return log_handshake(&context, remote, &why),
                Ok(Err(AcceptError::Silent)) => return,
                Ok(Err(AcceptError::Hello(why, connection))) => {
                    log_refused(&context, remote, &why);
                    // the answer must arrive before the connection ends
                    let _ = timeout(patience, connection.closed()).await;
                    return connection.close(1_u32.into(), b"refused");
                }
                Err(_) => return,
            };
            drop(stranger);
            serve(context, accepted, trust.proves_diallers).await;
        });
    }
}

/// Why a connection is not that of a member.
enum AcceptError {
    Handshake(ConnectionError),
    /// Its certificate is for another address.
    Origin(String),
    /// It only wanted to know whether UDP passes.
    Silent,
    Hello(HelloError, Connection),
}

/// A connection whose hello was accepted.
struct Accepted {
    connection: Connection,
    heard: Heard,
    out: WriteHalf,
    read: ReadHalf,
}

/// The other side has closed the connection before it stood: it dials anew, and this attempt says nothing about certificates.
fn is_given_up(why: &ConnectionError) -> bool {
    match why {
        ConnectionError::ApplicationClosed(_) => true,
        ConnectionError::ConnectionClosed(close) => close.error_code == TransportErrorCode::APPLICATION_ERROR,
        _ => false,
    }
}

async fn accept_hello(context: &Rc<Context>, incoming: Incoming, trust: &Trust) -> Result<Accepted, AcceptError> {
    let connection = incoming.await.map_err(AcceptError::Handshake)?;
    if trust.compares_origin
        && let Err(why) = check_origin(context, &connection).await
    {
        connection.close(BAD_CERTIFICATE, why.as_bytes());
        return Err(AcceptError::Origin(why));
    }
    let (send, receive) = connection.accept_bi().await.map_err(|_| AcceptError::Silent)?;
    let mut out = WriteHalf::Quic(send);
    let mut read: ReadHalf = Box::new(receive);
    match hear(context, true, trust.proves_diallers, &mut read, &mut out).await {
        Ok(heard) => Ok(Accepted { connection, heard, out, read }),
        Err(why) => {
            let _ = out.finish().await;
            Err(AcceptError::Hello(why, connection))
        }
    }
}

async fn check_origin(context: &Context, connection: &Connection) -> Result<(), String> {
    let shown = connection.peer_identity().and_then(|shown| shown.downcast::<Vec<CertificateDer<'static>>>().ok());
    origin::check(shown.as_deref().map(Vec::as_slice), connection.remote_address(), context.config.dial_timeout()).await
}

async fn serve(context: Rc<Context>, accepted: Accepted, proved: bool) {
    let Accepted { connection, heard, mut out, mut read } = accepted;
    let Heard { hello, mut admitted, .. } = heard;
    let from = hello.member;
    match hello.purpose {
        Purpose::Raft => {
            let share = Shared::new(connection);
            if let WriteHalf::Quic(stream) = &out {
                // without it echoes wait behind entries, which costs patience and nothing else
                let _ = put_first(stream);
            }
            if let Some(announced) = admitted.announced.take() {
                let standing = admitted.standing.clone();
                let (connection, epoch) = (share.clone(), hello.boot_epoch);
                announced.offer(Offered { connection, epoch, standing, proved });
            }
            quic::serve(&Receiving::new(context, from, admitted), share, read, out).await;
        }
        Purpose::Bulk => {
            let turn = admitted.bulk.clone();
            tokio::select! {
                biased;
                () = admitted.ended() => {}
                _ = connection.closed() => {}
                // a stream that broke is made anew by its sender
                _ = receive::take(&context, from, turn, &mut read, &mut out) => {}
            }
            connection.close(0_u32.into(), b"closed");
        }
    }
}
