//! Auth: users, roles and their permissions, and whether they count. Logins are in [`login`](super::login).
//!
//! Every method is a command: what it may do is decided where it is applied, and questions are answered there too, as in etcd. A
//! password is hashed before that, by the password pool; what enters the log is its hash. Must never log a request.

use super::client_services::ClientServices;
use super::deferred::DeferredCall;
use super::identity::Credentials;
use super::status;
use super::unary::method;
use crate::door::{MethodTable, Status};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use messages::Token;
use messages::auth::{PasswordAnswer, PasswordJob};
use model::auth::{AuthCommand, AuthUserAddRequest, AuthUserChangePasswordRequest};
use model::{Caller, Command};

/// Registers the methods.
pub(super) fn register(services: &ClientServices, table: &mut MethodTable) {
    plain(services, table, "AuthEnable", AuthCommand::Enable);
    plain(services, table, "AuthDisable", AuthCommand::Disable);
    plain(services, table, "AuthStatus", AuthCommand::Status);
    plain(services, table, "UserGet", AuthCommand::UserGet);
    plain(services, table, "UserList", AuthCommand::UserList);
    plain(services, table, "UserDelete", AuthCommand::UserDelete);
    plain(services, table, "UserGrantRole", AuthCommand::UserGrantRole);
    plain(services, table, "UserRevokeRole", AuthCommand::UserRevokeRole);
    plain(services, table, "RoleAdd", AuthCommand::RoleAdd);
    plain(services, table, "RoleGet", AuthCommand::RoleGet);
    plain(services, table, "RoleList", AuthCommand::RoleList);
    plain(services, table, "RoleDelete", AuthCommand::RoleDelete);
    plain(services, table, "RoleGrantPermission", AuthCommand::RoleGrantPermission);
    plain(services, table, "RoleRevokePermission", AuthCommand::RoleRevokePermission);
    let path = |name: &str| format!("/etcdserverpb.Auth/{name}");
    method(services, table, &path("UserAdd"), |services, call, mut request: AuthUserAddRequest| {
        let password = std::mem::take(&mut request.password);
        if request.options.is_some_and(|options| options.no_password) {
            services.propose(call.take(), Command::Auth(AuthCommand::UserAdd(request)));
            return Ok(());
        }
        let named = Hashing { credentials: services.credentials(call), command: WithPassword::UserAdd(request) };
        named.begin(services, call.take().defer().as_u64(), password);
        Ok(())
    });
    let changed = path("UserChangePassword");
    method(services, table, &changed, |services, call, mut request: AuthUserChangePasswordRequest| {
        let password = std::mem::take(&mut request.password);
        if password.is_empty() {
            services.propose(call.take(), Command::Auth(AuthCommand::UserChangePassword(request)));
            return Ok(());
        }
        let command = WithPassword::UserChangePassword(request);
        let named = Hashing { credentials: services.credentials(call), command };
        named.begin(services, call.take().defer().as_u64(), password);
        Ok(())
    });
}

/// A method whose request is its command.
fn plain<R: prost::Message + Default + 'static>(
    services: &ClientServices,
    table: &mut MethodTable,
    name: &str,
    command: fn(R) -> AuthCommand,
) {
    method(services, table, &format!("/etcdserverpb.Auth/{name}"), move |services, call, request: R| {
        services.propose(call.take(), Command::Auth(command(request)));
        Ok(())
    });
}

/// A request that a hash belongs into.
enum WithPassword {
    UserAdd(AuthUserAddRequest),
    UserChangePassword(AuthUserChangePasswordRequest),
}

impl WithPassword {
    fn command(self, hashed_password: String) -> AuthCommand {
        match self {
            Self::UserAdd(request) => AuthCommand::UserAdd(AuthUserAddRequest { hashed_password, ..request }),
            Self::UserChangePassword(request) => {
                AuthCommand::UserChangePassword(AuthUserChangePasswordRequest { hashed_password, ..request })
            }
        }
    }
}

/// A request whose password is being hashed.
struct Hashing {
    credentials: Credentials,
    command: WithPassword,
}

impl Hashing {
    /// Has the password hashed. Nobody may have the machine compute for him without saying who he is.
    fn begin(self, services: &ClientServices, token: Token, password: String) {
        let known = services.permit(|| self.credentials.clone(), |rules, caller| rules.check_known(caller));
        match known {
            Ok(_) => {
                let cost = services.config().bcrypt_cost;
                services.run_password(token, PasswordJob::Hash { password, cost }, self);
            }
            Err(why) => services.complete(token, why),
        }
    }

    fn with_hash(self, services: &ClientServices, hash: String) -> Result<(Caller, Command), Status> {
        let caller = services.caller_by(&self.credentials)?;
        Ok((caller, Command::Auth(self.command.command(STANDARD.encode(hash)))))
    }
}

impl DeferredCall<ClientServices> for Hashing {
    fn password_done(self: Box<Self>, services: &ClientServices, token: Token, answer: PasswordAnswer) {
        let PasswordAnswer::Hashed(hash) = answer else {
            return self.failed(services, token, status::UNEXPECTED_REPLY);
        };
        match hash.map_err(status::of_password).and_then(|hash| self.with_hash(services, hash)) {
            Ok((caller, command)) => services.propose_deferred(caller, token, command),
            Err(why) => services.complete(token, why),
        }
    }

    fn failed(self: Box<Self>, services: &ClientServices, token: Token, why: Status) {
        services.complete(token, why);
    }
}
