//! Generates the Rust messages (and, on request, client stubs) from `proto/`.
//!
//! Needs no protoc: protox compiles the files. Must never read anything outside this crate.

#[path = "build/schema.rs"]
mod schema;

use std::{env, error::Error, fs, path::PathBuf};

const FILES: [&str; 12] = [
    "mvccpb.proto",
    "authpb.proto",
    "kv.proto",
    "watch.proto",
    "lease.proto",
    "cluster.proto",
    "maintenance.proto",
    "auth.proto",
    "v3lockpb.proto",
    "v3electionpb.proto",
    "health.proto",
    "conclave.proto",
];

/// Messages that are replicated or stored: `model` owns them (docs/adr/0001).
const FROM_MODEL: [(&str, &str); 38] = [
    (".mvccpb.KeyValue", "::model::kv::KeyValue"),
    (".mvccpb.Event", "::model::kv::Event"),
    (".etcdserverpb.RangeRequest", "::model::request::RangeRequest"),
    (".etcdserverpb.PutRequest", "::model::request::PutRequest"),
    (".etcdserverpb.DeleteRangeRequest", "::model::request::DeleteRangeRequest"),
    (".etcdserverpb.RequestOp", "::model::request::RequestOp"),
    (".etcdserverpb.Compare", "::model::request::Compare"),
    (".etcdserverpb.TxnRequest", "::model::request::TxnRequest"),
    (".etcdserverpb.CompactionRequest", "::model::request::CompactionRequest"),
    (".etcdserverpb.LeaseGrantRequest", "::model::request::LeaseGrantRequest"),
    (".etcdserverpb.LeaseRevokeRequest", "::model::request::LeaseRevokeRequest"),
    (".etcdserverpb.LeaseCheckpoint", "::model::request::LeaseCheckpoint"),
    (".etcdserverpb.LeaseCheckpointRequest", "::model::request::LeaseCheckpointRequest"),
    (".etcdserverpb.AlarmRequest", "::model::request::AlarmRequest"),
    (".etcdserverpb.AlarmRequest.AlarmAction", "::model::request::AlarmAction"),
    (".etcdserverpb.AlarmType", "::model::request::AlarmType"),
    (".mvccpb.Event.EventType", "::model::kv::EventType"),
    (".etcdserverpb.AuthEnableRequest", "::model::auth::AuthEnableRequest"),
    (".etcdserverpb.AuthDisableRequest", "::model::auth::AuthDisableRequest"),
    (".etcdserverpb.AuthStatusRequest", "::model::auth::AuthStatusRequest"),
    (".etcdserverpb.AuthUserAddRequest", "::model::auth::AuthUserAddRequest"),
    (".etcdserverpb.AuthUserGetRequest", "::model::auth::AuthUserGetRequest"),
    (".etcdserverpb.AuthUserListRequest", "::model::auth::AuthUserListRequest"),
    (".etcdserverpb.AuthUserDeleteRequest", "::model::auth::AuthUserDeleteRequest"),
    (".etcdserverpb.AuthUserChangePasswordRequest", "::model::auth::AuthUserChangePasswordRequest"),
    (".etcdserverpb.AuthUserGrantRoleRequest", "::model::auth::AuthUserGrantRoleRequest"),
    (".etcdserverpb.AuthUserRevokeRoleRequest", "::model::auth::AuthUserRevokeRoleRequest"),
    (".etcdserverpb.AuthRoleAddRequest", "::model::auth::AuthRoleAddRequest"),
    (".etcdserverpb.AuthRoleGetRequest", "::model::auth::AuthRoleGetRequest"),
    (".etcdserverpb.AuthRoleListRequest", "::model::auth::AuthRoleListRequest"),
    (".etcdserverpb.AuthRoleDeleteRequest", "::model::auth::AuthRoleDeleteRequest"),
    (".etcdserverpb.AuthRoleGrantPermissionRequest", "::model::auth::AuthRoleGrantPermissionRequest"),
    (".etcdserverpb.AuthRoleRevokePermissionRequest", "::model::auth::AuthRoleRevokePermissionRequest"),
    (".authpb.UserAddOptions", "::model::auth::UserAddOptions"),
    (".authpb.User", "::model::auth::User"),
    (".authpb.Permission", "::model::auth::Permission"),
    (".authpb.Role", "::model::auth::Role"),
    (".authpb.Permission.Type", "::model::auth::PermissionType"),
];

/// Field names that would come out as `peer_ur_ls` in Rust. Names are not on the wire, and the descriptor set keeps etcd's.
const RENAMED: [(&str, &str); 2] = [("peerURLs", "peer_urls"), ("clientURLs", "client_urls")];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=build");
    let mut files = protox::Compiler::new(["proto"])?;
    files.include_imports(true).include_source_info(true).open_files(FILES)?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), files.encode_file_descriptor_set())?;

    let mut set = files.file_descriptor_set();
    fs::write(out.join("schema.rs"), schema::generate(&set)?)?;
    let fields = set.file.iter_mut().flat_map(|f| &mut f.message_type).flat_map(|m| &mut m.field);
    for field in fields {
        if let Some((_, new)) = RENAMED.iter().find(|(old, _)| *old == field.name()) {
            field.name = Some((*new).to_owned());
        }
    }
    let mut config = tonic_prost_build::configure()
        .build_server(false)
        .build_client(env::var_os("CARGO_FEATURE_CLIENT").is_some())
        .bytes(".");
    for (proto, rust) in FROM_MODEL {
        config = config.extern_path(proto, rust);
    }
    config.compile_fds(set)?;
    Ok(())
}
