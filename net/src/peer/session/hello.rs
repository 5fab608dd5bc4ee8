//! The exchange of hellos on a fresh stream: 64 bytes one way, 32 back, before anything else.

use super::context::Context;
use super::registry::{Admitted, Carries, Claim, NotAdmitted, StandingDial};
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
    /// A connection of the peer came first, and is used instead.
    #[error("the other member's connection came first")]
    Overtaken,
    /// The stream broke.
    #[error("the connection broke during the hello: {0}")]
    Io(#[from] io::Error),
    /// This member says no.
    #[error(transparent)]
    NotAdmitted(#[from] NotAdmitted),
}

/// What came of a hello to a member that was dialled.
pub struct Said {
    /// Which run of it answered.
    pub epoch: u64,
    /// The dial, when its connection is used both ways. To be kept as long as the connection.
    pub dial: Option<StandingDial>,
}

/// Says hello, and which lane the stream is, to a member that was dialled. A connection of all lanes of raft is used both ways.
///
/// # Errors
/// [`HelloError`].
pub async fn say(
    context: &Context,
    to: NodeId,
    carries: Carries,
    out: &mut WriteHalf,
    back: &mut ReadHalf,
) -> Result<Said, HelloError> {
    let dial = if carries.purpose == Purpose::Raft && carries.lane.is_none() {
        Some(context.registry.say_dial(to).ok_or(HelloError::Overtaken)?)
    } else {
        None
    };
    let numbers = dial.as_ref().map(|dial| dial.numbers);
    let mut words = context.hello(to, carries.purpose, numbers).encode().to_vec();
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
            Ok(Said { epoch: answer.boot_epoch, dial })
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

/// Hears a hello and answers it. `whole` says that all lanes come on this connection, whatever lane the stream is; `proved`, that its
/// dialler has shown a certificate that was checked.
///
/// # Errors
/// [`HelloError`]; a refusal was sent.
pub async fn hear(
    context: &Rc<Context>,
    whole: bool,
    proved: bool,
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
    let both_ways = hello.both_ways.filter(|_| whole && hello.purpose == Purpose::Raft);
    let claim = Claim { epoch: hello.boot_epoch, carries, both_ways, proved };
    let judged = judge(context, &hello, claim);
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

fn judge(context: &Rc<Context>, hello: &Hello, claim: Claim) -> Result<(u16, Admitted), NotAdmitted> {
    let version = hello.judge(context.config.cluster, context.config.own)?;
    // over TCP every raft connection says which lane it is; over QUIC streams say so themselves
    let admitted = context.registry.admit(hello.member, claim)?;
    Ok((version, admitted))
}
