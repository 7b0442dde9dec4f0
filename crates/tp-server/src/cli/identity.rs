//! `tenantpilot admin identity`.

use clap::{Args, Subcommand};
use uuid::Uuid;

/// Who says who somebody is.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct AuthorityArgs {
    /// A Microsoft Entra tenant, by its id
    #[arg(long, value_name = "ID")]
    pub(crate) entra_tenant: Option<Uuid>,
    /// Another issuer, as it names itself
    #[arg(long, value_name = "URL")]
    pub(crate) issuer: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IdentityCommand {
    /// Let an account sign in with an identity of the provider
    Link {
        /// The account's e-mail address
        #[arg(long)]
        email: String,
        #[command(flatten)]
        authority: AuthorityArgs,
        /// Whom it means there: the object id at Microsoft Entra, else the word "sub" of its tokens
        #[arg(long)]
        subject: String,
    },
    /// Make everybody whom this authority vouches for a member when they sign in for the first time
    Rule {
        /// The workspace, by id or name; needed where there are several
        #[arg(long)]
        workspace: Option<String>,
        #[command(flatten)]
        authority: AuthorityArgs,
        /// As what; `none` ends the rule, and members stay members
        #[arg(long, value_parser = ["operator", "reader", "none"])]
        role: String,
    },
}
