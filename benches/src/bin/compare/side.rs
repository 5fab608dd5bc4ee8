//! One of the two servers with what has been loaded into it.
//!
//! Must load once: figures that need the keys find them there.

use crate::args::Args;
use crate::leading::lead_by;
use crate::load;
use crate::server::Server;
use std::io;
use std::path::{Path, PathBuf};

/// A side of the comparison.
pub struct Side {
    pub binary: PathBuf,
    pub dir: PathBuf,
    pub echo: Option<PathBuf>,
    pub keys: u64,
    pub big_keys: u64,
    pub puts: u64,
    /// Of each server.
    pub members: usize,
    batched: bool,
    loaded: Option<Loaded>,
    /// A load began and did not end: another one would not end either.
    stuck: bool,
}

/// A server with every key written twice.
pub struct Loaded {
    pub server: Server,
    /// After each key was written once.
    pub first_pass: i64,
    /// Resident memory after the load, MiB.
    pub resident: f64,
    /// Writes per second of the load.
    pub rate: f64,
    /// The keys of the figure `list` are there too.
    pub listed: bool,
}

impl Side {
    pub fn new(binary: &Path, args: &Args) -> io::Result<Self> {
        std::fs::create_dir_all(&args.dir)?;
        Ok(Self {
            binary: binary.to_owned(),
            dir: args.dir.clone(),
            echo: args.echo.clone(),
            keys: args.keys,
            big_keys: args.big_keys,
            puts: args.puts,
            members: args.members,
            batched: args.batched,
            loaded: None,
            stuck: false,
        })
    }

    /// An empty server for one figure.
    pub async fn fresh(&self) -> Result<Server, String> {
        let server = Server::fresh(&self.binary, &self.dir, self.members).await.map_err(|why| why.to_string())?;
        // its first member leads
        if self.members > 1 {
            lead_by(&server, 0).await?;
        }
        Ok(server)
    }

    /// The server with the keys, loaded now if it is not.
    pub async fn loaded(&mut self) -> Result<&mut Loaded, String> {
        if self.loaded.is_none() {
            if std::mem::replace(&mut self.stuck, true) {
                return Err("the keys could not be loaded before".into());
            }
            let server = self.fresh().await?;
            let start = std::time::Instant::now();
            let first_pass = load::all(&server, self.keys, 0, self.batched).await?;
            load::all(&server, self.keys, 1, self.batched).await?;
            let rate = 2.0 * self.keys as f64 / start.elapsed().as_secs_f64();
            let resident = server.resident()?;
            self.loaded = Some(Loaded { server, first_pass, resident, rate, listed: false });
            self.stuck = false;
        }
        self.loaded.as_mut().ok_or_else(|| "nothing is loaded".to_owned())
    }

    /// Drops the loaded server.
    pub fn forget(&mut self) {
        self.loaded = None;
    }
}
