//! The methods a load can call.
//!
//! Must not hold anything but names.

macro_rules! methods {
    ($($name:ident => $path:literal),* $(,)?) => {
        /// A method of etcd's services.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub enum Method { $($name),* }

        impl Method {
            /// Every method, in the order of the enum.
            pub(super) const PATHS: &[&str] = &[$($path),*];
        }
    };
}

methods! {
    Range => "/etcdserverpb.KV/Range",
    RangeStream => "/etcdserverpb.KV/RangeStream",
    Put => "/etcdserverpb.KV/Put",
    DeleteRange => "/etcdserverpb.KV/DeleteRange",
    Txn => "/etcdserverpb.KV/Txn",
    Compact => "/etcdserverpb.KV/Compact",
    Watch => "/etcdserverpb.Watch/Watch",
    LeaseGrant => "/etcdserverpb.Lease/LeaseGrant",
    LeaseRevoke => "/etcdserverpb.Lease/LeaseRevoke",
    LeaseKeepAlive => "/etcdserverpb.Lease/LeaseKeepAlive",
    Status => "/etcdserverpb.Maintenance/Status",
    Defragment => "/etcdserverpb.Maintenance/Defragment",
    HashKv => "/etcdserverpb.Maintenance/HashKV",
    Snapshot => "/etcdserverpb.Maintenance/Snapshot",
    MoveLeader => "/etcdserverpb.Maintenance/MoveLeader",
    MemberAdd => "/etcdserverpb.Cluster/MemberAdd",
    MemberRemove => "/etcdserverpb.Cluster/MemberRemove",
    MemberList => "/etcdserverpb.Cluster/MemberList",
    Authenticate => "/etcdserverpb.Auth/Authenticate",
    Lock => "/v3lockpb.Lock/Lock",
    Unlock => "/v3lockpb.Lock/Unlock",
}
