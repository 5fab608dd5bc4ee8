//! Properties of the pure parts: quorum arithmetic against counting, simple changes against joint ones, restore
//! against what was restored, encodings against themselves. Proptest prints the input of a failure.

mod changes;
mod log_model;
mod quorums;
