//! The `tenant` verbs: tenants of a server, and how they are reached.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{ServerArgs, TenantArgs, WaitArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum TenantCommand {
    /// The tenants that one may see
    List {
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Add a tenant
    Add {
        #[command(flatten)]
        server: ServerArgs,
        /// Name for people
        #[arg(long)]
        name: String,
        /// Name in addresses: a-z, 0-9 and -
        #[arg(long)]
        slug: String,
        /// Its id in Microsoft Entra
        #[arg(long, value_name = "UUID")]
        entra_tenant_id: String,
        /// global, usgov, dod, china or one from the configuration
        #[arg(long, default_value = "global")]
        cloud: String,
        /// The app registration
        #[arg(long, value_name = "UUID", requires = "credential")]
        client_id: Option<String>,
        #[command(flatten)]
        credential: CredentialArgs,
    },
    /// How a tenant is reached, and what the latest check found
    Connection {
        #[command(flatten)]
        tenant: TenantArgs,
    },
    /// The app's permissions: granted, missing, more than needed, and what each is for
    Permissions {
        #[command(flatten)]
        tenant: TenantArgs,
    },
    /// Check the connection: sign in, consent, permissions, licence, approvals
    Check {
        #[command(flatten)]
        tenant: TenantArgs,
        /// Wait until it has ended
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        waiting: WaitArgs,
    },
    /// Replace the client secret or the certificate
    Credential {
        #[command(flatten)]
        tenant: TenantArgs,
        /// The app registration, if it is another one
        #[arg(long, value_name = "UUID")]
        client_id: Option<String>,
        #[command(flatten)]
        credential: CredentialArgs,
    },
    /// A key pair that is made by the server: its private key never leaves it
    #[command(subcommand)]
    Certificate(CertificateCommand),
    /// The link by which an administrator of the tenant consents to the app
    ConsentLink {
        #[command(flatten)]
        tenant: TenantArgs,
    },
}

/// What an app registration proves itself with. Never an argument: arguments are seen by others.
#[derive(Clone, Debug, Args)]
#[group(id = "credential", multiple = true)]
pub(crate) struct CredentialArgs {
    /// A file with the client secret; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "certificate_file")]
    pub(crate) client_secret_file: Option<PathBuf>,
    /// When the secret ends, such as 2027-01-31T00:00:00Z; Microsoft does not tell
    #[arg(long, value_name = "TIME", requires = "client_secret_file")]
    pub(crate) expires_at: Option<String>,
    /// A file with a certificate and its private key in PEM form; - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CertificateCommand {
    /// Make a key pair and print its certificate; it is not signed in with yet
    Make {
        #[command(flatten)]
        tenant: TenantArgs,
        /// The app registration, where the tenant has none yet
        #[arg(long, value_name = "UUID")]
        client_id: Option<String>,
    },
    /// Print the certificate that waits, or with --active the one in use
    Show {
        #[command(flatten)]
        tenant: TenantArgs,
        /// The one in use
        #[arg(long)]
        active: bool,
    },
    /// Sign in with it from now on, once the app registration knows it
    Use {
        #[command(flatten)]
        tenant: TenantArgs,
    },
    /// Throw it away
    Discard {
        #[command(flatten)]
        tenant: TenantArgs,
    },
}
