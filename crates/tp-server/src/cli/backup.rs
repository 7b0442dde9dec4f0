//! The `backup` and `policy` verbs.

use std::path::PathBuf;

use clap::Subcommand;

use super::{OutputArgs, TenantArgs, WaitArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Backup sets of a tenant, newest first
    List {
        #[command(flatten)]
        tenant: TenantArgs,
        /// At most so many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// One set: how complete it is for each policy type, or with --policies what became of each policy
    View {
        /// The set's number
        #[arg(value_name = "NUMBER")]
        set: u64,
        #[command(flatten)]
        tenant: TenantArgs,
        /// Its policies instead of its types
        #[arg(long)]
        policies: bool,
        /// Of its policies only those that are captured, unchanged or failed
        #[arg(long, requires = "policies")]
        state: Option<String>,
        /// At most so many policies
        #[arg(long, default_value_t = 1_000)]
        limit: usize,
    },
    /// Back up a tenant: tenantpilot backup create -t contoso --wait
    Create {
        #[command(flatten)]
        tenant: TenantArgs,
        /// Only this policy type; may be repeated
        #[arg(long = "type", value_name = "KEY", conflicts_with = "policies")]
        types: Vec<String>,
        /// Only the policy of this id; may be repeated
        #[arg(long = "policy", value_name = "ID")]
        policies: Vec<String>,
        /// Leave out what policies refer to: filters, scope tags, notification templates
        #[arg(long, conflicts_with = "policies")]
        no_foundations: bool,
        /// A note beside the set
        #[arg(long)]
        note: Option<String>,
        /// Follow it to its end
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        waiting: WaitArgs,
    },
    /// Export a set into a zip file and check it: tenantpilot backup export 12 -t contoso --to 12.zip
    Export {
        /// The set's number
        #[arg(value_name = "NUMBER")]
        set: u64,
        #[command(flatten)]
        tenant: TenantArgs,
        /// The file to write; an existing one is not replaced
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        #[command(flatten)]
        waiting: WaitArgs,
    },
    /// Make a backup set of an archive of this tenant, or of the zipped folder of another backup tool
    Import {
        /// The zip file
        file: PathBuf,
        #[command(flatten)]
        tenant: TenantArgs,
        /// Follow it to its end
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        waiting: WaitArgs,
    },
    /// Check an exported backup without a server; exit 0 when it is what was exported, 3 when not
    VerifyArchive {
        /// The zip file
        file: PathBuf,
        /// The root hash that it must have, as the export printed it
        #[arg(long, value_name = "SHA256")]
        root: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Policies of a tenant
    List {
        #[command(flatten)]
        tenant: TenantArgs,
        /// A policy type's key
        #[arg(long = "type")]
        types: Vec<String>,
        /// Part of the name
        #[arg(long)]
        query: Option<String>,
        /// Only those that the latest complete sync did not see
        #[arg(long)]
        missing: bool,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// The versions of a policy, newest first
    Versions {
        /// The policy's id, as `policy list` shows it
        policy: String,
        #[command(flatten)]
        tenant: TenantArgs,
        /// At most so many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// What differs between two versions; without numbers, what the newest one changed
    Diff {
        /// The policy's id, as `policy list` shows it
        policy: String,
        #[command(flatten)]
        tenant: TenantArgs,
        /// The older version's number; default: the one before --to
        #[arg(long, value_name = "NUMBER")]
        from: Option<u64>,
        /// The newer version's number, or live for the newest capture; default: the newest
        #[arg(long, value_name = "NUMBER|live", default_value = "live")]
        to: String,
        /// Exit 9 when something differs
        #[arg(long)]
        exit_code: bool,
    },
    /// What a version holds, as exact JSON: type, object, assignments
    Export {
        /// The policy's id, as `policy list` shows it
        policy: String,
        #[command(flatten)]
        tenant: TenantArgs,
        /// The version's number; default: the newest
        #[arg(long, value_name = "NUMBER")]
        number: Option<u64>,
        /// Write it to this file, which must not be there yet
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
}
