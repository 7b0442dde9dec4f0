//! How much an archive may hold (TRUST T12, 54).

/// Bounds on an archive. What is beyond one is refused before it is unpacked, or at the byte that is over.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the file itself.
    pub file: u64,
    /// How many entries.
    pub entries: u64,
    /// Unpacked bytes of one entry.
    pub entry: u64,
    /// Unpacked bytes of all entries.
    pub total: u64,
    /// How many times smaller an entry of more than [`Limits::RATIO_FROM`] bytes may be than what it holds.
    pub ratio: u64,
    /// Bytes of the list of entries.
    pub directory: u64,
}

impl Limits {
    /// Entries up to this length are not held against [`Limits::ratio`]: small texts that repeat themselves
    /// shrink a lot and harm nobody.
    pub const RATIO_FROM: u64 = 1 << 20;

    /// For backups: 10,000 policies are some 100 MB unpacked; the longest policy has 64 MiB.
    pub const BACKUP: Self = Self {
        file: 512 << 20,
        entries: 200_000,
        entry: 65 << 20,
        total: 4 << 30,
        ratio: 250,
        directory: 64 << 20,
    };
}
