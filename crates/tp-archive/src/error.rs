//! Why an archive is refused. The words are stable: the command line prints them, runs carry them.

use tp_domain::reason::ReasonCode;

macro_rules! faults {
    ($($(#[$meta:meta])* $name:ident => $word:literal, $reason:ident, $sentence:literal;)+) => {
        /// What is wrong with an archive.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Fault { $($(#[$meta])* $name,)+ }

        impl Fault {
            /// Every fault.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The stable word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// One sentence for people.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence,)+ }
            }

            /// The reason code that a run ends with.
            pub const fn reason(self) -> ReasonCode {
                match self { $(Self::$name => ReasonCode::$reason,)+ }
            }
        }
    };
}

faults! {
    /// The bytes could not be read from where they lie.
    Unreadable => "unreadable", StorageUnavailable, "The archive could not be read from where it lies.";
    /// There is no zip file here.
    NotAZip => "not_a_zip", ArchiveUnreadable, "This is no zip file.";
    /// It begins as a zip file and has no end.
    Truncated => "truncated", ArchiveUnreadable, "The zip file is cut off.";
    /// The list of entries contradicts itself.
    DirectoryDamaged => "directory_damaged", ArchiveUnreadable, "The zip file's list of entries is damaged.";
    /// A part of a zip file over several disks.
    MultiDisk => "multi_disk", ArchiveUnreadable, "The zip file is one part of several.";
    /// The long and the short form of the directory say different things.
    Zip64Conflict => "zip64_conflict", ArchiveUnreadable, "The zip64 fields contradict the plain ones.";
    /// An entry in the form for more than 4 GiB.
    Zip64Entry => "zip64_entry", ArchiveUnreadable, "An entry is written in the form for more than 4 GiB.";
    /// An entry is encrypted.
    Encrypted => "encrypted", ArchiveUnreadable, "An entry is encrypted.";
    /// An entry is compressed in an unusual way.
    UnknownCompression => "unknown_compression", ArchiveUnreadable, "An entry is compressed in a way other than deflate.";
    /// The entry and the list of entries say different things.
    HeadersDisagree => "headers_disagree", ArchiveUnreadable, "An entry and the list of entries disagree.";
    /// Two entries share bytes.
    Overlapping => "overlapping_entries", ArchiveUnsafe, "Two entries share the same bytes.";
    /// Bytes that belong to no entry.
    HiddenData => "hidden_data", ArchiveUnsafe, "There are bytes that belong to no entry.";
    /// A name stands twice.
    Duplicate => "duplicate_entry", ArchiveUnsafe, "Two entries have the same name.";
    /// An entry is a link or a device.
    Link => "link_entry", ArchiveUnsafe, "An entry is a link or a device, not a file.";
    /// A name begins at a root or names a drive.
    PathAbsolute => "path_absolute", ArchiveUnsafe, "An entry has an absolute path.";
    /// A name leads out of the folder.
    PathTraversal => "path_traversal", ArchiveUnsafe, "An entry's path leads out of its folder.";
    /// A name that no program should write.
    PathInvalid => "path_invalid", ArchiveUnsafe, "An entry has a path that is not allowed.";
    /// A name is no Unicode.
    NameNotUnicode => "name_not_unicode", ArchiveUnsafe, "An entry's name is not UTF-8.";
    /// An archive in the archive.
    Nested => "nested_archive", ArchiveUnsafe, "There is an archive inside the archive.";
    /// The file is too large.
    FileTooLarge => "archive_too_large", ArchiveTooLarge, "The archive is larger than allowed.";
    /// Too many entries.
    TooManyEntries => "too_many_entries", ArchiveTooLarge, "The archive has more entries than allowed.";
    /// One entry is too large.
    EntryTooLarge => "entry_too_large", ArchiveTooLarge, "An entry is larger than allowed.";
    /// All entries together are too large.
    TotalTooLarge => "total_too_large", ArchiveTooLarge, "Unpacked, the archive is larger than allowed.";
    /// An entry grows too much.
    RatioTooHigh => "ratio_too_high", ArchiveTooLarge, "An entry grows beyond all proportion when it is unpacked.";
    /// An entry's length is not what is said.
    SizeWrong => "size_wrong", ArchiveAltered, "An entry has another length than the archive says.";
    /// An entry's bytes are not what was packed.
    ChecksumWrong => "checksum_wrong", ArchiveAltered, "An entry is damaged.";
    /// There is no manifest.
    ManifestMissing => "manifest_missing", ArchiveAltered, "The manifest is missing.";
    /// The manifest cannot be read.
    ManifestDamaged => "manifest_damaged", ArchiveAltered, "The manifest cannot be read or contradicts itself.";
    /// The manifest's own hash is wrong.
    RootWrong => "root_wrong", ArchiveAltered, "The manifest was altered: its root hash is another one.";
    /// A file's hash is wrong.
    HashWrong => "hash_wrong", ArchiveAltered, "A file was altered: its hash is another one than in the manifest.";
    /// A file of the manifest is not there.
    FileMissing => "file_missing", ArchiveAltered, "A file that the manifest lists is missing.";
    /// A file that the manifest does not list.
    FileExtra => "file_extra", ArchiveAltered, "There is a file that the manifest does not list.";
    /// The content of a file is not what the manifest says, or has no form that is known.
    ContentWrong => "content_wrong", ArchiveAltered, "A policy's content has another form than a backup gives it.";
    /// A marker without its entry in the list of redactions, or the other way round.
    MarkerWrong => "marker_wrong", ArchiveAltered, "The markers in a policy and its list of redactions disagree.";
    /// A format number of another program version.
    FormatUnknown => "format_unknown", ArchiveUnknownFormat, "The archive has a format number that this version does not know.";
    /// No folder of a tool that is known.
    FolderUnknown => "folder_unknown", ArchiveUnknownFormat, "This is no backup of ours and no folder of IntuneCD, IntuneManagement or IntuneBackupAndRestore.";
    /// A text is no JSON.
    NotJson => "not_json", ArchiveMalformed, "A file is no JSON.";
    /// JSON, but not in the one form.
    NotCanonical => "not_canonical", ArchiveMalformed, "A policy is not in canonical form.";
    /// A text is no UTF-8.
    NotUtf8 => "not_utf8", ArchiveMalformed, "A file is not UTF-8.";
    /// Arrays in arrays beyond the bound.
    TooDeep => "too_deep", ArchiveMalformed, "A file is nested too deep.";
    /// A number that is longer than any in a policy.
    NumberTooLarge => "number_too_large", ArchiveMalformed, "A number has more digits than any policy needs.";
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An archive is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.shown())]
pub struct ArchiveError {
    /// Why.
    pub fault: Fault,
    /// Which entry it is about. Foreign text, cut; control characters are replaced.
    pub entry: Option<String>,
}

/// The longest name of an entry that is repeated, in characters.
const LONGEST: usize = 200;

impl ArchiveError {
    /// About an entry.
    pub fn at(fault: Fault, entry: &str) -> Self {
        let plain = |letter: char| if letter.is_control() { '\u{FFFD}' } else { letter };
        Self { fault, entry: Some(entry.chars().take(LONGEST).map(plain).collect()) }
    }

    fn shown(&self) -> String {
        match &self.entry {
            Some(entry) => format!("{}: {} ({entry})", self.fault, self.fault.sentence()),
            None => format!("{}: {}", self.fault, self.fault.sentence()),
        }
    }
}

impl From<Fault> for ArchiveError {
    fn from(fault: Fault) -> Self {
        Self { fault, entry: None }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn words_are_unique_and_shown_names_are_plain() {
        let words: HashSet<&str> = Fault::ALL.iter().map(|fault| fault.as_str()).collect();
        assert_eq!(words.len(), Fault::ALL.len());
        let error = ArchiveError::at(Fault::PathInvalid, "a\u{1b}[31m\n");
        assert!(!error.to_string().contains(['\u{1b}', '\n']), "{error}");
    }
}
