//! `auth …`.

use super::session::Session;
use crate::cli::Input;
use crate::cli::spec::{Command, Group};
use crate::client::method::{AUTH_DISABLE, AUTH_ENABLE, AUTH_STATUS, ROLE_ADD, USER_GRANT_ROLE};
use crate::exit::Exit;
use crate::print::{Answer, say_line};
use api::etcdserverpb as pb;

/// `auth`.
pub const COMMAND: Command = Command {
    name: "auth",
    short: "Enable or disable authentication. See `{} auth --help`",
    long: "Enable or disable authentication",
    below: &[
        Command {
            name: "enable",
            short: "Enable authentication",
            long: "Enable authentication. The user root must exist. The role root is created and granted to it if necessary.",
            run: crate::run!(enable),
            ..Command::EMPTY
        },
        Command { name: "disable", short: "Disable authentication", run: crate::run!(disable), ..Command::EMPTY },
        Command {
            name: "status",
            short: "Show whether authentication is enabled",
            run: crate::run!(status),
            ..Command::EMPTY
        },
    ],
    group: Group::Authentication,
    ..Command::EMPTY
};

async fn enable(input: Input) -> Result<(), Exit> {
    input.exactly(0, "auth enable command does not accept any arguments")?;
    let session = Session::new(input).await?;
    let (client, until) = (session.client().await?, session.until());
    loop {
        let done: Result<pb::AuthEnableResponse, _> = client.unary(AUTH_ENABLE, pb::AuthEnableRequest {}, until).await;
        match done {
            Ok(_) => break,
            Err(why) if why.is("root user does not have root role") => {
                let role = pb::AuthRoleAddRequest { name: "root".into() };
                let _: pb::AuthRoleAddResponse = client.unary(ROLE_ADD, role, until).await?;
                let grant = pb::AuthUserGrantRoleRequest { user: "root".into(), role: "root".into() };
                let _: pb::AuthUserGrantRoleResponse = client.unary(USER_GRANT_ROLE, grant, until).await?;
            }
            Err(why) => return Err(why.into()),
        }
    }
    say_line("Authentication Enabled");
    Ok(())
}

async fn disable(input: Input) -> Result<(), Exit> {
    input.exactly(0, "auth disable command does not accept any arguments")?;
    let session = Session::new(input).await?;
    let request = pb::AuthDisableRequest {};
    let _: pb::AuthDisableResponse = session.client().await?.unary(AUTH_DISABLE, request, session.until()).await?;
    say_line("Authentication Disabled");
    Ok(())
}

async fn status(input: Input) -> Result<(), Exit> {
    input.exactly(0, "auth status command does not accept any arguments")?;
    let session = Session::new(input).await?;
    let request = pb::AuthStatusRequest {};
    let answer: pb::AuthStatusResponse = session.client().await?.unary(AUTH_STATUS, request, session.until()).await?;
    session.printer.show(&Answer::AuthStatus(&answer))
}
