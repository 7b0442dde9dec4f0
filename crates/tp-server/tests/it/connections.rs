//! The way to a connection by the command line alone: a key pair, consent, a check, a rotation.

use serde_json::json;
use tp_client::Client;

use crate::process::{Installation, database_urls, run};

struct Shell {
    environment: Vec<(String, String)>,
}

impl Shell {
    /// Runs a verb and gives its exit code, its data and its talk.
    fn verb(&self, args: &[&str], input: &str) -> (i32, String, String) {
        let done = run(args, &self.environment, input);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (done.status.code().unwrap_or(-1), text(&done.stdout), text(&done.stderr))
    }

    fn good(&self, args: &[&str], input: &str) -> String {
        let (code, out, talk) = self.verb(args, input);
        assert_eq!(code, 0, "{args:?}: {out} {talk}");
        out
    }

    fn fact(&self, name: &str) -> String {
        let out = self.good(&["tenant", "connection", "-o", "csv"], "");
        let line = out.lines().find(|line| line.starts_with(&format!("{name},")));
        line.unwrap_or_default().split_once(',').map_or("", |(_, value)| value).to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_is_connected_by_the_command_line() {
    for database in database_urls().await {
        let installation = Installation::new(database.as_deref(), 0, None);
        let _server = installation.serve(&["serve"]).await;
        let sim = Client::new(&installation.sim, None).unwrap();
        let tenant = sim.get("/__sim/tenants").await.unwrap()["tenants"][0].clone();
        let text = |name: &str| tenant[name].as_str().unwrap().to_owned();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let shell = Shell {
            environment: vec![
                pair("TENANTPILOT_SERVER", &installation.url()),
                pair("TENANTPILOT_TOKEN", &installation.token),
                pair("TENANTPILOT_TENANT", "contoso"),
            ],
        };
        let (id, client, secret) = (text("id"), text("client_id"), text("client_secret"));
        shell.good(
            &[
                "tenant",
                "add",
                "--name",
                "Contoso",
                "--slug",
                "contoso",
                "--entra-tenant-id",
                &id,
                "--cloud",
                "sim",
            ],
            "",
        );
        let (code, _, talk) = shell.verb(&["tenant", "check", "--wait"], "");
        assert_eq!(code, 3, "blocked: nothing to sign in with: {talk}");
        assert!(shell.fact("sign-in").contains("credential_missing"));
        let pem = shell.good(&["tenant", "certificate", "make", "--client-id", &client], "");
        assert!(pem.starts_with("-----BEGIN CERTIFICATE-----") && !pem.contains("PRIVATE"));
        assert_eq!(shell.good(&["tenant", "certificate", "show"], ""), pem);
        shell.good(&["tenant", "certificate", "use"], "");
        let (code, _, talk) = shell.verb(&["tenant", "check", "--wait"], "");
        assert_eq!(code, 3, "{talk}");
        assert!(shell.fact("sign-in").contains("credential_invalid"), "not registered yet");
        let control = format!("{}/__sim/tenants/{id}", installation.sim);
        let body = json!({"certificates": [pem]}).to_string();
        let http = reqwest::Client::builder().build().unwrap();
        assert!(http.put(control).body(body).send().await.unwrap().status().is_success());
        shell.good(&["tenant", "check", "--wait"], "");
        assert_eq!(shell.fact("sign-in"), "yes");
        assert_eq!(shell.fact("credential"), "certificate");
        assert_eq!(shell.fact("access"), "read only");
        let permissions = shell.good(&["tenant", "permissions", "-o", "csv"], "");
        assert!(permissions.contains("DeviceManagementConfiguration.Read.All,granted,backup"));
        let capabilities = shell.good(&["capabilities", "-t", "contoso"], "");
        assert!(capabilities.contains("works"), "{capabilities}");
        let link = shell.good(&["tenant", "consent-link"], "");
        assert!(link.contains("/v2.0/adminconsent?client_id="), "{link}");
        assert!(link.contains("%2Fconsent%2Fcallback"), "{link}");

        let end = "2999-01-31T00:00:00Z";
        let args = ["tenant", "credential", "--client-secret-file", "-", "--expires-at", end];
        let said = shell.good(&args, &format!("{secret}\n"));
        assert!(!said.contains(&secret));
        assert!(shell.fact("credential ends").starts_with("2999-01-31"));
        shell.good(&["tenant", "check", "--wait"], "");
        let (code, _, talk) =
            shell.verb(&["tenant", "credential", "--certificate-file", "-"], &pem);
        assert_eq!(code, 2, "{talk}");
        assert!(talk.contains("the private key is missing"), "{talk}");
        let (code, _, talk) = shell.verb(&["tenant", "credential"], "");
        assert_eq!(code, 2, "{talk}");
        shell.good(&["run", "start", "inventory.sync", "--wait"], "");
    }
}
