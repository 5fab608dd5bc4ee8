//! Who takes steps in a member. Names only.

/// What one owner does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub(super) enum Owner {
    Core,
    WalBegin,
    WalFinish,
    Apply,
    Compact,
    Flush,
    Hub,
    HubWork,
    HubDone,
    Lease,
    Tick,
    LeaseTick,
    HubTick,
    LogRead,
    Snapshot,
    Snapshotter,
}

/// Number of owners.
pub(super) const OWNERS: usize = Owner::Snapshotter as usize + 1;
