//! TRUST A40: addresses of this machine and its surroundings, in every spelling.

use tp_egress::{EgressError, EgressRequest};
use url::Url;

use crate::world::{Lies, Listener, egress, options};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

/// `P` stands for the port of the traps. Names mean `127.0.0.1` and `::1` here, whatever they say.
const SPELLINGS: [&str; 76] = [
    // This machine, as it is.
    "https://127.0.0.1:P/",
    "http://127.0.0.1:P/",
    "https://127.0.0.2:P/",
    "https://127.255.255.254:P/",
    "https://localhost:P/",
    "http://localhost:P/",
    "https://LOCALHOST:P/",
    "https://localhost.:P/",
    "https://[::1]:P/",
    "http://[::1]:P/",
    "https://[0:0:0:0:0:0:0:1]:P/",
    "https://[0000::0001]:P/",
    "https://0.0.0.0:P/",
    "https://[::]:P/",
    "https://0:P/",
    // Shorter, decimal, octal, hexadecimal.
    "https://127.1:P/",
    "https://127.0.1:P/",
    "https://2130706433:P/",
    "https://0x7f.0.0.0x1:P/",
    "https://017700000001:P/",
    "https://0x7f000001:P/",
    "https://0X7F000001:P/",
    "https://0x7f.1:P/",
    "https://0x7f.0x0.0x0.0x1:P/",
    "https://0177.0.0.1:P/",
    "https://0177.0.0.01:P/",
    "https://00000177.0.0.1:P/",
    "https://127.0x0.0.1:P/",
    "https://4294967297:P/",
    // Percent, full width, circled digits, other dots.
    "https://%31%32%37.0.0.1:P/",
    "https://127%2e0%2e0%2e1:P/",
    "https://127。0。0。1:P/",
    "https://127．0．0．1:P/",
    "https://１２７.0.0.1:P/",
    "https://①②⑦.⓪.⓪.①:P/",
    "https://ｌｏｃａｌｈｏｓｔ:P/",
    "https://loc\u{ad}alhost:P/",
    // With a user before the host, with backslashes, tabs and line ends.
    "https://example.com@127.0.0.1:P/",
    "https://example.com:443@127.0.0.1:P/",
    "https://user:password@example.com:P/",
    "https://example.com%40127.0.0.1:P/",
    "https://example.com\\@127.0.0.1:P/",
    "https://127.0.0.1:P\\@example.com/",
    "https:\\\\127.0.0.1:P/",
    "https:127.0.0.1:P/",
    "https:///127.0.0.1:P/",
    "ht\ntps://127.0.\t0.1:P/",
    "  https://127.0.0.1:P/  ",
    // An IPv4 address inside an IPv6 one.
    "https://[::ffff:127.0.0.1]:P/",
    "https://[::ffff:7f00:1]:P/",
    "https://[0:0:0:0:0:ffff:127.0.0.1]:P/",
    "https://[::127.0.0.1]:P/",
    "https://[64:ff9b::127.0.0.1]:P/",
    "https://[64:ff9b:1::7f00:1]:P/",
    "https://[2002:7f00:1::]:P/",
    "https://[2001:0:7f00:1::]:P/",
    "https://[fe80::1%25lo]:P/",
    "https://[fe80::1]:P/",
    // Metadata services of clouds.
    "https://169.254.169.254:P/latest/meta-data/",
    "https://[::ffff:169.254.169.254]:P/",
    "https://[fd00:ec2::254]:P/",
    "https://2852039166:P/",
    "https://0xa9fea9fe:P/",
    "https://0251.0376.0251.0376:P/",
    "https://168.63.129.16:P/",
    "https://100.100.100.200:P/",
    "https://192.0.0.192:P/",
    // Networks of one's own.
    "https://10.0.0.1:P/",
    "https://172.16.0.1:P/",
    "https://192.168.0.1:P/",
    "https://[fd12:3456:789a::1]:P/",
    // Names that lead here.
    "https://rebind.example:P/",
    "https://127.0.0.1.nip.example:P/",
    "https://foo.localhost:P/",
    // Other schemes.
    "ftp://127.0.0.1:P/",
    "file:///etc/passwd",
];

#[tokio::test]
async fn no_spelling_of_an_inner_address_is_connected_to() {
    let trap = Listener::new(OK).await;
    let port = trap.address.port();
    let trap6 = Listener::at(&format!("[::1]:{port}"), OK).await;
    let lies = Lies::new(&[&["127.0.0.1", "::1"]]);
    let door = egress(options(&[], &[443, port]), lies);
    let mut refused = 0;
    for spelling in SPELLINGS {
        let text = spelling.replace(":P", &format!(":{port}"));
        let Ok(url) = text.parse::<Url>() else {
            refused += 1;
            continue;
        };
        let error = door.send(EgressRequest::get(url, 1024)).await.unwrap_err();
        // Never "unreachable": that would mean that it was tried.
        let is_refused = matches!(
            error,
            EgressError::BadAddress | EgressError::AddressNotAllowed | EgressError::PortNotAllowed
        );
        assert!(is_refused, "{spelling:?}: {error:?}");
        refused += 1;
    }
    // The control: the traps do count, and what was connected before would have been counted before.
    let declared = egress(options(&[trap.url(), trap6.url()], &[]), Lies::new(&[&[]]));
    for trap in [&trap, &trap6] {
        assert_eq!(trap.count(), 0);
        let reply = declared.send(EgressRequest::get(trap.url(), 1024)).await.unwrap();
        assert_eq!((reply.status, trap.count()), (200, 1));
    }
    assert_eq!(refused, SPELLINGS.len());
    println!("A40: {refused} spellings refused, 0 connections at the traps");
}

#[tokio::test]
async fn one_inner_address_among_outer_ones_spoils_the_name() {
    let trap = Listener::new(OK).await;
    let port = trap.address.port();
    for answers in [
        &["1.1.1.1", "127.0.0.1"][..],
        &["127.0.0.1", "1.1.1.1"],
        &["2606:4700::1111", "fe80::1"],
        &["1.1.1.1", "::ffff:1.1.1.1"],
        &[],
    ] {
        let door = egress(options(&[], &[port]), Lies::new(&[answers]));
        let url = format!("https://mixed.example:{port}/").parse().unwrap();
        let error = door.send(EgressRequest::get(url, 1024)).await.unwrap_err();
        assert_eq!(error, EgressError::AddressNotAllowed, "{answers:?}");
    }
    assert_eq!(trap.count(), 0);
}

/// The address that was checked is the one that is connected to: a name is looked up once per connection.
#[tokio::test]
async fn a_name_that_changes_between_two_looks_changes_nothing() {
    let good = Listener::new(OK).await;
    let port = good.address.port();
    let trap = Listener::at(&format!("127.0.0.2:{port}"), OK).await;
    let lies = Lies::new(&[&["127.0.0.1"], &["127.0.0.2"], &["10.0.0.1"]]);
    let own: Url = format!("http://localhost:{port}/").parse().unwrap();
    let door = egress(options(std::slice::from_ref(&own), &[]), lies.clone());
    door.send(EgressRequest::get(own.clone(), 1024)).await.unwrap();
    assert_eq!((lies.asked(), good.count(), trap.count()), (1, 1, 0), "one look, one connection");
    // The second request looks anew (no connection is kept), and is checked anew.
    door.send(EgressRequest::get(own.clone(), 1024)).await.unwrap();
    assert_eq!((lies.asked(), good.count(), trap.count()), (2, 1, 1));
    let error = door.send(EgressRequest::get(own, 1024)).await.unwrap_err();
    assert_eq!((error, lies.asked()), (EgressError::AddressNotAllowed, 3));
}
