//! Signed tokens that were verified a moment ago: the same ones come with every call of a client. One for each connection thread.
//!
//! Must never answer for the times of a token: those are looked at with every call.

use super::jwt::{Claims, Jwt};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// Tokens that are remembered. When there are more, all are forgotten and verified again.
const MOST: usize = 1024;
/// Longer ones are not remembered.
const LONGEST: usize = 4 << 10;

/// See the file header.
#[derive(Default)]
pub struct VerifiedTokens(RefCell<HashMap<Box<str>, Rc<Claims>>>);

impl VerifiedTokens {
    /// What a token says, if it is signed as it must be.
    pub fn verify(&self, jwt: &Jwt, token: &str) -> Option<Rc<Claims>> {
        if let Some(claims) = self.0.borrow().get(token) {
            return Some(claims.clone());
        }
        let claims = Rc::new(jwt.verify(token)?);
        if token.len() <= LONGEST {
            let mut known = self.0.borrow_mut();
            if known.len() >= MOST {
                known.clear();
            }
            known.insert(token.into(), claims.clone());
        }
        Some(claims)
    }
}
