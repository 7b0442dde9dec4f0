//! The list of entries of a zip file, checked before anything is unpacked (TRUST T12).
//!
//! Programs that read zip files are lenient, each in another way: they take the last of two equal names, or
//! the first; they believe the entry, or the list. An archive that two programs read in two ways is how a
//! check is passed with one content and another is imported. So a file with two readings is refused.
//! Source of the form: PKWARE APPNOTE 6.3.10, sections 4.3 and 4.4.

use std::collections::HashSet;
use std::io::{Read, Seek, SeekFrom};

use crate::error::{ArchiveError, Fault};
use crate::limits::Limits;
use crate::names;

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;

/// A data descriptor: signature, checksum and two lengths of 8 bytes at most.
const DESCRIPTOR: u64 = 24;

/// A file in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its path, with `/`.
    pub(crate) path: String,
    /// Its place in the list.
    pub(crate) index: usize,
    /// Bytes when it is unpacked.
    pub(crate) size: u64,
    /// Whether it is a folder.
    pub(crate) is_folder: bool,
}

#[derive(Debug)]
struct Listed {
    entry: Entry,
    raw: Vec<u8>,
    flags: u16,
    method: u16,
    packed: u64,
    offset: u64,
}

fn lost(_: std::io::Error) -> ArchiveError {
    Fault::Unreadable.into()
}

fn short(error: std::io::Error) -> ArchiveError {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => Fault::DirectoryDamaged.into(),
        _ => Fault::Unreadable.into(),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |pair| u16::from_le_bytes([pair[0], pair[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// Where the list of entries is.
struct Directory {
    offset: u64,
    size: u64,
    count: u64,
}

/// Reads and checks the list of entries.
pub(crate) fn read<R: Read + Seek>(
    file: &mut R,
    limits: &Limits,
) -> Result<Vec<Entry>, ArchiveError> {
    let length = file.seek(SeekFrom::End(0)).map_err(lost)?;
    if length > limits.file {
        return Err(Fault::FileTooLarge.into());
    }
    let directory = directory(file, length)?;
    if directory.count > limits.entries {
        return Err(Fault::TooManyEntries.into());
    }
    if directory.size > limits.directory {
        return Err(Fault::FileTooLarge.into());
    }
    let mut listed = entries(file, &directory, limits)?;
    let mut names = HashSet::new();
    for one in &listed {
        // A system without upper case would make one file of two.
        if !names.insert(one.entry.path.trim_end_matches('/').to_lowercase()) {
            return Err(ArchiveError::at(Fault::Duplicate, &one.entry.path));
        }
    }
    let total: u64 = listed.iter().map(|one| one.entry.size).fold(0, u64::saturating_add);
    if total > limits.total {
        return Err(Fault::TotalTooLarge.into());
    }
    listed.sort_by_key(|one| one.offset);
    places(file, &listed, directory.offset)?;
    listed.sort_by_key(|one| one.entry.index);
    Ok(listed.into_iter().map(|one| one.entry).collect())
}

fn directory<R: Read + Seek>(file: &mut R, length: u64) -> Result<Directory, ArchiveError> {
    let mut head = [0; 4];
    file.seek(SeekFrom::Start(0)).map_err(lost)?;
    let begins = file.read_exact(&mut head).is_ok() && u32_at(&head, 0) == LOCAL;
    let missing = || ArchiveError::from(if begins { Fault::Truncated } else { Fault::NotAZip });
    // The end record is the last thing but for a comment of up to 65,535 bytes.
    let tail_length = length.min(22 + 65_535);
    let mut tail = vec![0; usize::try_from(tail_length).unwrap_or(0)];
    file.seek(SeekFrom::Start(length - tail_length)).map_err(lost)?;
    file.read_exact(&mut tail).map_err(lost)?;
    let is_end = |at: &usize| {
        u32_at(&tail, *at) == END && *at + 22 + usize::from(u16_at(&tail, *at + 20)) == tail.len()
    };
    let mut ends = (0..tail.len().saturating_sub(21)).rev().filter(is_end);
    let at = ends.next().ok_or_else(missing)?;
    // A second end that reaches the end of the file as well: two readings.
    if ends.next().is_some() {
        return Err(Fault::DirectoryDamaged.into());
    }
    let end = &tail[at..];
    let end_at = length - tail_length + at as u64;
    let (disk, first_disk) = (u16_at(end, 4), u16_at(end, 6));
    let (here, count) = (u16_at(end, 8), u16_at(end, 10));
    let (size, offset) = (u32_at(end, 12), u32_at(end, 16));
    let locator = (at >= 20).then(|| &tail[at - 20..at]).filter(|it| u32_at(it, 0) == LOCATOR_64);
    let needs_long = count == u16::MAX || size == u32::MAX || offset == u32::MAX;
    let (directory, next) = match locator {
        Some(locator) => {
            let long_at = u64_at(locator, 8);
            let mut long = [0; 56];
            file.seek(SeekFrom::Start(long_at)).map_err(lost)?;
            file.read_exact(&mut long).map_err(short)?;
            let conflict = |long: u64, plain: u64, marker: u64| plain != marker && plain != long;
            let own = (u64_at(&long, 32), u64_at(&long, 40), u64_at(&long, 48));
            let sound = u32_at(&long, 0) == END_64
                && long_at.checked_add(12).and_then(|at| at.checked_add(u64_at(&long, 4)))
                    == Some(end_at - 20)
                && u64_at(&long, 24) == own.0;
            if !sound
                || conflict(own.0, count.into(), u16::MAX.into())
                || conflict(own.1, size.into(), u32::MAX.into())
                || conflict(own.2, offset.into(), u32::MAX.into())
            {
                return Err(Fault::Zip64Conflict.into());
            }
            if u32_at(&long, 16) != 0 || u32_at(&long, 20) != 0 {
                return Err(Fault::MultiDisk.into());
            }
            (Directory { count: own.0, size: own.1, offset: own.2 }, long_at)
        }
        None if needs_long => return Err(Fault::Zip64Conflict.into()),
        None => {
            (Directory { count: count.into(), size: size.into(), offset: offset.into() }, end_at)
        }
    };
    if disk != 0 || first_disk != 0 || here != count {
        return Err(Fault::MultiDisk.into());
    }
    // Nothing between the list and its end, nothing before the first entry.
    if directory.offset.checked_add(directory.size) != Some(next) {
        return Err(Fault::DirectoryDamaged.into());
    }
    Ok(directory)
}

fn entries<R: Read + Seek>(
    file: &mut R,
    directory: &Directory,
    limits: &Limits,
) -> Result<Vec<Listed>, ArchiveError> {
    let mut bytes = vec![0; usize::try_from(directory.size).unwrap_or(0)];
    file.seek(SeekFrom::Start(directory.offset)).map_err(lost)?;
    file.read_exact(&mut bytes).map_err(short)?;
    let mut rest = bytes.as_slice();
    let mut listed = Vec::new();
    while !rest.is_empty() {
        if rest.len() < 46 || u32_at(rest, 0) != CENTRAL {
            return Err(Fault::DirectoryDamaged.into());
        }
        let (name, extra, comment) = (
            usize::from(u16_at(rest, 28)),
            usize::from(u16_at(rest, 30)),
            usize::from(u16_at(rest, 32)),
        );
        let whole = 46 + name + extra + comment;
        if rest.len() < whole || listed.len() as u64 >= directory.count {
            return Err(Fault::DirectoryDamaged.into());
        }
        let (head, raw) = (&rest[..46], &rest[46..46 + name]);
        let one = entry(head, raw, &rest[46 + name..46 + name + extra], listed.len(), limits)?;
        listed.push(one);
        rest = &rest[whole..];
    }
    if listed.len() as u64 != directory.count {
        return Err(Fault::DirectoryDamaged.into());
    }
    Ok(listed)
}

fn entry(
    head: &[u8],
    raw: &[u8],
    extra: &[u8],
    index: usize,
    limits: &Limits,
) -> Result<Listed, ArchiveError> {
    let text = std::str::from_utf8(raw)
        .map_err(|_| ArchiveError::at(Fault::NameNotUnicode, &String::from_utf8_lossy(raw)))?;
    let refuse = |fault| ArchiveError::at(fault, text);
    let path = names::checked(text).map_err(refuse)?;
    let (flags, method) = (u16_at(head, 8), u16_at(head, 10));
    let (packed, size, offset) = (u32_at(head, 20), u32_at(head, 24), u32_at(head, 42));
    // Encrypted, strongly encrypted, encrypted list of entries.
    if flags & (1 | 1 << 6 | 1 << 13) != 0 || method == 99 {
        return Err(refuse(Fault::Encrypted));
    }
    if method != 0 && method != 8 {
        return Err(refuse(Fault::UnknownCompression));
    }
    if u16_at(head, 34) != 0 {
        return Err(refuse(Fault::MultiDisk));
    }
    extras(extra, raw).map_err(refuse)?;
    if [packed, size, offset].contains(&u32::MAX) {
        return Err(refuse(Fault::Zip64Entry));
    }
    // The upper half are the mode bits of Unix, whatever system says that it wrote the entry.
    let mode = u32_at(head, 38) >> 16 & 0o170_000;
    if !matches!(mode, 0 | 0o100_000 | 0o040_000) {
        return Err(refuse(Fault::Link));
    }
    let is_folder = path.ends_with('/');
    let (packed, size) = (u64::from(packed), u64::from(size));
    if is_folder && size != 0 || method == 0 && packed != size || packed == 0 && size != 0 {
        return Err(refuse(Fault::SizeWrong));
    }
    if size > limits.entry {
        return Err(refuse(Fault::EntryTooLarge));
    }
    if size > Limits::RATIO_FROM && size / packed.max(1) > limits.ratio {
        return Err(refuse(Fault::RatioTooHigh));
    }
    if names::is_archive(&path) {
        return Err(refuse(Fault::Nested));
    }
    let entry = Entry { path, index, size, is_folder };
    Ok(Listed { entry, raw: raw.to_vec(), flags, method, packed, offset: offset.into() })
}

/// Fields beside an entry: those that give it other lengths, another name or a lock are refused.
fn extras(mut extra: &[u8], raw: &[u8]) -> Result<(), Fault> {
    while extra.len() >= 4 {
        let (id, length) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
        let Some(field) = extra.get(4..4 + length) else { return Err(Fault::DirectoryDamaged) };
        match id {
            0x0001 => return Err(Fault::Zip64Entry),
            0x9901 | 0x0017 => return Err(Fault::Encrypted),
            // Another name, in Unicode: version, checksum of the plain name, name.
            0x7075 if field.get(5..) != Some(raw) => return Err(Fault::HeadersDisagree),
            _ => {}
        }
        extra = &extra[4 + length..];
    }
    Ok(())
}

/// Each entry stands where the list says, with the same name, and shares no byte with another.
fn places<R: Read + Seek>(
    file: &mut R,
    listed: &[Listed],
    directory: u64,
) -> Result<(), ArchiveError> {
    let mut free = 0;
    for one in listed {
        let refuse = |fault| ArchiveError::at(fault, &one.entry.path);
        if one.offset < free {
            return Err(refuse(Fault::Overlapping));
        }
        if one.offset - free > DESCRIPTOR {
            return Err(refuse(Fault::HiddenData));
        }
        let mut head = [0; 30];
        file.seek(SeekFrom::Start(one.offset)).map_err(lost)?;
        file.read_exact(&mut head).map_err(short)?;
        let (name, extra) = (u16_at(&head, 26), u16_at(&head, 28));
        let mut raw = vec![0; usize::from(name)];
        file.read_exact(&mut raw).map_err(short)?;
        let streamed = one.flags & 1 << 3 != 0;
        let (packed, size) = (u64::from(u32_at(&head, 18)), u64::from(u32_at(&head, 22)));
        let lengths = packed == one.packed && size == one.entry.size;
        let unsaid = streamed && packed == 0 && size == 0;
        if u32_at(&head, 0) != LOCAL
            || raw != one.raw
            || u16_at(&head, 8) != one.method
            || u16_at(&head, 6) & 1 != 0
            || !(lengths || unsaid)
        {
            return Err(refuse(Fault::HeadersDisagree));
        }
        free = one.offset + 30 + u64::from(name) + u64::from(extra) + one.packed;
        if free > directory {
            return Err(refuse(Fault::Overlapping));
        }
    }
    if directory - free > DESCRIPTOR {
        return Err(Fault::HiddenData.into());
    }
    Ok(())
}
