//! How large a log may grow, and how much of it is kept.

/// Sizes are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Archives that are kept.
    pub archives: u32,
    /// `current` is rotated when it comes within `tolerance` of this.
    pub file_bytes: u32,
    pub tolerance_bytes: u32,
    /// What all archives may take together; 0: anything.
    pub total_bytes: u64,
}

/// The least `file_bytes` may be (`s6-log.html`, `s`).
pub const FILE_BYTES_MIN: u32 = 4096;

/// The most (`s6-log.html`, `s`).
pub const FILE_BYTES_MAX: u32 = 268_435_455;

impl Default for Policy {
    fn default() -> Self {
        Self { archives: 10, file_bytes: 99_999, tolerance_bytes: 2000, total_bytes: 0 }
    }
}

impl Policy {
    /// The size of `current` from which on it is rotated.
    pub fn full_at(&self) -> u64 {
        u64::from(self.file_bytes.saturating_sub(self.tolerance_bytes))
    }
}
