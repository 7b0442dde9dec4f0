//! Where payloads are kept, as the configuration says it (`payloads.url`).

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A place for payloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A bucket of S3 or of what speaks like it.
    S3 {
        /// The bucket.
        bucket: String,
        /// What all names in it begin with; may be empty.
        prefix: String,
    },
}

/// A value of `payloads.url` is neither form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected file:///folder or s3://bucket/prefix")]
pub struct BadLocation;

impl FromStr for Location {
    type Err = BadLocation;

    fn from_str(text: &str) -> Result<Self, BadLocation> {
        if let Some(folder) = text.strip_prefix("file://") {
            return if folder.is_empty() {
                Err(BadLocation)
            } else {
                Ok(Self::Folder(folder.into()))
            };
        }
        let rest = text.strip_prefix("s3://").ok_or(BadLocation)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let of_name =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
        let of_prefix = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
        let prefix = prefix.trim_end_matches('/');
        let is_plain = prefix.bytes().all(of_prefix)
            && (prefix.is_empty()
                || prefix.split('/').all(|part| !matches!(part, "" | "." | "..")));
        // Lengths and letters as S3 has them; what is refused here would only fail later.
        if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(of_name) || !is_plain {
            return Err(BadLocation);
        }
        Ok(Self::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "file://{}", folder.display()),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_read_as_it_is_written() {
        for text in ["file:///var/payloads", "file://./data", "s3://backups", "s3://b.u-9/a/b_c"] {
            assert_eq!(text.parse::<Location>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "/var",
            "file://",
            "http://x",
            "s3://",
            "s3://ab",
            "s3://Bucket",
            "s3://bucket/../x",
            "s3://bucket//x",
            "s3://bucket/a b",
            "s3://user:pass@bucket",
        ] {
            assert_eq!(bad.parse::<Location>(), Err(BadLocation), "{bad}");
        }
    }
}
