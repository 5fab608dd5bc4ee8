//! The exchange of hellos on a fresh stream: 64 bytes one way, 32 back, before anything else.

use super::context::Context;
use super::registry::{Admitted, Carries, NotAdmitted};
use crate::peer::codec::hello::{ANSWER_LEN, HELLO_LEN, Hello, HelloAnswer, NotAPeer, Purpose, Refusal};
use crate::peer::codec::lane::Lane;
use crate::peer::lanes::read::ReadHalf;
use crate::peer::lanes::write::WriteHalf;
use bytes::Bytes;
use raft::NodeId;
use std::io;
use std::rc::Rc;
use tokio::io::AsyncReadExt;

/// Why two members did not agree to talk.
#[derive(Debug, thiserror::Error)]
pub enum HelloError {
    /// The other one says no.
    #[error("the other member refuses: {0}")]
    Refused(Refusal),
    /// Something else listens or dials.
    #[error(transparent)]
    NotAPeer(#[from] NotAPeer),
    /// Another member answered than was meant.
    #[error("member {0:x} answered instead; check the peer URLs")]
    WrongMember(NodeId),
    /// A run of the member that has ended, as far as this side knows.
    #[error("an older run of the member answered; is it running twice?")]
    OldRun,
    /// The stream broke.
    #[error("the connection broke during the hello: {0}")]
    Io(#[from] io::Error),
    /// This member says no.
    #[error(transparent)]
    NotAdmitted(#[from] NotAdmitted),
}

/// Says hello, and which lane the stream is, to a member that was dialled. Gives the boot epoch of its run.
///
/// # Errors
/// [`HelloError`].
pub async fn say(
    context: &Context,
    to: NodeId,
    carries: Carries,
    out: &mut WriteHalf,
    back: &mut ReadHalf,
) -> Result<u64, HelloError> {
    let mut words = context.hello(to, carries.purpose).encode().to_vec();
    words.push(carries.lane.map_or(0, |lane| lane as u8));
    out.write(Bytes::from(words)).await?;
    let mut answer = [0; ANSWER_LEN];
    back.read_exact(&mut answer).await?;
    let answer = HelloAnswer::decode(&answer)?;
    match answer.result {
        Err(refusal) => Err(HelloError::Refused(refusal)),
        Ok(_) if answer.member != to => Err(HelloError::WrongMember(answer.member)),
        Ok(_) if answer.boot_epoch < context.registry.epoch(to) => Err(HelloError::OldRun),
        Ok(_) => {
            context.registry.saw(to, answer.boot_epoch);
            Ok(answer.boot_epoch)
        }
    }
}

/// An accepted hello.
pub struct Heard {
    /// What was said.
    pub hello: Hello,
    /// What the connection carries.
    pub carries: Carries,
    /// Its place among the peer's connections.
    pub admitted: Admitted,
}

/// Hears a hello and answers it. `whole` says that all lanes come on this connection, whatever lane the stream is.
///
/// # Errors
/// [`HelloError`]; a refusal was sent.
pub async fn hear(
    context: &Rc<Context>,
    whole: bool,
    read: &mut ReadHalf,
    out: &mut WriteHalf,
) -> Result<Heard, HelloError> {
    let mut words = [0; HELLO_LEN];
    read.read_exact(&mut words).await?;
    let hello = Hello::decode(&words)?;
    let lane = read.read_u8().await?;
    let lane = if whole { None } else { Lane::from_byte(lane) };
    if !whole && hello.purpose == Purpose::Raft && lane.is_none() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it names no lane").into());
    }
    let carries = Carries { purpose: hello.purpose, lane };
    let judged = judge(context, &hello, carries);
    let result = match &judged {
        Ok((version, _)) => Ok(*version),
        Err(NotAdmitted::Refused(refusal)) => Err(*refusal),
        Err(why @ NotAdmitted::TooManyStrangers) => return Err((*why).into()),
    };
    let answer = HelloAnswer { member: context.config.own, boot_epoch: context.config.boot_epoch, result };
    out.write(Bytes::copy_from_slice(&answer.encode())).await?;
    let (_, admitted) = judged?;
    Ok(Heard { hello, carries, admitted })
}

fn judge(context: &Rc<Context>, hello: &Hello, carries: Carries) -> Result<(u16, Admitted), NotAdmitted> {
    let version = hello.judge(context.config.cluster, context.config.own)?;
    // over TCP every raft connection says which lane it is; over QUIC streams say so themselves
    let admitted = context.registry.admit(hello.member, hello.boot_epoch, carries)?;
    Ok((version, admitted))
}
