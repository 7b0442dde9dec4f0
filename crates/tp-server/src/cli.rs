//! The command line (INTERFACE §1).

mod backup;
mod identity;
mod tenant;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use backup::{BackupCommand, PolicyCommand};
pub(crate) use identity::{AuthorityArgs, IdentityCommand};
pub(crate) use tenant::{CertificateCommand, CredentialArgs, TenantCommand};

/// Watches device policy of Microsoft Intune tenants.
#[derive(Debug, Parser)]
#[command(
    name = "tenantpilot",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    before_help = "Examples:\n  tenantpilot demo                      try it with simulated tenants\n  tenantpilot serve                     run the server\n  tenantpilot run watch RUN -t contoso  follow a run"
)]
pub(crate) struct Cli {
    /// The configuration file; default ./tenantpilot.toml where that is
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Try it: simulated Graph, tenants, users and a first sync, in one process
    Demo(DemoArgs),
    /// Run the web and the API, with a worker unless told otherwise
    Serve(ServeArgs),
    /// Run a worker only; as many as wanted, on PostgreSQL
    Worker {
        /// Runs at once in this process
        #[arg(long, value_name = "N")]
        concurrency: Option<u32>,
    },
    /// Bring the database's schema up to date
    Migrate {
        /// Change nothing; exit 0 when up to date, 1 when migrations are pending
        #[arg(long)]
        check: bool,
    },
    /// Look whether everything is in order
    Doctor(OutputArgs),
    /// Show or check the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// The master keys that secrets at rest are sealed with
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Print the OpenAPI document of the API
    Openapi,
    /// Print a completion script for a shell
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the version
    Version(OutputArgs),
    /// Acts of the machine's own shell, without the web; audited as "console"
    #[command(subcommand)]
    Admin(AdminCommand),
    /// The simulated Microsoft Graph
    #[command(subcommand)]
    Sim(SimCommand),
    /// The contracts of the policy types
    #[command(subcommand)]
    Contracts(ContractsCommand),
    /// What can be done with each policy type
    Capabilities {
        /// What of it works in this tenant; asks the server
        #[arg(short, long, value_name = "TENANT")]
        tenant: Option<String>,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Runs of a server
    #[command(subcommand)]
    Run(RunCommand),
    /// Tenants of a server
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// Policies of a tenant, their versions and what changed
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Backup sets of a tenant
    #[command(subcommand)]
    Backup(BackupCommand),
    /// What starts by itself, in a tenant or in the workspace
    #[command(subcommand)]
    Schedule(ScheduleCommand),
    /// A raw call of the API: tenantpilot api GET /api/v1/me
    Api {
        #[command(flatten)]
        server: ServerArgs,
        /// GET or POST
        method: String,
        /// The path, from /api/v1 on
        path: String,
        /// A JSON body from this file; - for standard input
        #[arg(long, value_name = "FILE")]
        input: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// The master keys, and how many secrets each has sealed
    List(OutputArgs),
    /// Add a new master key and make it the active one; running servers seal everything anew with it
    Rotate,
    /// Take an old master key out of the key file, once nothing is sealed with it
    Forget {
        /// The key's id, as `keys list` shows it
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Where people reach it
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    pub(crate) listen: std::net::SocketAddr,
    /// Where the demo keeps its data
    #[arg(long, value_name = "DIR", default_value = "./demo-data")]
    pub(crate) data_dir: PathBuf,
    /// A folder of exported objects for the first tenant
    #[arg(long, value_name = "DIR")]
    pub(crate) corpus: Option<PathBuf>,
    /// How many tenants
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub(crate) tenants: u16,
    /// Multiplies the generated objects
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) scale: u32,
    /// Decides what is generated
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Milliseconds that each simulated Graph request takes
    #[arg(long, default_value_t = 40, value_name = "MS")]
    pub(crate) latency_ms: u64,
    /// A database of its own instead of a SQLite file in the data folder
    #[arg(long, value_name = "URL")]
    pub(crate) database: Option<String>,
    /// Print the sign-in of an existing demo and exit
    #[arg(long)]
    pub(crate) print_login: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where people reach it
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<std::net::SocketAddr>,
    /// Take no work in this process
    #[arg(long)]
    pub(crate) no_worker: bool,
    /// Start no scheduled work in this process
    #[arg(long)]
    pub(crate) no_scheduler: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Every key with its value and where that came from
    Show,
    /// Exit 0 when the configuration is good
    Check,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Make the first workspace with its owner; works once and prints JSON
    Bootstrap {
        /// The workspace's name
        #[arg(long)]
        workspace: String,
        /// The owner's e-mail address
        #[arg(long)]
        email: String,
        /// The owner's name; default: the part before the @
        #[arg(long)]
        name: Option<String>,
        /// Read the owner's password from standard input
        #[arg(long, required = true)]
        password_stdin: bool,
        /// Make an API token with these capabilities, comma-separated; `all` for everything
        #[arg(long, value_delimiter = ',', value_name = "CAPABILITIES")]
        token_capabilities: Vec<String>,
    },
    /// Who may sign in at the identity provider
    #[command(subcommand)]
    Identity(IdentityCommand),
    /// The second factor of local accounts
    #[command(subcommand)]
    SecondFactor(SecondFactorCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecondFactorCommand {
    /// Turn it off for somebody who has lost it; ends their sessions
    Off {
        /// Their e-mail address
        #[arg(long)]
        email: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SimCommand {
    /// Serve the simulated Graph and its login host
    Serve {
        /// Where clients reach it
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: std::net::SocketAddr,
        /// A folder of exported objects for the first tenant
        #[arg(long)]
        corpus: Option<PathBuf>,
        /// How many tenants
        #[arg(long, default_value_t = 1)]
        tenants: u16,
        /// Multiplies the generated objects
        #[arg(long, default_value_t = 1)]
        scale: u32,
        /// Generate only this type, so many of it: `--type deviceConfiguration=1000`; may be repeated
        #[arg(long = "type", value_name = "KEY=COUNT", value_parser = key_and_count)]
        types: Vec<(String, u32)>,
        /// Decides what is generated
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Milliseconds that each Graph request takes
        #[arg(long, default_value_t = 0)]
        latency_ms: u64,
        /// Refuse as Graph does what comes too fast, in windows so many times shorter than its own
        #[arg(long, value_name = "SPEED")]
        throttle: Option<f64>,
        /// Faults from a JSON file
        #[arg(long, value_name = "FILE")]
        faults: Option<PathBuf>,
        /// Write what a correct client must find in the first tenant
        #[arg(long, value_name = "FILE")]
        expected: Option<PathBuf>,
    },
}

fn key_and_count(text: &str) -> Result<(String, u32), String> {
    let pair = text.split_once('=').and_then(|(key, count)| Some((key, count.parse().ok()?)));
    pair.map(|(key, count)| (key.to_owned(), count)).ok_or_else(|| "expected KEY=COUNT".to_owned())
}

#[derive(Debug, Subcommand)]
pub(crate) enum ContractsCommand {
    /// All policy types
    List(OutputArgs),
    /// One contract
    Show {
        /// The policy type's key
        key: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Exit 0 when all contracts are good
    Check {
        /// Hold them against Microsoft's property lists in this JSON file as well
        #[arg(long, value_name = "FILE")]
        csdl: Option<PathBuf>,
    },
}

#[derive(Clone, Debug, Args)]
pub(crate) struct OutputArgs {
    /// How the answer is written
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Table,
    Json,
    Jsonl,
    Csv,
    Name,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ServerArgs {
    /// The server; default `TENANTPILOT_SERVER`, else <http://127.0.0.1:8080>
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// A file with the API token; default `TENANTPILOT_TOKEN`
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct TenantArgs {
    /// The tenant's slug or id; default `TENANTPILOT_TENANT`
    #[arg(short, long, value_name = "TENANT")]
    pub(crate) tenant: Option<String>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct WaitArgs {
    /// Give up waiting after this many seconds; the run goes on (exit 124)
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunCommand {
    /// Runs of a tenant, newest first
    List {
        #[command(flatten)]
        tenant: TenantArgs,
        /// queued, running or completed
        #[arg(long)]
        status: Vec<String>,
        /// succeeded, `partially_succeeded`, failed, blocked or canceled
        #[arg(long)]
        outcome: Vec<String>,
        /// A kind, such as inventory.sync
        #[arg(long)]
        kind: Vec<String>,
        /// At most so many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// One run
    View {
        /// The run's id
        run: String,
        #[command(flatten)]
        tenant: TenantArgs,
    },
    /// Follow a run to its end; the exit code tells the outcome
    Watch {
        /// The run's id
        run: String,
        #[command(flatten)]
        tenant: TenantArgs,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Cancel a run: at once when queued, at the next item when running
    Cancel {
        /// The run's id
        run: String,
        #[command(flatten)]
        tenant: TenantArgs,
    },
    /// Start a new run for what failed of an old one: tenantpilot run retry RUN --only failed
    Retry {
        /// The old run's id
        run: String,
        #[command(flatten)]
        tenant: TenantArgs,
        /// What is done again
        #[arg(long, value_enum, default_value_t = RetryOnly::Failed)]
        only: RetryOnly,
        /// Follow it to its end
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        waiting: WaitArgs,
    },
    /// Start a run: tenantpilot run start inventory.sync -t contoso --wait
    Start {
        /// The kind
        kind: String,
        #[command(flatten)]
        tenant: TenantArgs,
        /// The inputs as JSON
        #[arg(long, value_name = "JSON", default_value = "{}")]
        inputs: String,
        /// Follow it to its end
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        waiting: WaitArgs,
    },
}

/// What of an old run is done again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RetryOnly {
    Failed,
    All,
}

/// Where schedules are.
#[derive(Clone, Debug, Args)]
pub(crate) struct PlaceArgs {
    /// Of the workspace, not of a tenant
    #[arg(long)]
    pub(crate) workspace: bool,
    #[command(flatten)]
    pub(crate) tenant: TenantArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// Schedules with their next times
    List {
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Make a schedule: tenantpilot schedule create -t contoso --name Nightly --cron "30 2 * * *" --zone Europe/Berlin
    Create {
        #[command(flatten)]
        place: PlaceArgs,
        /// Name for people
        #[arg(long)]
        name: String,
        /// What it starts
        #[arg(long, default_value = "inventory.sync")]
        kind: String,
        /// Five fields: minute hour day-of-month month day-of-week
        #[arg(long, value_name = "PATTERN")]
        cron: String,
        /// An IANA time zone
        #[arg(long, default_value = "UTC")]
        zone: String,
        /// What is done with slots missed in an outage: once, skip or all
        #[arg(long, default_value = "once")]
        catch_up: String,
    },
    /// Start now what the next slot would start
    Run {
        /// The schedule's id
        schedule: String,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Start nothing until it is resumed
    Pause {
        /// The schedule's id
        schedule: String,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Go on
    Resume {
        /// The schedule's id
        schedule: String,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Delete it; its runs stay
    Delete {
        /// The schedule's id
        schedule: String,
        #[command(flatten)]
        place: PlaceArgs,
    },
}
