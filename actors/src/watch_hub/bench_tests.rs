//! What the hub costs.
