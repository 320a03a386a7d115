//! The log and the metrics of a run.

mod logs;
mod metrics;
