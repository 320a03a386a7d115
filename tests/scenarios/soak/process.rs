//! Memory and open files of a process, from Linux.

use std::{fmt, fs};

use super::life::Intensity;

/// By how many kB the memory of its own of a warm process may grow: pages that the allocator had not touched yet. Seen were 0
/// to 124, and 16 in six hundred refreshes that nothing disturbed.
const MOST_GROWTH: u64 = 128;
/// The memory of an open connection, in kB: a buffer of 8 kB for each direction. With two more connections, 136 kB were
/// seen.
const A_CONNECTION: u64 = 16;
/// The same where nothing disturbs it. Were only TikTok's answer kept each time, that would be 90 in the shorter soak.
const MOST_CALM_GROWTH: u64 = 64;
/// By how many kB the peak of all that is resident may grow: those, and pages of the binary for failures that come late.
const MOST_PAGES: u64 = 1024;
/// Standard input and output, the event loop's own, and a connection for each request that may be under way at a time.
const MOST_FILES: usize = 20;

/// A look at a living process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held {
    /// Resident memory in kB.
    pub rss: u64,
    /// The part of it that is its own, and not pages of its binary: the heap and the stacks.
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

/// The memory of a process that was never killed, when it was warm and in the end.
#[derive(Clone, Debug)]
pub struct Memory {
    of: &'static str,
    intensity: Intensity,
    warm: Held,
    last: Held,
    most_files: usize,
    /// The number of refreshes that it had done at either time.
    refreshes: (usize, usize),
}

impl Memory {
    pub const fn of(name: &'static str, intensity: Intensity, warm: Held, refreshes: usize) -> Self {
        Self { of: name, intensity, warm, last: warm, most_files: warm.files, refreshes: (refreshes, refreshes) }
    }

    pub fn note(&mut self, held: Held, refreshes: usize) {
        self.last = held;
        self.most_files = self.most_files.max(held.files);
        self.refreshes.1 = refreshes;
    }

    #[track_caller]
    pub fn assert_flat(&self) {
        let Self { intensity, warm, last, most_files, .. } = self;
        let connections = last.files.saturating_sub(warm.files) as u64;
        let growth =
            A_CONNECTION * connections + if *intensity == Intensity::Calm { MOST_CALM_GROWTH } else { MOST_GROWTH };
        assert!(last.own <= warm.own + growth, "what the process holds of its own grows: {self}");
        assert!(last.peak <= warm.peak + MOST_PAGES, "what is resident grows: {self}");
        assert!(*most_files <= MOST_FILES, "files and connections are left open: {self}");
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { of, intensity, warm, last, most_files, refreshes } = self;
        let (from, to) = refreshes;
        write!(f, "{of:<42} {intensity:?}, refreshes {from:>4} to {to:>5}: RSS {} to {} kB, ", warm.rss, last.rss)?;
        write!(f, "of its own {} to {} kB, at most {} to {} kB, ", warm.own, last.own, warm.peak, last.peak)?;
        write!(f, "{} to {} files, at most {most_files}", warm.files, last.files)
    }
}
