//! What the tests need beside cargo: found, or installed where that may be done.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::{postgres, shell};

/// The node package of the browser test.
pub(crate) const BROWSER_TESTS: &str = "tests/browser";

const CHROMIUM: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// The browser, where there is one.
pub(crate) fn chromium() -> Option<PathBuf> {
    CHROMIUM.iter().find_map(|name| shell::find(name))
}

/// Installs what is missing, or says the one command for it. `has_server`: a PostgreSQL is given.
pub(crate) fn set_up(has_server: bool) -> Result<()> {
    let mut packages = Vec::new();
    if !has_server && postgres::programs().is_none() {
        packages.push("postgresql");
    }
    if chromium().is_none() {
        packages.extend(["chromium", "fonts-dejavu-core"]);
    }
    if shell::find("node").is_none() || shell::find("npm").is_none() {
        packages.extend(["nodejs", "npm"]);
    }
    if !packages.is_empty() {
        install(&packages)?;
    }
    node_packages()
}

fn install(packages: &[&str]) -> Result<()> {
    let by_hand = format!(
        "apt-get update && apt-get install -y --no-install-recommends {}",
        packages.join(" ")
    );
    if !shell::is_root() || shell::find("apt-get").is_none() {
        bail!(
            "the tests need programs that are not here; install them with: sudo sh -c '{by_hand}'"
        );
    }
    println!("installing {}", packages.join(" "));
    let mut apt = shell::command("sh");
    shell::quietly(apt.env("DEBIAN_FRONTEND", "noninteractive").args(["-c", &by_hand])).map(drop)
}

/// Installs the node packages of the browser test, when the lock file is newer than they are.
fn node_packages() -> Result<()> {
    let folder = shell::root().join(BROWSER_TESTS);
    let changed = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    let installed = changed(&folder.join("node_modules/.package-lock.json"));
    if installed.is_some() && installed >= changed(&folder.join("package-lock.json")) {
        return Ok(());
    }
    let mut npm = shell::command("npm");
    shell::quietly(npm.current_dir(folder).args(["ci", "--no-audit", "--no-fund"])).map(drop)
}
