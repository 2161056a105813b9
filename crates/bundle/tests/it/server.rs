//! A small HTTP server with the manners, good and bad, of the places that files are fetched from.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A connection, plain or not.
pub(crate) trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

/// What a client asked.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
}

/// What it gets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The connection ends after so many bytes of the body.
    pub(crate) cut: Option<usize>,
}

impl Answer {
    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Answer {
            status: 200,
            body: body.into(),
            ..Answer::default()
        }
    }

    pub(crate) fn status(status: u16) -> Self {
        Answer {
            status,
            ..Answer::default()
        }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn cut(mut self, after: usize) -> Self {
        self.cut = Some(after);
        self
    }

    /// `body`, or the part of it that the request asks for.
    pub(crate) fn ranged(request: &Request, body: &[u8]) -> Self {
        let range = request
            .headers
            .get("range")
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
        let Some(start) = range.map(|start| start.parse::<usize>().unwrap()) else {
            return Answer::ok(body);
        };
        if start >= body.len() {
            return Answer::status(416);
        }
        let told = format!("bytes {start}-{}/{}", body.len() - 1, body.len());
        Answer {
            status: 206,
            body: body[start..].to_vec(),
            ..Answer::default()
        }
        .with("content-range", told)
    }
}

/// Answers until the test ends.
pub(crate) struct Server {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Speaks http.
    pub(crate) fn new(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Server::start("http", |stream| Box::new(stream), answer)
    }

    /// Speaks https as 127.0.0.1, with a certificate that signs itself; gives that certificate, too.
    pub(crate) fn with_tls(
        answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> (Self, String) {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key =
            rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        let wrap = move |stream| -> Box<dyn Stream> {
            let connection = rustls::ServerConnection::new(config.clone()).unwrap();
            Box::new(rustls::StreamOwned::new(connection, stream))
        };
        (Server::start("https", wrap, answer), made.cert.pem())
    }

    fn start(
        scheme: &str,
        wrap: impl Fn(TcpStream) -> Box<dyn Stream> + Send + Sync + 'static,
        answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (answer, wrap, log) = (Arc::new(answer), Arc::new(wrap), seen.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, wrap, log) = (answer.clone(), wrap.clone(), log.clone());
                std::thread::spawn(move || drop(serve(wrap(stream.unwrap()), &*answer, &log)));
            }
        });
        Server { url, seen }
    }

    /// What was asked so far.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn host(&self) -> &str {
        self.url.split_once("://").unwrap().1
    }
}

fn serve(
    stream: Box<dyn Stream>,
    answer: &(dyn Fn(&Request) -> Answer + Send + Sync),
    log: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim().split_once(": ") {
            Some((name, value)) => headers.insert(name.to_lowercase(), value.to_owned()),
            None => break,
        };
    }
    let mut stream = reader.into_inner();
    let request = Request { path, headers };
    log.lock().unwrap().push(request.clone());
    let answer = answer(&request);
    write!(
        stream,
        "HTTP/1.1 {} x\r\nconnection: close\r\ncontent-length: {}\r\n",
        answer.status,
        answer.body.len()
    )?;
    for (name, value) in &answer.headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    write!(stream, "\r\n")?;
    stream.write_all(&answer.body[..answer.cut.unwrap_or(answer.body.len())])
}
