//! The password pool: bcrypt, which is slow on purpose, and signatures. Stateless: a job carries all it needs.
//!
//! Its queue is short, and who meets it full is refused: logins need no right, so nobody may keep the machine busy with them or pile
//! them up. Must never log what it is given.

use crate::death_watch::{DeathWatch, ExitCell};
use bcrypt::Version;
use crossbeam_channel::Receiver;
use messages::auth::{PasswordAnswer, PasswordJob, RunPassword};
use messages::{Reply, ReplyBody, Sinks};
use std::sync::Arc;
use std::thread::JoinHandle;

/// Bytes of a password that bcrypt looks at.
const LONGEST: usize = 72;

/// Starts `count` threads; they end when the sending end of `stop` is dropped.
///
/// # Errors
/// When a thread cannot be started.
pub fn start(
    count: usize,
    jobs: Receiver<RunPassword>,
    stop: Receiver<()>,
    sinks: Arc<Sinks>,
    exit: &ExitCell,
) -> std::io::Result<Vec<JoinHandle<()>>> {
    (0..count)
        .map(|n| {
            let (jobs, stop, sinks) = (jobs.clone(), stop.clone(), sinks.clone());
            let watch = DeathWatch::new("password pool", exit.clone());
            std::thread::Builder::new().name(format!("password-{n}")).spawn(move || {
                while let Some(RunPassword { sink, token, job }) = next(&jobs, &stop) {
                    let body = ReplyBody::Password(run(job));
                    sinks.deliver(sink, vec![Reply { token, body }]);
                }
                watch.finish();
            })
        })
        .collect()
}

/// The next job. A stop comes first: nobody waits for the answers any more.
fn next(jobs: &Receiver<RunPassword>, stop: &Receiver<()>) -> Option<RunPassword> {
    if let Err(crossbeam_channel::TryRecvError::Disconnected) = stop.try_recv() {
        return None;
    }
    crossbeam_channel::select! {
        recv(jobs) -> job => job.ok(),
        recv(stop) -> _ => None,
    }
}

fn run(job: PasswordJob) -> PasswordAnswer {
    match job {
        PasswordJob::Hash { password, cost } => PasswordAnswer::Hashed(hash(&password, cost)),
        PasswordJob::Verify { password, hash } => PasswordAnswer::Verified(verify(&password, &hash)),
        PasswordJob::Sign(sign) => PasswordAnswer::Signed(sign()),
    }
}

/// The hash as etcd makes it. Texts are those of Go's bcrypt.
fn hash(password: &str, cost: u32) -> Result<String, String> {
    if password.len() > LONGEST {
        return Err("bcrypt: password length exceeds 72 bytes".into());
    }
    let parts = bcrypt::hash_with_result(password, cost).map_err(|why| format!("bcrypt: {why}"))?;
    Ok(parts.format_for_version(Version::TwoA))
}

/// False also for what is no hash: a user whose password was changed to nothing cannot log in.
fn verify(password: &str, hash: &[u8]) -> bool {
    std::str::from_utf8(hash).is_ok_and(|hash| bcrypt::verify(password, hash).unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_gos_and_match_their_password_alone() {
        let made = hash("p", 4).expect("hashed");
        assert!(made.starts_with("$2a$04$"), "{made}");
        assert!(verify("p", made.as_bytes()) && !verify("q", made.as_bytes()));
        assert!(!verify("secret", b"") && !verify("secret", b"$2a$04$broken") && !verify("secret", &[0xff]));
        assert_ne!(made, hash("p", 4).expect("hashed"), "salted");
    }

    #[test]
    fn long_passwords_are_refused_in_gos_words() {
        assert!(hash(&"x".repeat(72), 4).is_ok());
        let refused = hash(&"x".repeat(73), 4);
        assert_eq!(refused, Err("bcrypt: password length exceeds 72 bytes".into()));
    }

    #[test]
    fn an_empty_password_is_one() {
        let made = hash("", 4).expect("hashed");
        assert!(verify("", made.as_bytes()) && !verify("x", made.as_bytes()));
    }
}
