//! What every command that asks a server has: a client, a printer, and a time.

use crate::cli::{Input, env};
use crate::client::{Client, Config, Until, config, connect};
use crate::exit::Exit;
use crate::print::Printer;
use crate::term;

/// A command at work.
pub struct Session {
    /// Its flags and arguments.
    pub input: Input,
    /// How clients are made.
    pub config: Config,
    /// How answers are printed.
    pub printer: Printer,
}

impl Session {
    /// Reads the environment and the flags. Nothing is sent yet.
    ///
    /// # Errors
    /// What does not fit together.
    pub async fn new(mut input: Input) -> Result<Self, Exit> {
        env::apply(&mut input)?;
        if input.on("debug") {
            for (name, value) in input.values.shown() {
                eprintln!("{}={value}", env::variable(name));
            }
        }
        let config = config::read(&input).await?;
        let mut printer = Printer::new(&input.text("write-out"), input.on("hex"), term::colours())?;
        printer.width = term::width();
        Ok(Self { input, config, printer })
    }

    /// A client for all endpoints.
    ///
    /// # Errors
    /// As [`connect`].
    pub async fn client(&self) -> Result<Client, Exit> {
        connect(&self.config).await
    }

    /// `--command-timeout` from now on.
    pub fn until(&self) -> Until {
        Until::after(self.input.duration("command-timeout"))
    }

    /// Endpoints that a command goes through one by one: those of the flag, or of all members with `--cluster`.
    ///
    /// # Errors
    /// When the members cannot be asked.
    pub async fn each_endpoint(&self) -> Result<Vec<String>, Exit> {
        if !self.input.on("cluster") {
            return Ok(self.config.endpoints.clone());
        }
        let client = self.client().await?;
        let request = api::etcdserverpb::MemberListRequest { linearizable: true };
        let listed: Result<api::etcdserverpb::MemberListResponse, _> =
            client.unary(crate::client::method::MEMBER_LIST, request, self.until()).await;
        let words = "failed to fetch endpoints from etcd cluster member list: {}";
        let listed = listed.map_err(|why| Exit::wrapped(crate::exit::ERROR, words, &why))?;
        Ok(listed.members.into_iter().flat_map(|member| member.client_urls).collect())
    }
}
