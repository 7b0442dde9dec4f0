//! One policy type: listed, read in full, stored, written down.

use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt as _;
use tp_catalog::contract::{Contract, Incremental};
use tp_domain::completeness::Completeness;
use tp_domain::json::Json;
use tp_domain::policy::{ObservedPolicy, PolicyType};
use tp_domain::reason::ReasonCode;
use tp_domain::run::FailedItem;
use tp_domain::version::PolicyVersion;
use tp_engine::operation::Stop;
use tp_graph::error::GraphError;
use tp_graph::full::Read as FullRead;
use tp_store::{BackupEntry, TypeEnd};

use super::capture;
use super::{Capturing, Read, Target, keep, write};
use crate::observe;
use crate::sign_in::{failed, give_way, is_connection_fault};

/// What came of one type.
#[derive(Debug)]
pub(super) struct TypeRead {
    pub(super) key: PolicyType,
    pub(super) rows_written: u64,
    pub(super) new_versions: u64,
    /// Faults of single policies, and of the type as a whole.
    pub(super) faults: Vec<(ReasonCode, FailedItem)>,
}

/// The type while it is read.
struct Reading<'a> {
    key: &'a PolicyType,
    contract: &'a Contract,
    latest: Arc<HashMap<String, PolicyVersion>>,
    chosen: Option<&'a BTreeSet<String>>,
    ids: BTreeSet<String>,
    without_identity: u64,
    read: TypeRead,
}

impl Reading<'_> {
    fn wants(&self, graph_id: &str) -> bool {
        self.chosen.is_none_or(|chosen| chosen.contains(graph_id))
    }

    fn fault(&mut self, reason: ReasonCode, observed: &ObservedPolicy, request_id: Option<&str>) {
        let item = FailedItem {
            policy_type: Some(self.key.clone()),
            graph_id: Some(observed.graph_id.clone()),
            name: observed.name.clone(),
            graph_request_id: request_id.map(str::to_owned),
            permission: None,
        };
        self.read.faults.push((reason, item));
    }
}

/// Whether an object is as its latest version has it, as far as the listing can tell.
fn is_unchanged(contract: &Contract, object: &Json, version: &PolicyVersion) -> bool {
    let tells = match contract.changes.incremental {
        Incremental::Sound | Incremental::OwnMembers => true,
        Incremental::ListingIsAll | Incremental::Never => false,
    };
    let field = contract.changes.last_modified.as_ref();
    let modified = field.and_then(|field| object.get(field)?.as_str());
    tells && modified.is_some() && modified == version.modified_text.as_deref()
}

impl Capturing<'_> {
    pub(super) async fn read_type(&self, key: PolicyType) -> Read {
        self.run.step_begin(&key).await?;
        let read =
            TypeRead { key: key.clone(), rows_written: 0, new_versions: 0, faults: Vec::new() };
        let not_covered = |reason| Completeness::NotCovered(reason);
        let Some(contract) = self.tools.catalog.contract(&key) else {
            return self
                .end(read, not_covered(ReasonCode::UnsupportedType), &BTreeSet::new())
                .await;
        };
        if contract.permissions.delegated_only {
            let none = BTreeSet::new();
            return self.end(read, not_covered(ReasonCode::AppOnlyNotSupported), &none).await;
        }
        if contract.is_directory_group() {
            return self.read_groups(contract, read).await;
        }
        let versions = self.run.versions_latest(&key).await?;
        let latest: HashMap<String, PolicyVersion> =
            versions.into_iter().map(|one| (one.graph_id.clone(), one)).collect();
        let chosen = match &self.chosen {
            None => None,
            Some(chosen) => chosen.get(&key),
        };
        let mut reading = Reading {
            key: &key,
            contract,
            latest: Arc::new(latest),
            chosen,
            ids: BTreeSet::new(),
            without_identity: 0,
            read,
        };
        let listed = self.read_all(&mut reading).await?;
        let Reading { ids, without_identity, read, chosen, .. } = reading;
        match listed {
            Err(error) => self.missed(read, contract, &error, ids.len()).await,
            Ok(()) if without_identity > 0 => {
                let (mut read, reason) = (read, ReasonCode::MalformedResponse);
                let item = of_type(&read.key);
                read.faults.push((reason, item));
                self.end(read, Completeness::Partial(reason), &ids).await
            }
            Ok(()) => {
                let read = self.vanished(read, &key, chosen, &ids).await?;
                self.end(read, Completeness::Complete, &ids).await
            }
        }
    }

    /// Reads, stores and writes down hundred by hundred. The inner error is the listing's.
    async fn read_all(&self, reading: &mut Reading<'_>) -> Result<Result<(), GraphError>, Stop> {
        let contract = reading.contract;
        let contracts = [contract];
        let full_pass = self.is_full();
        let (latest, chosen) = (Arc::clone(&reading.latest), reading.chosen);
        let known = move |contract: &Contract, object: &Json| {
            let Some(observed) = observe::policy(contract, object) else { return false };
            let wanted = chosen.is_none_or(|chosen| chosen.contains(&observed.graph_id));
            let version = latest.get(&observed.graph_id);
            !wanted || !full_pass && version.is_some_and(|one| is_unchanged(contract, object, one))
        };
        let mut chunks = pin!(self.session.read_in_full(&self.tools.catalog, &contracts, &known));
        while let Some(chunk) = chunks.next().await {
            match chunk {
                Err(error) => return Ok(Err(error)),
                Ok(chunk) => {
                    let reads = chunk.into_iter().map(|(_, read)| read).collect();
                    self.write_down(reading, reads).await?;
                }
            }
        }
        Ok(Ok(()))
    }

    async fn write_down(
        &self,
        reading: &mut Reading<'_>,
        reads: Vec<FullRead>,
    ) -> Result<(), Stop> {
        let (mut seen, mut entries, mut prepared) = (Vec::new(), Vec::new(), Vec::new());
        for read in reads {
            let object = match &read {
                FullRead::Full(full) => &full.object,
                FullRead::Unchanged(object) => object,
                // It went while it was read: what is not there is not missing (TRUST F21).
                FullRead::Gone(_) => continue,
            };
            let Some(observed) = observe::policy(reading.contract, object) else {
                reading.without_identity += 1;
                continue;
            };
            // A repeat within the listing is one object (TRUST F20).
            if !reading.ids.insert(observed.graph_id.clone()) {
                continue;
            }
            seen.push(observed.clone());
            match read {
                _ if !reading.wants(&observed.graph_id) => {}
                FullRead::Full(full) => match full.faults.first() {
                    Some(fault) => {
                        let (reason, request) = (fault.error.reason(), fault.error.request_id());
                        reading.fault(reason, &observed, request);
                        entries.push(failure(&observed, reason, request));
                    }
                    None => {
                        match capture::prepare(
                            reading.contract,
                            &self.vault,
                            observed.clone(),
                            *full,
                        ) {
                            Ok(ready) => prepared.push(ready),
                            Err(reason) => {
                                reading.fault(reason, &observed, None);
                                entries.push(failure(&observed, reason, None));
                            }
                        }
                    }
                },
                FullRead::Unchanged(_) => {
                    let version = reading.latest.get(&observed.graph_id);
                    let version = version.ok_or_else(|| failed(ReasonCode::InternalError))?.id;
                    let (graph_id, name) = (observed.graph_id, observed.name);
                    entries.push(BackupEntry::Unchanged { graph_id, name, version });
                }
                FullRead::Gone(_) => {}
            }
        }
        let key = reading.key;
        reading.read.rows_written += self.run.policies_seen(key, seen).await?;
        let catalog = &self.tools.catalog;
        self.names.learn(self.run, catalog, &self.session, &prepared).await?;
        reading.read.new_versions +=
            keep(self.run, &self.vault, &self.names, self.target, key, prepared).await?;
        write(self.run, self.target, key, entries).await?;
        Ok(())
    }

    /// Chosen policies that a complete listing did not have.
    async fn vanished(
        &self,
        mut read: TypeRead,
        key: &PolicyType,
        chosen: Option<&BTreeSet<String>>,
        ids: &BTreeSet<String>,
    ) -> Result<TypeRead, Stop> {
        let gone: Vec<String> =
            chosen.into_iter().flatten().filter(|id| !ids.contains(*id)).cloned().collect();
        let mut entries = Vec::with_capacity(gone.len());
        for graph_id in gone {
            let reason = ReasonCode::ItemGone;
            let item = FailedItem {
                policy_type: Some(key.clone()),
                graph_id: Some(graph_id.clone()),
                name: None,
                graph_request_id: None,
                permission: None,
            };
            read.faults.push((reason, item));
            let (name, graph_request_id) = (None, None);
            entries.push(BackupEntry::Failed { graph_id, name, reason, graph_request_id });
        }
        if !entries.is_empty() {
            write(self.run, self.target, key, entries).await?;
        }
        Ok(read)
    }

    /// Groups feed the directory cache; a backup names them and holds none.
    async fn read_groups(&self, contract: &Contract, mut read: TypeRead) -> Read {
        match self.session.list(&self.tools.catalog, contract).await {
            Err(error) => self.missed(read, contract, &error, 0).await,
            Ok(objects) => {
                let groups: Vec<_> = objects.iter().filter_map(observe::group).collect();
                let ids = groups.iter().map(|group| group.graph_id.clone()).collect();
                let done = self.run.groups_observe(&read.key, groups).await?;
                read.rows_written += done.rows_written;
                self.end(read, Completeness::Complete, &ids).await
            }
        }
    }

    async fn missed(
        &self,
        mut read: TypeRead,
        contract: &Contract,
        error: &GraphError,
        listed: usize,
    ) -> Read {
        let reason = error.reason();
        let run = self.run;
        if let Some(stop) = give_way(run, error) {
            return Err(stop);
        }
        if is_connection_fault(reason) {
            return Err(failed(reason));
        }
        tracing::warn!(
            run.id = %run.id(),
            policy_type = %read.key,
            reason = %reason,
            status = error.status(),
            graph.request_id = error.request_id(),
            "a policy type could not be read to its end",
        );
        let permission =
            (reason == ReasonCode::PermissionMissing).then(|| contract.permissions.read.join(", "));
        let item = FailedItem {
            policy_type: Some(read.key.clone()),
            graph_id: None,
            name: None,
            graph_request_id: error.request_id().map(str::to_owned),
            permission: permission.clone(),
        };
        read.faults.push((reason, item));
        let completeness = match permission {
            Some(permission) => Completeness::NotPermitted(permission),
            None if listed > 0 => Completeness::Partial(reason),
            None => Completeness::Failed(reason),
        };
        self.end(read, completeness, &BTreeSet::new()).await
    }

    /// Ends the step of the type, in the inventory and in the set.
    async fn end(
        &self,
        mut read: TypeRead,
        completeness: Completeness,
        ids: &BTreeSet<String>,
    ) -> Read {
        let listed = u64::try_from(ids.len()).unwrap_or(u64::MAX);
        let digest = observe::digest(ids.iter());
        let said = completeness.reason();
        // The inventory may not believe it: too much is gone at once (ruling 22).
        let completeness =
            self.run.type_end(&read.key, TypeEnd { completeness, listed, digest }).await?;
        if said.is_none()
            && let Some(reason) = completeness.reason()
        {
            let item = of_type(&read.key);
            read.faults.push((reason, item));
        }
        if let Target::Set(set) = self.target {
            self.run.backup_type(set.id, &read.key, &completeness, listed).await?;
        }
        Ok(read)
    }
}

/// A fault of a type as a whole.
fn of_type(key: &PolicyType) -> FailedItem {
    FailedItem {
        policy_type: Some(key.clone()),
        graph_id: None,
        name: None,
        graph_request_id: None,
        permission: None,
    }
}

fn failure(
    observed: &ObservedPolicy,
    reason: ReasonCode,
    graph_request_id: Option<&str>,
) -> BackupEntry {
    BackupEntry::Failed {
        graph_id: observed.graph_id.clone(),
        name: observed.name.clone(),
        reason,
        graph_request_id: graph_request_id.map(str::to_owned),
    }
}
