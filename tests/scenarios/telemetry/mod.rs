//! What is heard of a run: its log, and the metrics in it.

mod logs;
mod metrics;
