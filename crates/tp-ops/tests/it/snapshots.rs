//! What snapshots cost: of a tenant that does not change, and of one that does (PRODUCT S-1).

use std::time::{Duration, Instant};

use tp_domain::backup::BackupState;
use tp_domain::backup_create::CreateBackup;

use crate::proofs::figure;
use crate::verify::files;
use crate::world::{World, worlds_of};

/// A tenant's size: the generated estate so many times over, and how many days it is looked at.
struct Size {
    scale: u32,
    days: usize,
}

/// Some hundred policies for a week; with `TENANTPILOT_PROVE=long` ten thousand for a month.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration file")]
fn size() -> Size {
    match std::env::var("TENANTPILOT_PROVE").as_deref() {
        Ok("long") => Size { scale: 55, days: 30 },
        _ => Size { scale: 2, days: 8 },
    }
}

impl World {
    /// Bytes of all stored contents.
    fn stored(&self) -> u64 {
        files(self.folder()).iter().map(|file| std::fs::metadata(file).unwrap().len()).sum()
    }
}

/// The most memory that this process has had, in MiB; none where the system does not say.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? >> 10)
}

#[tokio::test]
async fn sets_of_an_unchanged_tenant_cost_as_much_as_one() {
    let Size { scale, days } = size();
    for world in worlds_of(scale).await {
        let name = world.db.name();
        let before = peak();
        let start = Instant::now();
        let run = world.backup(CreateBackup::everything()).await;
        let (first, first_bytes) = (start.elapsed(), world.stored());
        let grown = peak().zip(before).map(|(peak, before)| peak - before);
        let set = world.set(1).await;
        assert_eq!(set.state, BackupState::Complete, "{name} {:?}", run.failures);
        let policies = set.items;
        let mut second = Duration::MAX;
        for day in 2..=days {
            world.db.clock.advance(Duration::from_hours(24));
            let start = Instant::now();
            world.backup(CreateBackup::everything()).await;
            let set = world.set(day as u64).await;
            assert_eq!((set.state, set.items), (BackupState::Complete, policies), "{name}");
            assert_eq!(set.new_versions, 0, "{name}");
            if day == 2 {
                second = start.elapsed();
            }
        }
        let per_mille = world.stored() * 1_000 / first_bytes;
        figure(
            &format!("{days} daily sets of {policies} unchanged policies, {name}"),
            "<= 1.1x the bytes of one set",
            &format!(
                "{}.{:03}x of {} KiB",
                per_mille / 1_000,
                per_mille % 1_000,
                first_bytes >> 10
            ),
            per_mille <= 1_100,
        );
        if policies >= 1_000 {
            let share = second.as_secs_f64() / first.as_secs_f64();
            figure(
                &format!("the second set of {policies} policies, {name}"),
                "<= 20 % of the time of the first, 0 new contents",
                &format!("{:.1} % of {:.1} s", share * 100.0, first.as_secs_f64()),
                share <= 0.2,
            );
        }
        // The simulator and the test are in the same process: what the backup takes is less.
        if let Some(grown) = grown {
            figure(
                &format!("memory of a backup of {policies} policies, {name}"),
                "<= 200 MiB more than before",
                &format!("{grown} MiB"),
                grown <= 200,
            );
        }
    }
}
