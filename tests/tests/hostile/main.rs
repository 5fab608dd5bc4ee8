//! Bad clients: the server answers or closes, and goes on serving the others.
//!
//! Must never ask more than that: which of the two it does is the server's business unless etcd's clients see it.

mod bytes;
mod ceiling;
mod floods;
mod frames;
mod fuzz;
