//! The peer port over TCP, and unix sockets: members whose UDP does not get through, and everybody who asks for `/members`, `/version`
//! or `/health`.
//!
//! The first byte tells TLS from plain text, what was agreed on in the handshake tells members from HTTP. An `https` port answers
//! nobody in plain text.

use super::accepted::{Remote, Stranger, Strangers, log_handshake, log_refused};
use crate::origin;
use crate::peer::bulk::receive;
use crate::peer::codec::hello::Purpose;
use crate::peer::codec::lane::Lane;
use crate::peer::dial::{ByteStream, keep_alive};
use crate::peer::http::{Pages, serve_http};
use crate::peer::lanes::read::ReadHalf;
use crate::peer::lanes::write::WriteHalf;
use crate::peer::session::context::Context;
use crate::peer::session::hello::{Heard, hear};
use crate::peer::session::receiving::Receiving;
use crate::peer::tls::{ALPN, Trust};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, UnixListener};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// First byte of a TLS handshake.
const HANDSHAKE: u8 = 0x16;

/// A socket for peers that carries bytes in order.
pub struct StreamPort {
    /// What its connections share.
    pub context: Rc<Context>,
    /// Answers HTTP.
    pub pages: Arc<dyn Pages>,
    /// Its certificates.
    pub trust: Trust,
    /// Its URL says `https` or `unixs`.
    pub secure: bool,
}

/// Takes connections over TCP for ever.
pub async fn accept(port: StreamPort, listener: TcpListener, strangers: Strangers) {
    let port = Rc::new(port);
    let acceptor = TlsAcceptor::from(port.trust.tcp_server());
    loop {
        let (stream, remote) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(why) => {
                cannot_accept(&why).await;
                continue;
            }
        };
        let Some(stranger) = strangers.enter(port.context.config.limits.strangers) else { continue };
        let (port, acceptor) = (port.clone(), acceptor.clone());
        actix_rt::spawn(async move {
            let mut first = [0];
            let Ok(Ok(1)) = timeout(port.context.config.dial_timeout(), stream.peek(&mut first)).await else { return };
            // a socket that does not take the option is a little slower
            let _ = stream.set_nodelay(true);
            keep_alive(&stream);
            serve(&port, &acceptor, stream, first[0], Remote::Net(remote), stranger).await;
        });
    }
}

/// Takes connections over a unix socket for ever.
pub async fn accept_unix(port: StreamPort, listener: UnixListener, strangers: Strangers) {
    let port = Rc::new(port);
    let acceptor = TlsAcceptor::from(port.trust.tcp_server());
    loop {
        let mut stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(why) => {
                cannot_accept(&why).await;
                continue;
            }
        };
        let Some(stranger) = strangers.enter(port.context.config.limits.strangers) else { continue };
        let (port, acceptor) = (port.clone(), acceptor.clone());
        actix_rt::spawn(async move {
            let Ok(Ok(first)) = timeout(port.context.config.dial_timeout(), stream.read_u8()).await else { return };
            let (read, write) = stream.into_split();
            // a unix socket does not show a byte without giving it
            let stream = tokio::io::join(io::Cursor::new([first]).chain(read), write);
            serve(&port, &acceptor, stream, first, Remote::Unix, stranger).await;
        });
    }
}

async fn cannot_accept(why: &io::Error) {
    tracing::warn!(error = %why, "cannot take a connection on the peer port");
    sleep(Duration::from_millis(100)).await;
}

/// Serves a connection that begins with the byte `first`, which is still to be read.
async fn serve(
    port: &StreamPort,
    acceptor: &TlsAcceptor,
    stream: impl ByteStream + 'static,
    first: u8,
    remote: Remote,
    stranger: Stranger,
) {
    let patience = port.context.config.dial_timeout();
    if first != HANDSHAKE {
        if !port.secure {
            serve_http(stream, port.pages.clone()).await;
        }
        return;
    }
    let stream = match timeout(patience, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(why)) => return log_handshake(&port.context, remote, &why),
        Err(_) => return,
    };
    if port.trust.compares_origin
        && let Remote::Net(address) = remote
        && let Err(why) = origin::check(stream.get_ref().1.peer_certificates(), address, patience).await
    {
        return log_handshake(&port.context, remote, &why);
    }
    if stream.get_ref().1.alpn_protocol() == Some(ALPN) {
        member(&port.context, stream, remote, stranger).await;
    } else {
        serve_http(stream, port.pages.clone()).await;
    }
}

async fn member(
    context: &Rc<Context>,
    stream: TlsStream<impl ByteStream + 'static>,
    remote: Remote,
    stranger: Stranger,
) {
    let (read, write) = tokio::io::split(stream);
    let mut read: ReadHalf = Box::new(read);
    let mut out = WriteHalf::Other(Box::new(write));
    let heard = match timeout(context.config.dial_timeout(), hear(context, false, false, &mut read, &mut out)).await {
        Ok(Ok(heard)) => heard,
        Ok(Err(why)) => {
            log_refused(context, remote, &why);
            // best effort: whoever was refused has the answer already
            let _ = out.finish().await;
            return;
        }
        Err(_) => return,
    };
    drop(stranger);
    let Heard { hello, carries, admitted } = heard;
    if hello.purpose == Purpose::Bulk {
        let turn = admitted.bulk.clone();
        tokio::select! {
            biased;
            () = admitted.ended() => {}
            // a stream that broke is made anew by its sender
            _ = receive::take(context, hello.member, turn, &mut read, &mut out) => {}
        }
        return;
    }
    let receiving = Receiving::new(context.clone(), hello.member, admitted);
    let lane = carries.lane.unwrap_or(Lane::Control);
    let serve = async {
        match lane {
            Lane::Append => receiving.append(read).await,
            Lane::Calls => receiving.calls(read, out).await,
            Lane::Control | Lane::Echoes | Lane::Answers => {
                tokio::select! {
                    why = receiving.control(read, out) => why,
                    () = receiving.silent() => io::Error::from(io::ErrorKind::TimedOut).into(),
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = receiving.replaced() => {}
        why = serve => receiving.log_end(&why),
    }
}
