//! What the transcripts do not show: reads, limits, slow disks, forwarding, restarts. One file per subject.

mod flow;
mod group;
mod reads;
mod restart;
mod slow_disk;
