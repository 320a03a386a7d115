//! What a process holds, as Linux tells it.

use std::fs;

/// A look at a living process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held {
    /// Resident memory in kB.
    pub rss: u64,
    /// What of that is its own, and not pages of its binary: the heap and the stacks.
    pub own: u64,
    /// The most that was ever resident.
    pub peak: u64,
    /// Open files and sockets.
    pub files: usize,
}

impl Held {
    pub fn by(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives, and this is Linux");
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux tells it");
            line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().expect("a number of kB")
        };
        let files = fs::read_dir(format!("/proc/{pid}/fd")).expect("a process of our own").count();
        Self { rss: kilobytes("VmRSS"), own: kilobytes("RssAnon"), peak: kilobytes("VmHWM"), files }
    }
}
