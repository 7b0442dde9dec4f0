//! Where an object lies. Ids and digests only: no name of a policy, a tenant or a person is in it.

use object_store::path::Path;
use tp_domain::ids::{CopyId, TenantId};
use tp_domain::payload::PayloadAddress;

/// The name of one stored object.
///
/// The same payload may be stored again under another copy id, but a copy id is never used for another
/// object: whoever deletes an object by its name can delete no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// The tenant.
    pub tenant: TenantId,
    /// The address of the content.
    pub address: PayloadAddress,
    /// Which stored copy of it.
    pub copy: CopyId,
}

/// The folder that all objects are below.
pub(crate) const ROOT: &str = "v1";

impl ObjectName {
    /// `v1/{tenant}/{two digits}/{address}-{copy}`: 256 folders per tenant keep each listing short.
    pub(crate) fn path(&self) -> Path {
        let address = self.address.to_string();
        let copy = self.copy.uuid().simple();
        Path::from_iter([
            ROOT,
            &self.tenant.to_string(),
            &address[..2],
            &format!("{address}-{copy}"),
        ])
    }

    /// Reads a path; none when it is not exactly what [`ObjectName::path`] writes.
    pub(crate) fn of_path(path: &Path) -> Option<Self> {
        let mut parts = path.parts().skip(1);
        let (tenant, _, file) = (parts.next()?, parts.next()?, parts.next()?);
        let (address, copy) = file.as_ref().split_once('-')?;
        let name = Self {
            tenant: tenant.as_ref().parse().ok()?,
            address: address.parse().ok()?,
            copy: copy.parse().ok()?,
        };
        (name.path() == *path).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written_and_nothing_else_is() {
        let name = ObjectName {
            tenant: TenantId::from_uuid(Uuid::from_u128(1)),
            address: PayloadAddress::new([0xAB; 32]),
            copy: CopyId::from_uuid(Uuid::from_u128(2)),
        };
        let path = name.path();
        assert_eq!(ObjectName::of_path(&path), Some(name));
        let text = path.to_string();
        for other in [
            text.replace("/ab/", "/ac/"),
            text.to_uppercase(),
            format!("{text}0"),
            text.replacen("v1", "v2", 1),
            format!("{text}/x"),
            "v1".to_owned(),
        ] {
            assert_eq!(ObjectName::of_path(&Path::from(other.as_str())), None, "{other}");
        }
    }
}
