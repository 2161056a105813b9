//! A look at a member that gRPC does not offer: the certificate that it shows, the authorities that it accepts, its clock, and
//! whether large packets come through to it and back.
//!
//! One request over TLS, with mutual authentication as everywhere. The request carries a header of some packets' size and
//! asks for `/metrics`, which is longer still: where a tunnel drops what is larger than it says, the connection stands
//! and the answer never comes. The clock is the answer's `Date`. Which authorities a member accepts it says itself when it asks
//! for our certificate (RFC 8446, 4.3.2 and 4.2.4).

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, RootCertStore, SignatureScheme, StreamOwned};

use crate::error::Code;
use crate::{Credentials, Error};

/// How long the connection may take.
const CONNECT: Duration = Duration::from_secs(3);
/// How long each answer may take.
const ANSWER: Duration = Duration::from_secs(4);
/// More than two packets of the usual size, and of jumbo frames a good part.
const PADDING: usize = 4096;
/// As much of the answer is read: more than its headers and some packets.
const ENOUGH: usize = 16 << 10;

/// What a look at a member tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probe {
    /// The certificate that it shows, DER.
    pub certificate: Vec<u8>,
    /// The authorities whose certificates it takes from clients, as DER names; empty where it does not tell.
    pub accepts: Vec<Vec<u8>>,
    /// How many seconds its clock is ahead of ours, to a second; where it tells.
    pub clock_ahead: Option<i64>,
}

/// Whether somebody accepts connections at this URL.
pub(crate) fn connect(url: &str) -> Result<TcpStream, Error> {
    let unreachable = |detail: String| Error::Unreachable {
        endpoint: url.to_owned(),
        detail,
    };
    let (host, port) = host_and_port(url)?;
    let addresses = (host, port)
        .to_socket_addrs()
        .map_err(|e| unreachable(e.to_string()))?;
    let mut last = "the name has no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => return Ok(stream),
            Err(e) => last = e.to_string(),
        }
    }
    Err(unreachable(last))
}

pub(crate) fn probe(endpoint: &str, credentials: &Credentials) -> Result<Probe, Error> {
    let unusable = |e: &dyn std::fmt::Display| Error::Unusable(format!("{endpoint}: {e}"));
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(&credentials.ca) {
        let authority = authority.map_err(|e| unusable(&e))?;
        roots.add(authority).map_err(|e| unusable(&e))?;
    }
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&credentials.certificate)
        .collect::<Result<_, _>>()
        .map_err(|e| unusable(&e))?;
    let key = PrivateKeyDer::from_pem_slice(credentials.key.expose()).map_err(|e| unusable(&e))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let pair = CertifiedKey::from_der(chain, key, &provider).map_err(|e| unusable(&e))?;
    let shown = Arc::new(Shown {
        pair: Arc::new(pair),
        accepts: Mutex::default(),
    });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| unusable(&e))?
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::clone(&shown) as Arc<dyn ResolvesClientCert>);
    let (host, _) = host_and_port(endpoint)?;
    let name = match host.parse::<IpAddr>() {
        Ok(address) => ServerName::from(address),
        Err(_) => ServerName::try_from(host.to_owned()).map_err(|e| unusable(&e))?,
    };
    let connection = ClientConnection::new(Arc::new(config), name).map_err(|e| unusable(&e))?;
    let socket = connect(endpoint)?;
    for limit in [
        socket.set_read_timeout(Some(ANSWER)),
        socket.set_write_timeout(Some(ANSWER)),
    ] {
        limit.map_err(|e| unusable(&e))?;
    }
    let mut stream = StreamOwned::new(connection, socket);
    let answer = ask(&mut stream, host).map_err(|e| match e.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Error::Timeout {
            endpoint: endpoint.to_owned(),
            call: "request of several packets",
            limit: ANSWER,
        },
        ErrorKind::InvalidData => {
            Error::of_status(endpoint, "request", Code::Unavailable, &e.to_string())
        }
        _ => Error::Rejected {
            endpoint: endpoint.to_owned(),
            detail: e.to_string(),
        },
    })?;
    let certificate = stream
        .conn
        .peer_certificates()
        .and_then(|chain| chain.first())
        .map(|certificate| certificate.to_vec())
        .unwrap_or_default();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs().cast_signed());
    let accepts = shown.accepts.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Probe {
        certificate,
        accepts: accepts.clone(),
        clock_ahead: date(&answer).map(|theirs| theirs - now),
    })
}

/// Our pair, shown to whoever asks for it; and whom the one who asks says to accept.
#[derive(Debug)]
struct Shown {
    pair: Arc<CertifiedKey>,
    accepts: Mutex<Vec<Vec<u8>>>,
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, names: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let names = names.iter().map(|name| name.to_vec()).collect();
        *self.accepts.lock().unwrap_or_else(PoisonError::into_inner) = names;
        Some(Arc::clone(&self.pair))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// The beginning of the answer.
fn ask(stream: &mut (impl Read + Write), host: &str) -> std::io::Result<String> {
    let padding = "x".repeat(PADDING);
    let request = format!(
        "GET /metrics HTTP/1.1\r\nHost: {host}\r\nX-Padding: {padding}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    // The peers' port answers in a few bytes, and may keep the connection for seconds.
    while answer.len() < ENOUGH && !is_whole(&answer) {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => answer.extend_from_slice(&buffer[..n]),
            // Go ends a connection without TLS's farewell.
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => break,
            Err(e) => return Err(e),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Whether all of an HTTP answer is there (RFC 9112, 6).
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let field = |name: &str| {
        head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    match field("content-length").map(str::parse::<usize>) {
        Some(Ok(length)) => body.len() >= length,
        Some(Err(_)) => false,
        None => body.ends_with("0\r\n\r\n"),
    }
}

/// Host and port of a URL, an IPv6 address without its brackets.
fn host_and_port(url: &str) -> Result<(&str, u16), Error> {
    let bad = || Error::Unusable(format!("{url:?} is no URL with a port"));
    let (_, rest) = url.split_once("://").ok_or_else(bad)?;
    let (host, port) = rest
        .trim_end_matches('/')
        .rsplit_once(':')
        .ok_or_else(bad)?;
    let port = port.parse().map_err(|_| bad())?;
    Ok((host.trim_start_matches('[').trim_end_matches(']'), port))
}

/// The `Date` of an HTTP answer as seconds since 1970: `Mon, 23 Nov 2026 12:00:00 GMT` (RFC 9110, 5.6.7).
fn date(answer: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (head, _) = answer.split_once("\r\n\r\n")?;
    let line = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("date").then_some(value.trim())
    })?;
    let mut words = line.split([' ', ':']).skip(1);
    let day: i64 = words.next()?.parse().ok()?;
    let name = words.next()?;
    let month = i64::try_from(MONTHS.iter().position(|month| *month == name)?).ok()? + 1;
    let year: i64 = words.next()?.parse().ok()?;
    let mut clock = words.map_while(|word| word.parse::<i64>().ok());
    let (hour, minute, second) = (clock.next()?, clock.next()?, clock.next()?);
    // Years that begin in March have their leap day at the end.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some((days - 719_468) * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use pki::Authority;

    use super::*;

    #[test]
    fn dates_are_read_as_http_writes_them() {
        let of = |text: &str| date(&format!("HTTP/1.1 200 OK\r\nDate: {text}\r\n\r\nbody"));
        assert_eq!(of("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(of("Mon, 23 Nov 2026 12:05:58 GMT"), Some(1_795_435_558));
        assert_eq!(of("Thu, 29 Feb 2024 23:59:59 GMT"), Some(1_709_251_199));
        assert_eq!(of("soon"), None);
    }

    #[test]
    fn the_end_of_an_answer_is_known_without_the_connection_s() {
        let head = "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\n";
        assert!(is_whole(format!("{head}404").as_bytes()));
        assert!(!is_whole(format!("{head}40").as_bytes()));
        assert!(!is_whole(
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n"
        ));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
        assert!(!is_whole(chunked.as_bytes()));
        assert!(is_whole(format!("{chunked}0\r\n\r\n").as_bytes()));
    }

    #[test]
    fn urls_are_taken_apart() {
        assert_eq!(
            host_and_port("https://[fd00::1]:2379/").unwrap(),
            ("fd00::1", 2379)
        );
        assert_eq!(host_and_port("https://h1:2380").unwrap(), ("h1", 2380));
        assert!(host_and_port("h1:2380").is_err());
    }

    /// Answers one request as a member does: with a certificate of `authority`, to whom `trusted` vouch for.
    fn serve(
        authority: &Authority,
        trusted: &[&Authority],
    ) -> (String, std::thread::JoinHandle<()>) {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (chain, key) = pair(authority);
        let mut roots = RootCertStore::empty();
        for authority in trusted {
            let der = authority.certificate().der().to_vec();
            roots.add(CertificateDer::from(der)).unwrap();
        }
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::clone(&provider),
        );
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(chain, key)
            .unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            let (socket, _) = listener.accept().unwrap();
            let connection = rustls::ServerConnection::new(Arc::new(config)).unwrap();
            let mut stream = StreamOwned::new(connection, socket);
            let mut request = [0; 8192];
            // Whoever is not trusted is cut off, which the other end tells.
            if stream.read(&mut request).is_ok() {
                let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nDate: Mon, 23 Nov 2026 12:05:58 GMT\r\n\r\n";
                stream.write_all(answer.as_bytes()).unwrap();
                // As the peers' port does: it is the client that ends the connection.
                let _ = stream.read(&mut request);
            }
        });
        (url, thread)
    }

    fn pair(authority: &Authority) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let identity = pki::etcd::Identity {
            name: "h1".into(),
            addresses: vec![pki::San::parse("127.0.0.1").unwrap()],
            extra_server_sans: vec![],
        };
        let profile = pki::etcd::profile(pki::etcd::Leaf::Server, &identity);
        let pair = authority.issue(&profile, SystemTime::now()).unwrap();
        let chain = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(pair.key.expose()).unwrap();
        (vec![chain], key)
    }

    fn credentials(own: &Authority, trusted: &[&Authority]) -> Credentials {
        let profile = pki::kubernetes::user("etcdctl", "system:masters");
        let pair = own.issue(&profile, SystemTime::now()).unwrap();
        let ca: String = trusted.iter().map(|one| one.certificate().pem()).collect();
        Credentials {
            ca: ca.into_bytes(),
            certificate: pair.certificate.into_bytes(),
            key: pair.key,
        }
    }

    #[test]
    fn a_handshake_tells_who_is_accepted_and_who_signed_what_is_shown() {
        let authority = |name| Authority::generate(name, SystemTime::now()).unwrap();
        let (old, new) = (authority("etcd"), authority("etcd-next"));
        let both = [&old, &new];
        for (signer, trusted, client) in [
            (&old, &both[..1], &old),
            (&old, &both[..], &new),
            (&new, &both[..], &old),
            (&new, &both[1..], &new),
        ] {
            let (url, thread) = serve(signer, trusted);
            let told = probe(&url, &credentials(client, &both)).unwrap();
            thread.join().unwrap();
            let names: Vec<_> = trusted
                .iter()
                .map(|one| one.certificate().subject_der())
                .collect();
            assert_eq!(told.accepts, names);
            let shown = pki::Certificate::from_der(&told.certificate).unwrap();
            assert!(shown.signed_by(signer.certificate()));
            assert!(told.clock_ahead.is_some());
        }
        // Who does not trust us cuts us off; whom we do not trust, we do not ask.
        let (url, thread) = serve(&old, &both[..1]);
        let refused = probe(&url, &credentials(&new, &both)).unwrap_err();
        assert!(
            matches!(refused, Error::Rejected { .. } | Error::Untrusted { .. }),
            "{refused}"
        );
        thread.join().unwrap();
        let (url, thread) = serve(&new, &both);
        let refused = probe(&url, &credentials(&new, &both[..1])).unwrap_err();
        assert!(matches!(refused, Error::Untrusted { .. }), "{refused}");
        thread.join().unwrap();
    }
}
