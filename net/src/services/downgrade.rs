//! Downgrade: an operator asks whether the cluster may become one minor version older, has it made so, or calls that off.
//!
//! Here is only what etcd checks before anything is proposed; the leader lowers the version of the cluster when the note is applied.
//! Must never lower anything itself.

use super::client_services::ClientServices;
use super::deferred::DeferredCall;
use super::reads::{self, ReadCall, Served};
use super::status;
use super::unary::method;
use crate::door::{Answer, MethodTable, Status};
use api::etcdserverpb as pb;
use api::etcdserverpb::downgrade_request::DowngradeAction;
use messages::Token;
use messages::auth::AuthRules;
use model::request::DowngradeInfoSetRequest;
use model::{AuthRefusal, Caller, Command, Outcome};
use prost::Message as _;

/// Registers the method.
pub(super) fn register(services: &ClientServices, table: &mut MethodTable) {
    method(services, table, "/etcdserverpb.Maintenance/Downgrade", |services, call, request: pb::DowngradeRequest| {
        services.require_admin(call)?;
        let action = DowngradeAction::try_from(request.action).map_err(|_| status::UNKNOWN_METHOD)?;
        let step = match action {
            DowngradeAction::Cancel => Step::Cancel,
            DowngradeAction::Validate | DowngradeAction::Enable => {
                let target = minor_version(&request.version).ok_or(status::DOWNGRADE_VERSION_FORMAT)?;
                if action == DowngradeAction::Validate { Step::Validate(target) } else { Step::Enable(target) }
            }
        };
        // so that it is judged by what was decided before the question
        reads::serve_linearizable(services, call.take(), step);
        Ok(())
    });
}

/// A version that a cluster can have: major, minor.
type MinorVersion = (i64, i64);

/// Reads a version as etcd reads a target: three numbers, or two; what follows a hyphen or a plus does not count, but must be well formed.
fn minor_version(text: &str) -> Option<MinorVersion> {
    three_numbers(text).or_else(|| three_numbers(&format!("{text}.0")))
}

fn three_numbers(text: &str) -> Option<MinorVersion> {
    let (text, metadata) = text.split_once('+').unwrap_or((text, ""));
    let (text, pre_release) = text.split_once('-').unwrap_or((text, ""));
    let is_identifier = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    if !pre_release.chars().chain(metadata.chars()).all(is_identifier) {
        return None;
    }
    let numbers: Vec<i64> = text.splitn(3, '.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let [major, minor, _] = numbers[..] else { return None };
    Some((major, minor))
}

/// What is asked for, checked as far as it can be without looking at the cluster.
enum Step {
    Validate(MinorVersion),
    Enable(MinorVersion),
    Cancel,
}

/// Refuses a target that is not one minor version below the cluster's, or a second downgrade.
fn check_target(services: &ClientServices, target: MinorVersion) -> Result<(), Status> {
    let (version, ongoing) = present(services)?;
    let (major, minor) = minor_version(&version).ok_or(status::CLUSTER_VERSION_UNAVAILABLE)?;
    if target != (major, minor - 1) {
        return Err(status::DOWNGRADE_TARGET);
    }
    if ongoing { Err(status::DOWNGRADE_IN_PROCESS) } else { Ok(()) }
}

/// The version of the cluster, and whether it is being downgraded.
fn present(services: &ClientServices) -> Result<(String, bool), Status> {
    let reads = &services.ports().reads;
    let read = || Ok((reads.cluster_version()?, reads.downgrade_target()?.is_some()));
    read().map_err(|why| status::of_read(&why))
}

fn answer(services: &ClientServices) -> Answer {
    let version = match present(services) {
        // as etcd shortens it
        Ok((version, _)) => version.splitn(3, '.').take(2).collect::<Vec<_>>().join("."),
        Err(why) => return why.into(),
    };
    Answer::message(pb::DowngradeResponse { header: services.pb_header_now(), version }.encode_to_vec())
}

impl ReadCall for Step {
    const READS_KEYS: bool = false;

    fn check(&self, rules: &dyn AuthRules, caller: &Caller) -> Result<(), AuthRefusal> {
        rules.check_known(caller)
    }

    fn serve(self, services: &ClientServices) -> Served {
        let checked = match self {
            Self::Validate(target) | Self::Enable(target) => check_target(services, target).map(|()| Some(target)),
            // etcd notes the refusal in its log and answers as if there had been one
            Self::Cancel => match present(services) {
                Ok((_, false)) => return answer(services).into(),
                Ok((_, true)) => Ok(None),
                Err(why) => Err(why),
            },
        };
        let note = match (checked, self) {
            (Err(why), _) => return why.into(),
            (Ok(_), Self::Validate(_)) => return answer(services).into(),
            (Ok(Some((major, minor))), _) => {
                DowngradeInfoSetRequest { enabled: true, ver: format!("{major}.{minor}.0") }
            }
            (Ok(None), _) => DowngradeInfoSetRequest::default(),
        };
        Served::later(move |services, token, _| {
            // who may was checked; the note is the member's own
            services.propose_for(Caller::Internal, token, Command::DowngradeInfoSet(note), Noted);
            services.end_of_round();
        })
    }
}

/// The note is on its way through the log.
struct Noted;

impl DeferredCall<ClientServices> for Noted {
    fn applied(self: Box<Self>, services: &ClientServices, token: Token, _: i64, _: Outcome) {
        services.complete(token, answer(services));
    }

    fn failed(self: Box<Self>, services: &ClientServices, token: Token, why: Status) {
        services.complete(token, why);
    }
}

#[cfg(test)]
mod tests {
    use super::minor_version;

    #[test]
    fn targets_are_read_as_etcd_reads_them() {
        let good = ["3.6", "3.6.0", "3.6.9", "3.6.0-rc.1", "3.6.0+build", "3.06.0", "3.6.0-rc.1+x-y"];
        for text in good {
            assert_eq!(minor_version(text), Some((3, 6)), "{text}");
        }
        for text in ["", "3", "3.6.", "v3.6.0", "3.6.0.0", "3.x", "3.6-rc", "3.6.0-rc_1", "3.6.0+a+b", " 3.6"] {
            assert_eq!(minor_version(text), None, "{text}");
        }
    }
}
