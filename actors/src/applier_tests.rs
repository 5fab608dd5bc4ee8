//! The applier's order as other owners see it. Must never depend on a thread's luck: everything is called here.

use crate::applier::{Applier, ApplierInstall, ApplierPace, ApplierParts};
use crate::limits::{HUB_BACKLOG_BYTES, OVERSIZED_REVISION_BYTES};
use crate::mailbox::Mailbox;
use crate::raft_core::inbox::Inbox;
use crate::simple_tokens::{DEFAULT_TTL, SimpleTokens};
use crate::store_cell::StoreCell;
use crate::wiring::apply::{ApplyBatch, CommittedEntry};
use crate::wiring::events::Advanced;
use crate::wiring::leases::LeasesAdvanced;
use crossbeam_channel::bounded;
use messages::reply::ReplySink;
use messages::{Reply, ReplyBody, SinkId, Sinks};
use model::request::{LeaseGrantRequest, LeaseRevokeRequest};
use model::{Command, Envelope, Origin};
use raft::{ConfState, Entry, EntryKind, LogId};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use storage::apply::{Bootstrap, LeaseChange, MemberIds, StateMachine as Store, bootstrap};
use storage::disk::SimDisk;
use storage::engine::sim::SimEngine;
use storage::view::Views;

/// What left the applier, in order.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    fn note(&self, what: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }
}

impl Mailbox<LeasesAdvanced> for Heard {
    fn send(&self, message: LeasesAdvanced) {
        for change in message.changes {
            self.note(match change {
                LeaseChange::Granted { id, .. } => format!("leases: granted {id}"),
                LeaseChange::Revoked { id } => format!("leases: revoked {id}"),
                LeaseChange::Checkpoint { id, .. } => format!("leases: checkpoint {id}"),
            });
        }
    }
}

impl Mailbox<Advanced> for Heard {
    fn send(&self, _: Advanced) {}
}

impl ReplySink for Heard {
    fn deliver(&self, replies: Vec<Reply>) {
        for reply in replies {
            if let Reply { token, body: ReplyBody::Applied(_) } = reply {
                self.note(format!("client: {token}"));
            }
        }
    }
}

#[test]
fn the_lease_manager_hears_of_a_revocation_before_its_client_does() {
    let engine = Arc::new(SimEngine::new());
    let first = Bootstrap {
        identity: MemberIds { cluster_id: 1, member_id: 1 },
        applied: LogId { term: 1, index: 1 },
        conf_state: ConfState { voters: vec![1], ..ConfState::default() },
        members: Vec::new(),
    };
    bootstrap(engine.as_ref(), &first).expect("an empty store");
    let store = Store::open(engine.clone()).expect("a store");
    let heard = Heard::default();
    let sinks = Arc::new(Sinks::default());
    sinks.register(vec![Arc::new(heard.clone())]);
    let (_end, inbox) = bounded(1);
    let (flusher, _orders) = bounded(1);
    let (_core, _port, core) = Inbox::new();
    let pace = ApplierPace {
        compaction_pause: Duration::ZERO,
        compaction_rows: 1,
        durable_check: 100,
        hub_backlog: HUB_BACKLOG_BYTES,
        oversized_revision: OVERSIZED_REVISION_BYTES,
        slow_apply: Duration::MAX,
    };
    let parts = ApplierParts {
        inbox,
        core,
        views: Arc::new(Views::new(store.view())),
        sinks,
        hasher: bounded(0).0,
        hub: Box::new(heard.clone()),
        hub_backlog: Arc::default(),
        leases: Box::new(heard.clone()),
        members: Box::new(crossbeam_channel::unbounded().0),
        flusher,
        tokens: Arc::new(SimpleTokens::new(DEFAULT_TTL)),
        gauges: Arc::default(),
        pace,
        install: ApplierInstall {
            cell: Arc::new(StoreCell::new(engine)),
            leases: Box::new(crossbeam_channel::unbounded().0),
            disk: SimDisk::new().shared(),
            member: PathBuf::from("member"),
            wal: bounded(0).0,
            snapshots: bounded(0).0,
        },
    };
    let mut applier = Applier::new(store, parts);
    let commands =
        [Command::LeaseGrant(LeaseGrantRequest { ttl: 60, id: 7 }), Command::LeaseRevoke(LeaseRevokeRequest { id: 7 })];
    for (command, index) in commands.into_iter().zip(2..) {
        let origin = Origin { member: 1, epoch: 1, sequence: index };
        let data = Envelope { origin, only_in_term: 0, command: command.encode(index) }.encode();
        let entry = Entry { term: 1, index, kind: EntryKind::Normal, data };
        let entry = CommittedEntry { entry, waiter: Some((SinkId(0), index)) };
        applier.apply(vec![ApplyBatch { sequence: index, entries: vec![entry] }]).expect("applied");
    }
    let heard = heard.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert_eq!(heard, ["leases: granted 7", "client: 2", "leases: revoked 7", "client: 3"]);
}
