//! Lanes as streams of one QUIC connection. Each direction has streams of its own: one both ways for control and its echoes, one for
//! appends, one both ways for calls and their answers. The direction of the member that dialled begins with its hello, the other one
//! with its lane.

use super::context::Context;
use super::offer::Offered;
use super::receiving::Receiving;
use super::sending::{ConnectionKind, Origin, SendingLink};
use super::shared::{Shared, WeakShared, put_first};
use crate::peer::codec::lane::Lane;
use crate::peer::lanes::read::{ReadHalf, StreamError};
use crate::peer::lanes::write::WriteHalf;
use bytes::Bytes;
use quinn::Connection;
use raft::NodeId;
use std::io;
use std::rc::Rc;
use tokio::io::AsyncReadExt;

/// Opens the streams to send on behind that of control.
///
/// # Errors
/// The connection is broken.
pub async fn open_rest(
    connection: Shared,
    control: (WriteHalf, ReadHalf),
    epoch: u64,
    origin: Origin,
) -> io::Result<SendingLink> {
    let mut append = WriteHalf::Quic(connection.connection().open_uni().await?);
    append.write(named(Lane::Append)).await?;
    let (send, receive) = connection.connection().open_bi().await?;
    let mut calls = WriteHalf::Quic(send);
    calls.write(named(Lane::Calls)).await?;
    let answers: ReadHalf = Box::new(receive);
    Ok(SendingLink { control, append, calls: (calls, answers), epoch, kind: ConnectionKind::Quic(connection), origin })
}

/// Opens all streams to send on a connection that the peer has dialled.
///
/// # Errors
/// The connection is broken.
pub async fn send_back(offered: Offered) -> io::Result<SendingLink> {
    let Offered { connection, epoch, standing, proved: _ } = offered;
    let (send, receive) = connection.connection().open_bi().await?;
    put_first(&send)?;
    let mut out = WriteHalf::Quic(send);
    out.write(named(Lane::Control)).await?;
    open_rest(connection, (out, Box::new(receive)), epoch, Origin::There(standing)).await
}

fn named(lane: Lane) -> Bytes {
    Bytes::copy_from_slice(&[lane as u8])
}

/// Receives from a peer on a connection that was dialled from here, as soon as it sends on it.
pub async fn receive_back(context: Rc<Context>, peer: NodeId, epoch: u64, connection: Connection, share: WeakShared) {
    let Ok((send, receive)) = connection.accept_bi().await else { return };
    let Some(share) = share.upgrade() else { return };
    let mut read: ReadHalf = Box::new(receive);
    if let Err(why) = expect(&mut read, Lane::Control).await {
        return share.close(&why.to_string());
    }
    let Some(admitted) = context.registry.admit_back(peer, epoch) else { return };
    serve(&Receiving::new(context, peer, admitted), share, read, WriteHalf::Quic(send)).await;
}

/// Receives from a peer whose stream of control is there, until that direction ends.
pub async fn serve(receiving: &Receiving, share: Shared, read: ReadHalf, out: WriteHalf) {
    let connection = share.connection();
    let append = async {
        let mut half: ReadHalf = Box::new(connection.accept_uni().await.map_err(io::Error::from)?);
        expect(&mut half, Lane::Append).await?;
        Err::<(), _>(receiving.append(half).await)
    };
    let calls = async {
        let (send, receive) = connection.accept_bi().await.map_err(io::Error::from)?;
        let mut half: ReadHalf = Box::new(receive);
        expect(&mut half, Lane::Calls).await?;
        Err::<(), _>(receiving.calls(half, WriteHalf::Quic(send)).await)
    };
    let why = tokio::select! {
        biased;
        // what is still to be sent the other way may be
        () = receiving.replaced() => return,
        why = receiving.control(read, out) => why,
        Err(why) = append => why,
        Err(why) = calls => why,
        () = receiving.silent() => {
            let why = io::Error::from(io::ErrorKind::TimedOut);
            share.close("the peer is silent");
            why.into()
        }
        why = connection.closed() => io::Error::from(why).into(),
    };
    receiving.log_end(&why);
    match why {
        StreamError::Frame(why) => share.close(&why.to_string()),
        StreamError::Io(why) => share.broken(&why.to_string()),
    }
}

async fn expect(half: &mut ReadHalf, lane: Lane) -> Result<(), StreamError> {
    let byte = half.read_u8().await?;
    if Lane::from_byte(byte) == Some(lane) {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "a stream begins with another lane").into())
    }
}
