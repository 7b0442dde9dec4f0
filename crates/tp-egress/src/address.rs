//! Which addresses of the network may be connected to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// What an address is, as far as connecting to it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressClass {
    /// Anybody's on the internet.
    Public,
    /// Of a network of one's own: allowed for hosts that the operator names.
    Private,
    /// This machine: allowed for origins that the operator declares.
    Loopback,
    /// Never: link-local, metadata services, multicast, translations of other addresses, reserved.
    Never,
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(a: u16, b: u16, c: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

/// RFC 1918, RFC 6598 (shared address space of providers).
const PRIVATE_V4: [Ipv4Net; 4] =
    [v4(10, 0, 0, 0, 8), v4(172, 16, 0, 0, 12), v4(192, 168, 0, 0, 16), v4(100, 64, 0, 0, 10)];

/// The IANA registry of special-purpose IPv4 addresses without the private and loopback ones, and the
/// metadata services of clouds that lie elsewhere.
const NEVER_V4: [Ipv4Net; 12] = [
    v4(0, 0, 0, 0, 8),
    v4(169, 254, 0, 0, 16),
    v4(192, 0, 0, 0, 24),
    v4(192, 0, 2, 0, 24),
    v4(192, 88, 99, 0, 24),
    v4(198, 18, 0, 0, 15),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    v4(224, 0, 0, 0, 4),
    v4(240, 0, 0, 0, 4),
    // Azure's wire server, and Alibaba Cloud's metadata service inside the shared space.
    v4(168, 63, 129, 16, 32),
    v4(100, 100, 100, 200, 32),
];

/// Addresses that are given to somebody (RFC 4291); all others are not public.
const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 0, 3);

/// Of those: Teredo and other protocol assignments, documentation, 6to4.
const NEVER_V6: [Ipv6Net; 4] =
    [v6(0x2001, 0, 0, 23), v6(0x2001, 0xdb8, 0, 32), v6(0x2002, 0, 0, 16), v6(0x3fff, 0, 0, 20)];

/// Unique local addresses (RFC 4193).
const PRIVATE_V6: Ipv6Net = v6(0xfc00, 0, 0, 7);

/// The metadata service of Amazon's cloud.
const METADATA_V6: Ipv6Net = v6(0xfd00, 0xec2, 0, 32);

/// What this address is. An IPv6 address that stands for an IPv4 one (mapped, NAT64, 6to4, Teredo) is
/// never taken: nobody needs it, and it hides where it leads.
pub fn class_of(address: IpAddr) -> AddressClass {
    match address {
        IpAddr::V4(address) => {
            let within = |nets: &[Ipv4Net]| nets.iter().any(|net| net.contains(&address));
            if address.is_loopback() {
                AddressClass::Loopback
            } else if within(&NEVER_V4) {
                AddressClass::Never
            } else if within(&PRIVATE_V4) {
                AddressClass::Private
            } else {
                AddressClass::Public
            }
        }
        IpAddr::V6(address) => {
            if address.is_loopback() {
                AddressClass::Loopback
            } else if METADATA_V6.contains(&address) {
                AddressClass::Never
            } else if PRIVATE_V6.contains(&address) {
                AddressClass::Private
            } else if GLOBAL_V6.contains(&address)
                && !NEVER_V6.iter().any(|net| net.contains(&address))
            {
                AddressClass::Public
            } else {
                AddressClass::Never
            }
        }
    }
}

/// Reads the host of a URL as an address, if it is one.
pub(crate) fn literal(host: &url::Host<&str>) -> Option<IpAddr> {
    match host {
        url::Host::Ipv4(address) => Some(IpAddr::V4(*address)),
        url::Host::Ipv6(address) => Some(IpAddr::V6(*address)),
        url::Host::Domain(_) => None,
    }
}

/// All ranges that are never connected to, for the documentation's test.
#[doc(hidden)]
pub fn never() -> Vec<IpNet> {
    NEVER_V4.iter().copied().map(IpNet::V4).chain(NEVER_V6.iter().copied().map(IpNet::V6)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_has_its_class() {
        use AddressClass::{Loopback, Never, Private, Public};
        for (text, class) in [
            ("1.1.1.1", Public),
            ("172.15.255.255", Public),
            ("172.32.0.0", Public),
            ("100.63.255.255", Public),
            ("100.128.0.0", Public),
            ("2606:4700::1111", Public),
            ("2a00:1450:4001:81b::200e", Public),
            ("127.0.0.1", Loopback),
            ("127.255.255.254", Loopback),
            ("::1", Loopback),
            ("10.0.0.1", Private),
            ("172.16.0.1", Private),
            ("172.31.255.255", Private),
            ("192.168.1.1", Private),
            ("100.64.0.1", Private),
            ("fd12:3456::1", Private),
            ("0.0.0.0", Never),
            ("0.1.2.3", Never),
            ("169.254.169.254", Never),
            ("168.63.129.16", Never),
            ("100.100.100.200", Never),
            ("192.0.0.192", Never),
            ("192.88.99.1", Never),
            ("198.18.0.1", Never),
            ("224.0.0.1", Never),
            ("239.255.255.255", Never),
            ("255.255.255.255", Never),
            ("240.0.0.1", Never),
            ("::", Never),
            ("::127.0.0.1", Never),
            ("::ffff:127.0.0.1", Never),
            ("::ffff:1.1.1.1", Never),
            ("64:ff9b::7f00:1", Never),
            ("64:ff9b:1::7f00:1", Never),
            ("100::1", Never),
            ("2002:7f00:1::", Never),
            ("2001::7f00:1", Never),
            ("2001:db8::1", Never),
            ("3fff::1", Never),
            ("fe80::1", Never),
            ("fec0::1", Never),
            ("ff02::1", Never),
            ("fd00:ec2::254", Never),
            ("4000::1", Never),
        ] {
            assert_eq!(class_of(text.parse().unwrap()), class, "{text}");
        }
    }

    #[test]
    fn every_range_that_is_never_connected_to_is_refused_at_both_ends() {
        for net in never() {
            for address in [net.network(), net.broadcast()] {
                assert_eq!(class_of(address), AddressClass::Never, "{address} of {net}");
            }
        }
    }
}
