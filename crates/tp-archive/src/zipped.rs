//! A zip file that may be anything, read entry by entry within bounds.

use std::collections::HashMap;
use std::io::{Read, Seek};

use zip::ZipArchive;

use crate::error::{ArchiveError, Fault};
use crate::layout::{self, Entry};
use crate::limits::Limits;

/// A zip file whose list of entries was checked.
#[derive(Debug)]
pub struct Zip<R> {
    archive: ZipArchive<R>,
    entries: Vec<Entry>,
    by_path: HashMap<String, usize>,
    limits: Limits,
}

impl<R: Read + Seek> Zip<R> {
    /// Checks the list of entries. Unpacks nothing.
    pub fn open(mut file: R, limits: Limits) -> Result<Self, ArchiveError> {
        let entries = layout::read(&mut file, &limits)?;
        let archive = ZipArchive::new(file).map_err(|_| Fault::DirectoryDamaged)?;
        let same = archive.len() == entries.len()
            && (0..entries.len()).all(|index| {
                let name = archive.name_for_index(index);
                name.and_then(Result::ok)
                    .is_some_and(|name| name.replace('\\', "/") == entries[index].path)
            });
        // Two readers of one list must agree, or one of them is wrong.
        if !same {
            return Err(Fault::DirectoryDamaged.into());
        }
        let by_path = entries.iter().enumerate().map(|(at, one)| (one.path.clone(), at)).collect();
        Ok(Self { archive, entries, by_path, limits })
    }

    /// The paths of its files, folders left out, in the order of the list.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter(|one| !one.is_folder).map(|one| one.path.as_str())
    }

    /// All paths, folders with a `/` at the end.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|one| one.path.as_str())
    }

    /// Whether it has a file of that path.
    pub fn has(&self, path: &str) -> bool {
        self.by_path.contains_key(path)
    }

    /// Unpacks a file whole. Its length and checksum are checked.
    pub fn read(&mut self, path: &str) -> Result<Vec<u8>, ArchiveError> {
        let at =
            *self.by_path.get(path).ok_or_else(|| ArchiveError::at(Fault::FileMissing, path))?;
        let (index, size) = (self.entries[at].index, self.entries[at].size);
        let refuse = |fault| ArchiveError::at(fault, path);
        if size > self.limits.entry {
            return Err(refuse(Fault::EntryTooLarge));
        }
        let file = self.archive.by_index(index).map_err(|error| match error {
            zip::result::ZipError::Io(_) => refuse(Fault::Unreadable),
            _ => refuse(Fault::HeadersDisagree),
        })?;
        let mut bytes = Vec::new();
        // One byte more than said shows that the length was a lie.
        let read = file.take(size + 1).read_to_end(&mut bytes);
        match read {
            Ok(length) if length as u64 == size => Ok(bytes),
            Ok(_) => Err(refuse(Fault::SizeWrong)),
            Err(error) => Err(refuse(match error.kind() {
                std::io::ErrorKind::InvalidData
                | std::io::ErrorKind::InvalidInput
                | std::io::ErrorKind::UnexpectedEof
                | std::io::ErrorKind::Other => Fault::ChecksumWrong,
                _ => Fault::Unreadable,
            })),
        }
    }
}
