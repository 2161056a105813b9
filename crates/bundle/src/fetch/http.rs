//! HTTP: bounded documents, and downloads that resume and are checked while they stream.
//!
//! Redirects are followed, from https never to http; credentials do not go along to another host. Names are looked up
//! by the standard library, which in a static program is glibc's own resolver (`hosts: files dns`).
//!
//! A download is written beside its place as `NAME.part`. Broken off, it goes on with a Range request, in this run and in
//! the next, but only where the digest is known beforehand: nothing else could tell that the two halves belong together.
#![expect(
    clippy::disallowed_methods,
    reason = "downloads are written beside their place and renamed when they are right"
)]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use host::Digest;
use sha2::{Digest as _, Sha256};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, Proxy};

use crate::{Progress, ProgressFn};

/// Largest file that is downloaded.
const MAX_DOWNLOAD: u64 = 8 << 30;
/// How often a broken download is taken up again without a byte of progress.
const TRIES: u32 = 4;

/// Something could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The certificate authorities cannot be read.
    #[error("cannot read the certificates in {path}")]
    Ca {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The proxy makes no sense.
    #[error("{proxy:?} is no proxy's address")]
    Proxy {
        /// What was said.
        proxy: String,
    },
    /// The server cannot be reached, or breaks off.
    #[error("cannot fetch {url}")]
    Request {
        /// The address.
        url: String,
        /// The cause.
        source: Box<ureq::Error>,
    },
    /// The server says no.
    #[error("{url}: the server says {status}")]
    Status {
        /// The address.
        url: String,
        /// The status code.
        status: u16,
    },
    /// More came than is accepted.
    #[error("{url} is too large: at most {limit} bytes are accepted")]
    TooLarge {
        /// The address.
        url: String,
        /// The bound in bytes.
        limit: u64,
    },
    /// The connection breaks off, again and again.
    #[error("{}", broken(.url, *.bytes))]
    Broken {
        /// The address.
        url: String,
        /// Bytes that came.
        bytes: u64,
        /// The last cause.
        source: io::Error,
    },
    /// Another download has failed, so this one does not go on.
    #[error("the download of {url} was given up")]
    Stopped {
        /// The address.
        url: String,
    },
    /// What came is not what was pinned or published.
    #[error("{url} has the digest sha256:{actual}, not sha256:{expected}; it is not kept")]
    Digest {
        /// The address.
        url: String,
        /// What it should be.
        expected: Digest,
        /// What it is.
        actual: Digest,
    },
    /// The download cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

fn broken(url: &str, bytes: u64) -> String {
    match bytes {
        0 => format!("cannot fetch {url}"),
        _ => format!("the download of {url} breaks off after {bytes} bytes"),
    }
}

impl HttpError {
    /// Whether the server has no such thing, so that another place may be asked.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(
            self,
            HttpError::Status {
                status: 404 | 410,
                ..
            }
        )
    }
}

/// A client.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    agent: Agent,
    stop: Arc<AtomicBool>,
}

/// A header to be sent.
pub(crate) type Header<'a> = (&'a str, &'a str);

impl Http {
    /// A client that trusts the authorities in `ca`, or where there is none those that this program brings. Its downloads
    /// are given up when `stop` is set.
    pub(crate) fn new(
        ca: Option<&Path>,
        proxy: Option<&str>,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, HttpError> {
        let roots = match ca {
            None => RootCerts::WebPki,
            Some(path) => RootCerts::Specific(Arc::new(certificates(path)?)),
        };
        let proxy = proxy
            .map(|text| {
                Proxy::new(text).map_err(|_| HttpError::Proxy {
                    proxy: text.to_owned(),
                })
            })
            .transpose()?;
        let second = |n| Some(Duration::from_secs(n));
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(concat!("klusterkit/", env!("CARGO_PKG_VERSION")))
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .proxy(proxy)
            .max_redirects(10)
            .timeout_resolve(second(10))
            .timeout_connect(second(10))
            .timeout_recv_response(second(60))
            .timeout_per_read(second(60))
            .build();
        Ok(Http {
            agent: config.into(),
            stop: stop.clone(),
        })
    }

    /// Asks for `url`. Any answer that is no redirect is given back.
    pub(crate) fn get(
        &self,
        url: &str,
        headers: &[Header<'_>],
        query: &[(&str, &str)],
    ) -> Result<ureq::http::Response<Body>, HttpError> {
        let mut request = self.agent.get(url).query_pairs(query.iter().copied());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .config()
            .https_only(url.starts_with("https://"))
            .build();
        request.call().map_err(|source| HttpError::Request {
            url: url.to_owned(),
            source: Box::new(source),
        })
    }

    /// A whole document of at most `limit` bytes.
    pub(crate) fn document(
        &self,
        url: &str,
        headers: &[Header<'_>],
        limit: u64,
    ) -> Result<Vec<u8>, HttpError> {
        let response = success(url, self.get(url, headers, &[])?)?;
        read_document(url, response, limit)
    }

    /// Fetches `url` into `target`; gives digest and size. With `expected`, nothing else ever lies there.
    pub(crate) fn download(
        &self,
        url: &str,
        headers: &[Header<'_>],
        target: &Path,
        expected: Option<Digest>,
        progress: ProgressFn<'_>,
    ) -> Result<(Digest, u64), HttpError> {
        let mut part = Part::open(target, expected.is_some())?;
        let mut resumed = part.bytes > 0;
        let mut left = TRIES;
        loop {
            self.may_go_on(url)?;
            let before = part.bytes;
            match self.go_on(url, headers, &mut part, progress) {
                Ok(()) => {}
                Err(HttpError::Broken { source, .. }) if left > 0 => {
                    left = if part.bytes > before { TRIES } else { left - 1 };
                    if expected.is_none() {
                        part.restart()?;
                    }
                    // Only a server that fails at once is waited for, a little longer each time.
                    let pause = if part.bytes > before {
                        0
                    } else {
                        u64::from(TRIES - left) * 300
                    };
                    std::thread::sleep(Duration::from_millis(pause));
                    drop(source);
                    continue;
                }
                Err(error) => return Err(error),
            }
            let actual = part.digest();
            match expected {
                Some(expected) if actual != expected && resumed => {
                    // What an earlier run left may be of another file. Once more, from the start.
                    resumed = false;
                    part.restart()?;
                }
                Some(expected) if actual != expected => {
                    part.discard()?;
                    return Err(HttpError::Digest {
                        url: url.to_owned(),
                        expected,
                        actual,
                    });
                }
                _ => return part.finish().map(|size| (actual, size)),
            }
        }
    }

    fn may_go_on(&self, url: &str) -> Result<(), HttpError> {
        if self.stop.load(Ordering::SeqCst) {
            let url = url.to_owned();
            return Err(HttpError::Stopped { url });
        }
        Ok(())
    }

    /// One request that brings the rest of `part`. [`HttpError::Broken`] is worth another try.
    fn go_on(
        &self,
        url: &str,
        headers: &[Header<'_>],
        part: &mut Part,
        progress: ProgressFn<'_>,
    ) -> Result<(), HttpError> {
        let broken = |bytes, source| HttpError::Broken {
            url: url.to_owned(),
            bytes,
            source,
        };
        let range = format!("bytes={}-", part.bytes);
        let mut all = headers.to_vec();
        if part.bytes > 0 {
            all.push(("range", &range));
        }
        let response = match self.get(url, &all, &[]) {
            Err(HttpError::Request { source, .. }) if passes(&source) => {
                return Err(broken(part.bytes, io::Error::other(source)));
            }
            other => other?,
        };
        let status = response.status().as_u16();
        match status {
            200 => {
                if part.bytes > 0 {
                    part.restart()?;
                }
            }
            206 if part.bytes > 0 => {
                let told = response
                    .headers()
                    .get("content-range")
                    .and_then(|value| value.to_str().ok());
                if !told.is_some_and(|told| told.starts_with(&format!("bytes {}-", part.bytes))) {
                    part.restart()?;
                    return Err(broken(
                        0,
                        io::Error::other("the server sent another part than was asked for"),
                    ));
                }
            }
            // There is nothing behind what we have: it is whole, or the digest will tell.
            416 if part.bytes > 0 => return Ok(()),
            429 | 500..=599 => {
                return Err(broken(
                    part.bytes,
                    io::Error::other(format!("the server says {status}")),
                ));
            }
            _ => {
                return Err(HttpError::Status {
                    url: url.to_owned(),
                    status,
                });
            }
        }
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 128 * 1024];
        loop {
            let n = body
                .read(&mut buffer)
                .map_err(|source| broken(part.bytes, source))?;
            if n == 0 {
                return Ok(());
            }
            self.may_go_on(url)?;
            part.write(&buffer[..n])?;
            if part.bytes > MAX_DOWNLOAD {
                part.restart()?;
                return Err(HttpError::TooLarge {
                    url: url.to_owned(),
                    limit: MAX_DOWNLOAD,
                });
            }
            progress(Progress::Bytes(n as u64));
        }
    }
}

/// Whether an error may be gone when it is tried again.
fn passes(error: &ureq::Error) -> bool {
    matches!(
        error,
        ureq::Error::Io(_) | ureq::Error::Timeout(_) | ureq::Error::ConnectionFailed
    )
}

/// Refuses an answer that is no success.
pub(crate) fn success(
    url: &str,
    response: ureq::http::Response<Body>,
) -> Result<ureq::http::Response<Body>, HttpError> {
    match response.status().as_u16() {
        200 => Ok(response),
        status => Err(HttpError::Status {
            url: url.to_owned(),
            status,
        }),
    }
}

/// The body of an answer, of at most `limit` bytes.
pub(crate) fn read_document(
    url: &str,
    response: ureq::http::Response<Body>,
    limit: u64,
) -> Result<Vec<u8>, HttpError> {
    let mut bytes = Vec::new();
    let read = response
        .into_body()
        .into_reader()
        .take(limit + 1)
        .read_to_end(&mut bytes);
    let read_error = |source| HttpError::Broken {
        url: url.to_owned(),
        bytes: 0,
        source,
    };
    if read.map_err(read_error)? as u64 > limit {
        return Err(HttpError::TooLarge {
            url: url.to_owned(),
            limit,
        });
    }
    Ok(bytes)
}

fn certificates(path: &Path) -> Result<Vec<ureq::tls::Certificate<'static>>, HttpError> {
    let ca_error = |source| HttpError::Ca {
        path: path.to_owned(),
        source,
    };
    let bytes = fs::read(path).map_err(ca_error)?;
    let mut found = Vec::new();
    for item in parse_pem(&bytes) {
        match item.map_err(|error| ca_error(io::Error::other(error)))? {
            PemItem::Certificate(certificate) => found.push(certificate),
            _ => {
                return Err(ca_error(io::Error::other(
                    "something other than certificates is in it",
                )));
            }
        }
    }
    if found.is_empty() {
        return Err(ca_error(io::Error::other("no certificate is in it")));
    }
    Ok(found)
}

/// A download that is not whole yet.
struct Part {
    target: PathBuf,
    path: PathBuf,
    file: File,
    state: Sha256,
    bytes: u64,
}

impl Part {
    /// Opens what an earlier run has left of `target`, if it may be gone on with, or begins anew.
    fn open(target: &Path, resume: bool) -> Result<Self, HttpError> {
        let mut name = target.as_os_str().to_owned();
        name.push(".part");
        let path = PathBuf::from(name);
        let write_error = |source| HttpError::Write {
            path: path.clone(),
            source,
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(write_error)?;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(!resume)
            .open(&path)
            .map_err(write_error)?;
        let mut part = Part {
            target: target.to_owned(),
            path: path.clone(),
            file,
            state: Sha256::new(),
            bytes: 0,
        };
        let mut buffer = vec![0; 128 * 1024];
        loop {
            let n = part.file.read(&mut buffer).map_err(write_error)?;
            if n == 0 {
                return Ok(part);
            }
            part.state.update(&buffer[..n]);
            part.bytes += n as u64;
        }
    }

    fn error(&self) -> impl FnOnce(io::Error) -> HttpError {
        let path = self.path.clone();
        move |source| HttpError::Write { path, source }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), HttpError> {
        self.file.write_all(bytes).map_err(self.error())?;
        self.state.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> Result<(), HttpError> {
        self.file.set_len(0).map_err(self.error())?;
        self.file.rewind().map_err(self.error())?;
        (self.state, self.bytes) = (Sha256::new(), 0);
        Ok(())
    }

    fn digest(&self) -> Digest {
        Digest::from_bytes(self.state.clone().finalize().into())
    }

    fn discard(self) -> Result<(), HttpError> {
        fs::remove_file(&self.path).map_err(self.error())
    }

    fn finish(self) -> Result<u64, HttpError> {
        self.file.sync_all().map_err(self.error())?;
        fs::rename(&self.path, &self.target).map_err(self.error())?;
        Ok(self.bytes)
    }
}
