//! The object store: a folder or a bucket behind one face.
//!
//! Objects are written under their final name in one step (a folder: written beside, synced, linked; S3:
//! one PUT that refuses an existing name), so that a reader sees a whole object or none. Nothing is ever
//! changed in place.

use std::fmt;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions,
    PutPayload, RetryConfig,
};
use tp_domain::ids::{CopyId, TenantId};
use tp_domain::time::Timestamp;

use crate::MOST_BYTES;
use crate::error::{PayloadError, of_system};
use crate::location::Location;
use crate::name::{ObjectName, ROOT};

/// The longest object: a payload that could not be compressed, with header and tag.
const MOST_OBJECT_BYTES: usize = MOST_BYTES + 128;

/// How long connecting to a bucket may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long one request to a bucket may take: the longest object at 600 kB/s.
const REQUEST: Duration = Duration::from_mins(2);
/// How long a request is repeated before it counts as failed.
const RETRY: Duration = Duration::from_mins(1);

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The object was written.
    Stored,
    /// An object of that name was there; it was left as it is.
    Present,
}

/// An object as a listing gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name; none for what is not ours, which is never touched.
    pub name: Option<ObjectName>,
    /// Its length in bytes.
    pub bytes: u64,
    /// When it was written, by the clock of the store.
    pub written_at: Timestamp,
}

/// What a trial of the store has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Whether the store refuses to write over an existing object. Some stores that speak like S3 do not:
    /// nothing depends on it, since names are never used twice.
    pub keeps_existing: bool,
}

/// Where payloads are kept. Cheap to clone.
#[derive(Clone)]
pub struct PayloadStore {
    location: Location,
    objects: Arc<dyn ObjectStore>,
}

impl fmt::Debug for PayloadStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PayloadStore({})", self.location)
    }
}

impl PayloadStore {
    /// Opens a place for payloads; makes the folder when it is one and is missing.
    ///
    /// `settings` are the usual `AWS_…` variables, as they are called: endpoint, region, keys. Plain http
    /// is for loopback addresses, unless `AWS_ALLOW_HTTP` says otherwise.
    pub fn open<'a>(
        location: &Location,
        settings: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, PayloadError> {
        let objects: Arc<dyn ObjectStore> = match location {
            Location::Folder(folder) => {
                make_folder(folder).map_err(|error| of_system(&error))?;
                Arc::new(LocalFileSystem::new_with_prefix(folder)?.with_fsync(true))
            }
            Location::S3 { bucket, prefix } => {
                let bucket = bucket_of(bucket, settings)?;
                Arc::new(PrefixStore::new(bucket, prefix.as_str()))
            }
        };
        Ok(Self { location: location.clone(), objects })
    }

    /// Where it is.
    pub const fn location(&self) -> &Location {
        &self.location
    }

    /// Writes an object unless one of that name is there. Once this returns, it outlives a power failure.
    pub async fn put(&self, name: &ObjectName, object: Vec<u8>) -> Result<Put, PayloadError> {
        self.write(&name.path(), object, PutMode::Create).await
    }

    /// Writes an object in place of a damaged one of that name.
    pub(crate) async fn replace(
        &self,
        name: &ObjectName,
        object: Vec<u8>,
    ) -> Result<(), PayloadError> {
        self.write(&name.path(), object, PutMode::Overwrite).await.map(drop)
    }

    async fn write(
        &self,
        path: &Path,
        object: Vec<u8>,
        mode: PutMode,
    ) -> Result<Put, PayloadError> {
        if object.len() > MOST_OBJECT_BYTES {
            return Err(PayloadError::TooLong);
        }
        let options = PutOptions { mode, ..PutOptions::default() };
        match self.objects.put_opts(path, PutPayload::from(object), options).await {
            Ok(_) => Ok(Put::Stored),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. },
            ) => Ok(Put::Present),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads an object. What is longer than any payload is not read to its end.
    pub async fn get(&self, name: &ObjectName) -> Result<Vec<u8>, PayloadError> {
        self.read(&name.path()).await
    }

    async fn read(&self, path: &Path) -> Result<Vec<u8>, PayloadError> {
        let result = self.objects.get(path).await?;
        let told = usize::try_from(result.meta.size).unwrap_or(usize::MAX);
        if told > MOST_OBJECT_BYTES {
            return Err(PayloadError::TooLong);
        }
        let mut object = Vec::with_capacity(told);
        let mut parts = result.into_stream();
        while let Some(part) = parts.try_next().await? {
            if object.len() + part.len() > MOST_OBJECT_BYTES {
                return Err(PayloadError::TooLong);
            }
            object.extend_from_slice(&part);
        }
        Ok(object)
    }

    /// What the store says of an object; none when there is no such object.
    pub async fn exists(&self, name: &ObjectName) -> Result<Option<Listed>, PayloadError> {
        match self.objects.head(&name.path()).await {
            Ok(meta) => Ok(Some(listed(&meta))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// All objects, of one tenant or of all, in no order. What was being written when a machine stopped
    /// is not among them.
    pub fn list(
        &self,
        tenant: Option<TenantId>,
    ) -> impl Stream<Item = Result<Listed, PayloadError>> + Send + use<> {
        let below = match tenant {
            Some(tenant) => Path::from_iter([ROOT, &tenant.to_string()]),
            None => Path::from_iter([ROOT]),
        };
        self.objects.list(Some(&below)).map(|meta| match meta {
            Ok(meta) => Ok(listed(&meta)),
            Err(error) => Err(error.into()),
        })
    }

    /// Deletes an object; says whether it was there, where the store tells (a bucket does not).
    pub async fn delete(&self, name: &ObjectName) -> Result<bool, PayloadError> {
        match self.objects.delete(&name.path()).await {
            Ok(()) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes what was being written when a machine stopped: files of a folder that got no name, written
    /// before `before`. A bucket keeps no such thing. Says how many.
    pub async fn remove_unfinished(&self, before: Timestamp) -> Result<usize, PayloadError> {
        let Location::Folder(folder) = &self.location else { return Ok(0) };
        let root = folder.join(ROOT);
        let swept = tokio::task::spawn_blocking(move || unfinished(&root, before, 0)).await;
        swept.map_err(|_| PayloadError::Unavailable)?.map_err(|error| of_system(&error))
    }

    /// Writes, reads and deletes a trial object: for `doctor` and at start. `copy` names it.
    pub async fn probe(&self, copy: CopyId) -> Result<Probe, PayloadError> {
        let path = Path::from_iter(["probe", &copy.to_string()]);
        let object = copy.uuid().as_bytes().to_vec();
        let tried = self.try_out(&path, object).await;
        let deleted = self.objects.delete(&path).await;
        let probe = tried?;
        deleted?;
        Ok(probe)
    }

    async fn try_out(&self, path: &Path, object: Vec<u8>) -> Result<Probe, PayloadError> {
        self.write(path, object.clone(), PutMode::Create).await?;
        if self.read(path).await? != object {
            return Err(PayloadError::Unreliable);
        }
        let again = self.write(path, object, PutMode::Create).await?;
        Ok(Probe { keeps_existing: again == Put::Present })
    }
}

fn listed(meta: &object_store::ObjectMeta) -> Listed {
    Listed {
        name: ObjectName::of_path(&meta.location),
        bytes: meta.size,
        written_at: Timestamp::from_micros(meta.last_modified.timestamp_micros()),
    }
}

fn make_folder(folder: &FilePath) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn bucket_of<'a>(
    bucket: &str,
    settings: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<impl ObjectStore, PayloadError> {
    let mut builder = AmazonS3Builder::new();
    let mut allow_http = false;
    for (name, value) in settings {
        let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() else { continue };
        if matches!(key, AmazonS3ConfigKey::Endpoint | AmazonS3ConfigKey::S3Endpoint) {
            allow_http |= is_loopback(value);
        }
        builder = builder.with_config(key, value);
    }
    if allow_http {
        builder = builder.with_allow_http(true);
    }
    let client = ClientOptions::new()
        .with_connect_timeout(CONNECT)
        .with_timeout(REQUEST)
        .with_allow_http(allow_http);
    let retry =
        RetryConfig { backoff: BackoffConfig::default(), max_retries: 5, retry_timeout: RETRY };
    builder
        .with_bucket_name(bucket)
        .with_client_options(client)
        .with_retry(retry)
        .build()
        .map_err(PayloadError::from)
}

/// Whether plain http to this endpoint leaves the machine not at all.
fn is_loopback(endpoint: &str) -> bool {
    let Some(rest) = endpoint.strip_prefix("http://") else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    matches!(host, "127.0.0.1" | "localhost" | "[::1]")
}

/// Removes files whose name ends in `#` and digits: `object_store` writes into those first.
fn unfinished(folder: &FilePath, before: Timestamp, level: usize) -> std::io::Result<usize> {
    let Some(entries) = if_there(std::fs::read_dir(folder))? else { return Ok(0) };
    let mut removed = 0;
    for entry in entries {
        let entry = entry?;
        let Some(kind) = if_there(entry.file_type())? else { continue };
        // v1 / tenant / two digits / object
        if kind.is_dir() && level < 3 {
            removed += unfinished(&entry.path(), before, level + 1)?;
        } else if kind.is_file()
            && has_no_name(&entry.path())
            && if_there(is_older(&entry, before))? == Some(true)
        {
            let gone = if_there(std::fs::remove_file(entry.path()))?;
            removed += usize::from(gone.is_some());
        }
    }
    Ok(removed)
}

/// None for what has gone meanwhile: its writer has given it a name, or another sweep was quicker.
fn if_there<T>(found: std::io::Result<T>) -> std::io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn has_no_name(path: &FilePath) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.and_then(|name| name.rsplit_once('#'))
        .is_some_and(|(_, count)| !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit()))
}

fn is_older(entry: &std::fs::DirEntry, before: Timestamp) -> std::io::Result<bool> {
    let written = entry.metadata()?.modified()?.duration_since(std::time::UNIX_EPOCH);
    let micros = written.map_or(0, |age| i64::try_from(age.as_micros()).unwrap_or(i64::MAX));
    Ok(micros < before.micros())
}
