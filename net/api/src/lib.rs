//! etcd's v3 protobuf messages, generated from `proto/`, and with feature `client` tonic client stubs.
//!
//! | module | package | services |
//! |---|---|---|
//! | [`etcdserverpb`] | `etcdserverpb` | KV, Watch, Lease, Cluster, Maintenance, Auth |
//! | [`mvccpb`] | `mvccpb` | – (the messages are `model`'s) |
//! | [`authpb`] | `authpb` | – (the messages are `model`'s) |
//! | [`v3lockpb`] | `v3lockpb` | Lock |
//! | [`v3electionpb`] | `v3electionpb` | Election |
//! | [`health`] | `grpc.health.v1` | Health |
//! | [`conclave`] | `conclave` | Maintenance: what etcd has not |
//!
//! Messages that are replicated or stored are `model`'s own structs and are re-exported under their package here, so that
//! a request decoded at the door goes to the core without a conversion. Decoded `bytes` fields share the buffer they came from.
//! There are no server stubs: the door calls services by path. Must never hold logic.

mod codes;
pub mod schema;

pub use codes::CODE_NAMES;

/// Package `mvccpb`.
pub mod mvccpb {
    pub use model::kv::{Event, EventType, KeyValue};
}

/// Package `authpb`.
pub mod authpb {
    pub use model::auth::{Permission, Role, User, UserAddOptions};

    /// Inside `Permission`.
    pub mod permission {
        pub use model::auth::PermissionType as Type;
    }
}

/// Package `etcdserverpb`.
pub mod etcdserverpb {
    #![allow(missing_docs, reason = "generated; documented in proto/ and by etcd")]
    pub use model::auth::{
        AuthDisableRequest, AuthEnableRequest, AuthRoleAddRequest, AuthRoleDeleteRequest, AuthRoleGetRequest,
        AuthRoleGrantPermissionRequest, AuthRoleListRequest, AuthRoleRevokePermissionRequest, AuthStatusRequest,
        AuthUserAddRequest, AuthUserChangePasswordRequest, AuthUserDeleteRequest, AuthUserGetRequest,
        AuthUserGrantRoleRequest, AuthUserListRequest, AuthUserRevokeRoleRequest,
    };
    pub use model::request::{
        AlarmAction, AlarmRequest, AlarmType, CompactionRequest, Compare, CompareResult, CompareTarget,
        DeleteRangeRequest, LeaseCheckpoint, LeaseCheckpointRequest, LeaseGrantRequest, LeaseRevokeRequest, PutRequest,
        RangeRequest, RequestOp, RequestUnion, SortOrder, SortTarget, TargetUnion, TxnRequest,
    };
    include!(concat!(env!("OUT_DIR"), "/etcdserverpb.rs"));
}

/// Package `v3lockpb`.
pub mod v3lockpb {
    #![allow(missing_docs, reason = "generated; documented in proto/ and by etcd")]
    include!(concat!(env!("OUT_DIR"), "/v3lockpb.rs"));
}

/// Package `v3electionpb`.
pub mod v3electionpb {
    #![allow(missing_docs, reason = "generated; documented in proto/ and by etcd")]
    include!(concat!(env!("OUT_DIR"), "/v3electionpb.rs"));
}

/// Package `grpc.health.v1`.
pub mod health {
    #![allow(missing_docs, reason = "generated; documented in proto/ and by gRPC")]
    include!(concat!(env!("OUT_DIR"), "/grpc.health.v1.rs"));
}

/// Package `conclave`.
pub mod conclave {
    #![allow(missing_docs, reason = "generated; documented in proto/")]
    include!(concat!(env!("OUT_DIR"), "/conclave.rs"));
}

/// Encoded `google.protobuf.FileDescriptorSet` of everything above, with etcd's own field names (for JSON).
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

#[cfg(test)]
mod golden_tests;
