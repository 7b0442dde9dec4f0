//! How an estate is put together: the first tenant from a corpus or a seed, the others from the seed.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::routes::Route;
use crate::schema::Schema;
use crate::server::SimError;
use crate::state::{Estate, SimTenant, algorithms, licences};
use crate::{corpus, generate};

/// What the estate is made of.
#[derive(Clone, Debug)]
pub struct EstatePlan {
    /// A folder with `index.json` and exported objects; the first tenant gets all of them.
    pub corpus: Option<PathBuf>,
    /// How many tenants.
    pub tenants: usize,
    /// Multiplies the generated objects.
    pub scale: u32,
    /// Decides everything that is generated.
    pub seed: u64,
}

const NAMES: [&str; 12] = [
    "Contoso",
    "Fabrikam",
    "Northwind",
    "Adatum",
    "Litware",
    "Proseware",
    "Tailspin",
    "Wingtip",
    "Woodgrove",
    "Lamna",
    "Relecloud",
    "Trey",
];

/// A UUID that follows from the seed and a name.
pub(crate) fn seeded(seed: u64, name: &str) -> Uuid {
    let namespace = Uuid::from_u64_pair(seed, 0x5449_5053_494d_0001);
    Uuid::new_v5(&namespace, name.as_bytes())
}

/// A text that follows from the seed: repeatable for tests, of use to nobody else.
fn secret(seed: u64, name: &str) -> String {
    let digest = Sha256::digest(format!("{seed}/{name}/secret"));
    URL_SAFE_NO_PAD.encode(&digest[..24])
}

pub(crate) fn build(
    plan: &EstatePlan,
    types: &BTreeMap<String, u32>,
    routes: &[Route],
    schema: &Schema,
) -> Result<Estate, SimError> {
    let mut estate = Estate::default();
    let mut permissions: Vec<String> = routes
        .iter()
        .filter(|route| !route.delegated_only)
        .flat_map(|route| route.permissions.clone())
        .collect();
    permissions.sort();
    permissions.dedup();
    for number in 0..plan.tenants.max(1) {
        let base = NAMES[number % NAMES.len()];
        let round = number / NAMES.len();
        let name = if round == 0 { base.to_owned() } else { format!("{base} {}", round + 1) };
        let slug = name.to_lowercase().replace(' ', "-");
        let mut tenant = SimTenant {
            id: seeded(plan.seed, &format!("tenant/{slug}")),
            domain: format!("{slug}.onmicrosoft.example"),
            display_name: name,
            client_id: seeded(plan.seed, &format!("app/{slug}")),
            client_secret: secret(plan.seed, &slug),
            permissions: permissions.clone(),
            secret_expired: false,
            consented: true,
            certificates: Vec::new(),
            algorithms: algorithms(),
            protected: Vec::new(),
            token_lifetime_s: None,
            new_objects_hidden_ms: 0,
            licences: licences(),
            collections: BTreeMap::new(),
            approvals: Vec::new(),
            audit: Vec::new(),
            made: 0,
            definitions: BTreeMap::new(),
            hidden: HashMap::new(),
        };
        // Branding hangs below the organization, so that must be there first.
        add_organization(&mut tenant);
        match &plan.corpus {
            Some(folder) if number == 0 => {
                estate.files = corpus::load(folder, routes, &mut tenant, &mut estate.expected)?;
            }
            _ => {
                let mut expected = Vec::new();
                generate::fill(plan, types, (routes, schema), &mut tenant, &mut expected);
                if number == 0 {
                    estate.expected = expected;
                }
            }
        }
        estate.tenants.push(tenant);
    }
    estate.expected.sort();
    Ok(estate)
}

/// Every tenant has the one organization object that branding hangs below.
fn add_organization(tenant: &mut SimTenant) {
    let organization = serde_json::json!({
        "id": tenant.id, "displayName": tenant.display_name, "tenantType": "AAD",
        "createdDateTime": "2020-01-01T00:00:00Z", "countryLetterCode": "SE", "preferredLanguage": "en",
        "verifiedDomains": [{"name": tenant.domain, "isDefault": true, "isInitial": true, "type": "Managed", "capabilities": "Email"}],
        "assignedPlans": [], "provisionedPlans": [], "businessPhones": [],
        "mobileDeviceManagementAuthority": "intune",
    });
    tenant.collections.insert("/organization".to_owned(), vec![organization]);
}
