//! First words on a connection between members: who I am, whom I mean, which run of mine this is, which versions I speak.
//!
//! Both forms have a fixed layout that no later version may change, because it is read before a version is agreed on. Whether the
//! member is who it says is the certificates' business. Must never be answered with more than a reason.

use raft::NodeId;
use rkyv::rancor::Error;
use rkyv::{Archive, Serialize};

use super::error::FRAME_VERSION;

/// First bytes of a hello and of its answer.
const MAGIC: [u8; 8] = *b"CNCLPEER";
/// Bytes of a hello.
pub const HELLO_LEN: usize = size_of::<ArchivedHello1>();
/// Bytes of an answer.
pub const ANSWER_LEN: usize = size_of::<ArchivedAnswer1>();

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Raft messages, one stream per lane.
    Raft = 1,
    /// Files of snapshots.
    Bulk = 2,
}

/// What the member that dials says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Its cluster.
    pub cluster: u64,
    /// Itself.
    pub member: NodeId,
    /// Whom it means to talk to.
    pub to: NodeId,
    /// Grows with every start of the member: connections of an older run are dead, whatever they look like.
    pub boot_epoch: u64,
    /// Oldest frame version it can speak.
    pub oldest: u16,
    /// Newest frame version it can speak.
    pub newest: u16,
    /// What the connection is for.
    pub purpose: Purpose,
    /// The member that dials also takes messages on this connection; `None` when it only sends.
    pub both_ways: Option<DialNumbers>,
}

/// What tells two dials that crossed each other from one that answers a lost connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DialNumbers {
    /// Which dial of this run to the other member it is, from one.
    pub own: u32,
    /// The newest dial of the other member's run that had been taken when this was said; zero for none.
    pub seen: u32,
}

/// What the member that was dialled answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HelloAnswer {
    /// Itself.
    pub member: NodeId,
    /// Its own run.
    pub boot_epoch: u64,
    /// The frame version to speak, or why not.
    pub result: Result<u16, Refusal>,
}

/// Why a hello was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another cluster.
    #[error("it belongs to another cluster; check the peer URLs and --initial-cluster-token")]
    WrongCluster = 1,
    /// Somebody else lives at this address.
    #[error("another member listens there; check the peer URLs")]
    WrongReceiver = 2,
    /// Both ends have the same member id.
    #[error("both ends have the same member id; was the data folder copied?")]
    SameMember = 3,
    /// No version that both speak.
    #[error("no version that both speak; upgrade one version at a time")]
    Version = 4,
    /// The membership does not know it any more.
    #[error("it was removed from the cluster")]
    Removed = 5,
    /// A newer run of the same member is connected.
    #[error("a newer run of the same member is connected; is it running twice?")]
    OldRun = 6,
    /// Both members dialled at once, and the other one's dial is kept. Only said to who takes messages both ways.
    #[error("both members dialled at once; the other connection is used")]
    Crossed = 7,
}

impl Refusal {
    fn from_byte(byte: u8) -> Option<Self> {
        let all = [
            Self::WrongCluster,
            Self::WrongReceiver,
            Self::SameMember,
            Self::Version,
            Self::Removed,
            Self::OldRun,
            Self::Crossed,
        ];
        all.into_iter().find(|known| *known as u8 == byte)
    }
}

/// Bytes that are no hello, or no answer to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what connected is no Conclave member: {0}")]
pub struct NotAPeer(&'static str);

#[derive(Archive, Serialize)]
struct Hello1 {
    magic: [u8; 8],
    cluster: u64,
    member: u64,
    to: u64,
    boot_epoch: u64,
    oldest: u16,
    newest: u16,
    purpose: u8,
    /// One when messages are taken on this connection too. Builds before that wrote zeros from here on.
    both_ways: u8,
    dial: [u8; 4],
    seen: [u8; 4],
    /// For what is not thought of yet; zero.
    reserved: [u8; 10],
}

#[derive(Archive, Serialize)]
struct Answer1 {
    magic: [u8; 8],
    member: u64,
    boot_epoch: u64,
    version: u16,
    refusal: u8,
    reserved: [u8; 5],
}

const _: () = assert!(HELLO_LEN == 64 && ANSWER_LEN == 32, "the layout of a hello never changes");

impl Hello {
    /// Its bytes.
    pub fn encode(&self) -> [u8; HELLO_LEN] {
        let flat = Hello1 {
            magic: MAGIC,
            cluster: self.cluster,
            member: self.member,
            to: self.to,
            boot_epoch: self.boot_epoch,
            oldest: self.oldest,
            newest: self.newest,
            purpose: self.purpose as u8,
            both_ways: u8::from(self.both_ways.is_some()),
            dial: self.both_ways.map_or(0, |numbers| numbers.own).to_le_bytes(),
            seen: self.both_ways.map_or(0, |numbers| numbers.seen).to_le_bytes(),
            reserved: [0; 10],
        };
        let bytes = rkyv::to_bytes::<Error>(&flat).expect("plain integers always archive");
        bytes.as_slice().try_into().expect("the length is asserted")
    }

    /// Reads one. What is reserved is ignored: a newer member may say more.
    ///
    /// # Errors
    /// [`NotAPeer`].
    pub fn decode(bytes: &[u8; HELLO_LEN]) -> Result<Self, NotAPeer> {
        let flat = rkyv::access::<ArchivedHello1, Error>(bytes).map_err(|_| NotAPeer("it does not validate"))?;
        if flat.magic != MAGIC {
            return Err(NotAPeer("it begins with something else"));
        }
        let purpose = match flat.purpose {
            1 => Purpose::Raft,
            2 => Purpose::Bulk,
            _ => return Err(NotAPeer("its purpose is unknown")),
        };
        let hello = Self {
            cluster: flat.cluster.to_native(),
            member: flat.member.to_native(),
            to: flat.to.to_native(),
            boot_epoch: flat.boot_epoch.to_native(),
            oldest: flat.oldest.to_native(),
            newest: flat.newest.to_native(),
            purpose,
            both_ways: (flat.both_ways == 1)
                .then(|| DialNumbers { own: u32::from_le_bytes(flat.dial), seen: u32::from_le_bytes(flat.seen) }),
        };
        if hello.member == 0 || hello.to == 0 {
            return Err(NotAPeer("a member id is zero"));
        }
        if hello.oldest == 0 || hello.oldest > hello.newest {
            return Err(NotAPeer("its versions are impossible"));
        }
        if hello.both_ways.is_some_and(|numbers| numbers.own == 0) {
            return Err(NotAPeer("it does not number its dial"));
        }
        Ok(hello)
    }

    /// What this member, `own` of `cluster`, answers: the newest version that both speak. Whether the caller was removed, and whether its run
    /// is the newest, is for those who know members and connections.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn judge(&self, cluster: u64, own: NodeId) -> Result<u16, Refusal> {
        if self.cluster != cluster {
            return Err(Refusal::WrongCluster);
        }
        if self.member == own {
            return Err(Refusal::SameMember);
        }
        if self.to != own {
            return Err(Refusal::WrongReceiver);
        }
        // this build speaks one version
        let speaks = (self.oldest..=self.newest).contains(&FRAME_VERSION);
        if speaks { Ok(FRAME_VERSION) } else { Err(Refusal::Version) }
    }
}

impl HelloAnswer {
    /// Its bytes.
    pub fn encode(&self) -> [u8; ANSWER_LEN] {
        let (version, refusal) = match self.result {
            Ok(version) => (version, 0),
            Err(refusal) => (0, refusal as u8),
        };
        let Self { member, boot_epoch, .. } = *self;
        let flat = Answer1 { magic: MAGIC, member, boot_epoch, version, refusal, reserved: [0; 5] };
        let bytes = rkyv::to_bytes::<Error>(&flat).expect("plain integers always archive");
        bytes.as_slice().try_into().expect("the length is asserted")
    }

    /// Reads one. A reason that a newer member gives and this one does not know counts as [`Refusal::Version`].
    ///
    /// # Errors
    /// [`NotAPeer`].
    pub fn decode(bytes: &[u8; ANSWER_LEN]) -> Result<Self, NotAPeer> {
        let flat = rkyv::access::<ArchivedAnswer1, Error>(bytes).map_err(|_| NotAPeer("it does not validate"))?;
        if flat.magic != MAGIC {
            return Err(NotAPeer("it begins with something else"));
        }
        let (member, boot_epoch) = (flat.member.to_native(), flat.boot_epoch.to_native());
        if member == 0 {
            return Err(NotAPeer("a member id is zero"));
        }
        let result = match (flat.version.to_native(), flat.refusal) {
            (0, 0) => return Err(NotAPeer("it neither agrees nor refuses")),
            (version, 0) => Ok(version),
            (_, byte) => Err(Refusal::from_byte(byte).unwrap_or(Refusal::Version)),
        };
        Ok(Self { member, boot_epoch, result })
    }
}
