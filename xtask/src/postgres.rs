//! A throw-away PostgreSQL server: own cluster, loopback only, free port, random password.
//!
//! A guard process holds the other end of a pipe. When this program ends, however it ends, the pipe
//! closes and the guard stops the server and removes its folder.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::shell;

/// Where tests find the server.
pub(crate) const VARIABLE: &str = "TENANTPILOT_TEST_POSTGRES";

/// The role of the tests.
const ROLE: &str = "tenantpilot";

/// The user that runs the server when we are root: PostgreSQL refuses to run as root.
const USER: &str = "tenantpilot-test";

/// The guard: waits for the end of its input, then stops the server and removes the folder.
const GUARD: &str = r#"trap "" INT TERM HUP
cat >/dev/null
folder=$1
shift
"$@" >/dev/null 2>&1
rm -rf "$folder""#;

/// A running server. Dropping it stops the server.
#[derive(Debug)]
pub(crate) struct Server {
    url: String,
    guard: Option<Child>,
}

impl Server {
    /// Takes the given server, or starts one.
    pub(crate) fn given_or_new(given: Option<String>, durable: bool) -> Result<Self> {
        match given {
            Some(url) => Ok(Self { url, guard: None }),
            None => start(durable),
        }
    }

    /// The URL of a role that may create databases and roles.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            drop(guard.stdin.take());
            let _ = guard.wait();
        }
    }
}

/// `cargo xtask postgres`: runs a command with a server around it and hands its exit code on.
pub(crate) fn around(given: Option<String>, durable: bool, words: &[String]) -> Result<ExitCode> {
    let [program, arguments @ ..] = words else { bail!("name a command to run") };
    let server = Server::given_or_new(given, durable)?;
    let status = Command::new(program)
        .args(arguments)
        .env(VARIABLE, server.url())
        .status()
        .with_context(|| format!("`{program}` could not be started"))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}

/// The folder with `initdb`, `pg_ctl` and `postgres`: the newest of Debian's, else the one in PATH.
pub(crate) fn programs() -> Option<PathBuf> {
    let mut debian: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))
        })
        .collect();
    debian.sort();
    let in_path = shell::find("initdb")
        .and_then(|file| file.canonicalize().ok())
        .and_then(|file| file.parent().map(Path::to_owned));
    debian.into_iter().rev().map(|(_, folder)| folder).chain(in_path).find(|folder| {
        ["initdb", "pg_ctl", "postgres"].iter().all(|program| folder.join(program).is_file())
    })
}

/// Who runs the server: ourselves, or a user of its own when we are root.
#[derive(Debug)]
enum Runner {
    Ourselves,
    User { name: &'static str, uid: u32, gid: u32 },
}

impl Runner {
    fn pick() -> Result<Self> {
        if !shell::is_root() {
            return Ok(Self::Ourselves);
        }
        if shell::quietly(Command::new("id").args(["-u", USER])).is_err() {
            shell::quietly(Command::new("useradd").args([
                "--system",
                "--no-create-home",
                "--shell",
                "/usr/sbin/nologin",
                USER,
            ]))?;
        }
        let id = |what: &str| -> Result<u32> {
            Ok(shell::quietly(Command::new("id").args([what, USER]))?.trim().parse()?)
        };
        Ok(Self::User { name: USER, uid: id("-u")?, gid: id("-g")? })
    }

    fn words(&self, program: &Path) -> Vec<String> {
        let program = program.to_string_lossy().into_owned();
        match self {
            Self::Ourselves => vec![program],
            Self::User { name, .. } => {
                ["runuser", "-u", name, "--", &program].map(str::to_owned).to_vec()
            }
        }
    }

    fn command(&self, program: &Path) -> Command {
        let words = self.words(program);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir("/");
        command
    }

    fn own(&self, path: &Path, mode: u32) -> Result<()> {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        if let Self::User { uid, gid, .. } = self {
            chown(path, Some(*uid), Some(*gid))?;
        }
        Ok(())
    }

    /// A new folder that only the server's user can enter.
    fn folder(&self) -> Result<PathBuf> {
        for base in [std::env::temp_dir(), "/tmp".into(), "/var/tmp".into()] {
            let reachable = self.command(Path::new("test")).arg("-x").arg(&base).status();
            if !reachable.is_ok_and(|status| status.success()) {
                continue;
            }
            let folder = base.join(format!("tenantpilot-pg-{}", random_hex(6)?));
            fs::create_dir(&folder)?;
            self.own(&folder, 0o700)?;
            return Ok(folder);
        }
        Err(anyhow!("no temporary folder that the PostgreSQL server can use; set TMPDIR to one"))
    }
}

fn random_hex(bytes: usize) -> Result<String> {
    let mut random = vec![0; bytes];
    fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat())
}

fn start(durable: bool) -> Result<Server> {
    let bin = programs().context(
        "no PostgreSQL server programs; install them with `apt-get install postgresql`, \
         or name a server in TENANTPILOT_TEST_POSTGRES",
    )?;
    let runner = Runner::pick()?;
    let folder = runner.folder()?;
    let data = folder.join("data");
    // From here on the guard cleans up, whatever happens.
    let mut guard = Command::new("sh");
    guard.args(["-c", GUARD, "guard"]).arg(&folder).args(runner.words(&bin.join("pg_ctl")));
    guard.arg("-D").arg(&data).args(["-m", "immediate", "-w", "stop"]);
    guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let guard = guard.current_dir("/").process_group(0).spawn()?;
    let mut server = Server { url: String::new(), guard: Some(guard) };

    let mut initdb = runner.command(&bin.join("initdb"));
    initdb.arg("-D").arg(&data).args(["-U", "postgres", "--auth=trust", "--encoding=UTF8"]);
    shell::quietly(initdb.args(["--locale=C", "--no-sync"]))?;
    // Nobody but the role of the tests gets in, and with its password only.
    fs::write(data.join("pg_hba.conf"), format!("host all {ROLE} 127.0.0.1/32 scram-sha-256\n"))?;
    let password = random_hex(16)?;
    make_role(&runner, &bin, &data, &password)?;
    let port = start_on_free_port(&runner, &bin, &folder, durable)?;
    server.url = format!("postgres://{ROLE}:{password}@127.0.0.1:{port}/postgres");
    Ok(server)
}

/// Makes the role of the tests. It is no superuser: row-level security must hold against it.
fn make_role(runner: &Runner, bin: &Path, data: &Path, password: &str) -> Result<()> {
    let mut single = runner.command(&bin.join("postgres"));
    single.arg("--single").arg("-D").arg(data).arg("postgres");
    single.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = single.spawn()?;
    if let Some(mut input) = child.stdin.take() {
        writeln!(input, "CREATE ROLE {ROLE} LOGIN CREATEDB CREATEROLE PASSWORD '{password}'")?;
    }
    if !child.wait()?.success() {
        bail!("the role of the tests could not be made");
    }
    Ok(())
}

/// Starts the server; tries again when another program took the port in between.
fn start_on_free_port(runner: &Runner, bin: &Path, folder: &Path, durable: bool) -> Result<u16> {
    let log = folder.join("log");
    for attempt in 1.. {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut options = format!(
            "-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories= \
             -c max_connections=300 -c timezone=UTC"
        );
        if !durable {
            options.push_str(" -c fsync=off -c synchronous_commit=off -c full_page_writes=off");
        }
        let mut pg_ctl = runner.command(&bin.join("pg_ctl"));
        pg_ctl.arg("-D").arg(folder.join("data")).arg("-l").arg(&log);
        pg_ctl.args(["-w", "-s", "-o", &options, "start"]);
        pg_ctl.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
        if pg_ctl.status()?.success() {
            return Ok(port);
        }
        if attempt == 5 {
            break;
        }
    }
    bail!(
        "the PostgreSQL server did not start: {}",
        fs::read_to_string(log).unwrap_or_default().trim()
    )
}
