//! A small HTTP server for a folder, with faults on demand.
//!
//! It is what downloads are tested against: ranges, redirects, and the things
//! that go wrong on the way (a connection cut, a byte flipped, a server that
//! does not know ranges). Plain HTTP/1.1, one thread a connection, no encryption;
//! the caller hands in the listener, which may belong to another network
//! namespace.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What goes wrong with the answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The answer points elsewhere: another path or a whole address.
    Redirect(String),
    /// The connection ends after so many bytes of the content.
    CutAfter(u64),
    /// The content's byte at this place has one bit turned over.
    FlipAt(u64),
    /// Another status, and no content.
    Status(u16),
    /// The whole file comes, whatever range was asked for.
    NoRanges,
    /// Nothing comes for this long, then the answer.
    Delay(Duration),
}

/// A fault of one path.
#[derive(Debug, Clone)]
struct Rule {
    path: String,
    fault: Fault,
    /// How many requests it still meets; `None` is all of them.
    left: Option<u32>,
}

/// A request that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET` or `HEAD`.
    pub method: String,
    /// The path asked for.
    pub path: String,
    /// The range asked for, as in the header.
    pub range: Option<String>,
}

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    rules: Mutex<Vec<Rule>>,
    seen: Mutex<Vec<Request>>,
    stopping: AtomicBool,
    /// Connections open now, to be shut when the server ends.
    open: Mutex<Vec<TcpStream>>,
}

fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    /// Serves the files below `root` to whoever connects to `listener`.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn start(listener: TcpListener, root: &Path) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            root: root.to_owned(),
            rules: Mutex::default(),
            seen: Mutex::default(),
            stopping: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let for_thread = Arc::clone(&shared);
        let listening = thread::spawn(move || {
            for stream in listener.incoming() {
                if for_thread.stopping.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let shared = Arc::clone(&for_thread);
                thread::spawn(move || shared.converse(&stream));
            }
        });
        Ok(Self {
            address,
            shared,
            listening: Some(listening),
        })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of a path on it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{}", self.address, path.trim_start_matches('/'))
    }

    /// From now on, `times` requests for `path` (all, if `None`) meet this fault.
    /// The first fault that fits a request is the one it meets.
    pub fn fault(&self, path: &str, fault: Fault, times: Option<u32>) {
        held(&self.shared.rules).push(Rule {
            path: format!("/{}", path.trim_start_matches('/')),
            fault,
            left: times,
        });
    }

    /// Forgets all faults.
    pub fn mend(&self) {
        held(&self.shared.rules).clear();
    }

    /// All requests so far, in the order of their arrival.
    pub fn requests(&self) -> Vec<Request> {
        held(&self.shared.seen).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        for stream in held(&self.shared.open).iter() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes the thread that accepts; where the listener is in another
        // namespace this fails and the thread ends with the process.
        if TcpStream::connect_timeout(&self.address, Duration::from_millis(200)).is_ok()
            && let Some(listening) = self.listening.take()
        {
            let _ = listening.join();
        }
    }
}

/// Which bytes of a file to send.
#[derive(Debug, PartialEq, Eq)]
enum Span {
    Whole,
    Part { first: u64, last: u64 },
    Outside,
}

impl Shared {
    /// Answers one connection's requests until either side ends it.
    fn converse(&self, stream: &TcpStream) {
        if let Ok(copy) = stream.try_clone() {
            held(&self.open).push(copy);
        }
        let mut reader = BufReader::new(stream);
        while let Ok(Some(request)) = read_request(&mut reader) {
            held(&self.seen).push(request.clone());
            match self.answer(&request, stream) {
                Ok(true) => {}
                Ok(false) | Err(_) => break,
            }
        }
        let _ = stream.shutdown(Shutdown::Both);
        let peer = stream.peer_addr().ok();
        held(&self.open).retain(|other| other.peer_addr().ok() != peer);
    }

    fn fault_for(&self, path: &str) -> Option<Fault> {
        let mut rules = held(&self.rules);
        let rule = rules
            .iter_mut()
            .find(|rule| rule.path == path && rule.left != Some(0))?;
        if let Some(left) = &mut rule.left {
            *left -= 1;
        }
        Some(rule.fault.clone())
    }

    /// Answers one request; whether the connection may go on.
    fn answer(&self, request: &Request, mut to: impl Write) -> io::Result<bool> {
        let fault = self.fault_for(&request.path);
        match &fault {
            Some(Fault::Redirect(target)) => {
                let head = format!("302 Found\r\nLocation: {target}\r\nContent-Length: 0");
                return send_head(&mut to, &head).map(|()| true);
            }
            Some(Fault::Status(status)) => {
                return send_head(&mut to, &format!("{status} Fault\r\nContent-Length: 0"))
                    .map(|()| true);
            }
            Some(Fault::Delay(time)) => thread::sleep(*time),
            _ => {}
        }
        let Some(mut file) = self.open_file(&request.path) else {
            return send_head(&mut to, "404 Not Found\r\nContent-Length: 0").map(|()| true);
        };
        let length = file.metadata()?.len();
        let asked = match (&fault, &request.range) {
            (Some(Fault::NoRanges), _) | (_, None) => Span::Whole,
            (_, Some(range)) => span(range, length),
        };
        let (first, count) = match asked {
            Span::Whole => {
                let head = format!("200 OK\r\nAccept-Ranges: bytes\r\nContent-Length: {length}");
                send_head(&mut to, &head)?;
                (0, length)
            }
            Span::Part { first, last } => {
                let count = last - first + 1;
                let head = format!(
                    "206 Partial Content\r\nContent-Range: bytes {first}-{last}/{length}\r\nContent-Length: {count}"
                );
                send_head(&mut to, &head)?;
                (first, count)
            }
            Span::Outside => {
                let head = format!(
                    "416 Range Not Satisfiable\r\nContent-Range: bytes */{length}\r\nContent-Length: 0"
                );
                return send_head(&mut to, &head).map(|()| true);
            }
        };
        if request.method == "HEAD" {
            return Ok(true);
        }
        file.seek(SeekFrom::Start(first))?;
        send_content(file.take(count), first, fault.as_ref(), &mut to)
    }

    /// Only regular files below the root, whatever the path says.
    fn open_file(&self, path: &str) -> Option<File> {
        let below = Path::new(path.trim_start_matches('/'));
        let plain = below
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        let whole = self.root.join(below);
        (plain && whole.is_file()).then(|| File::open(whole).ok())?
    }
}

fn send_head(mut to: impl Write, head: &str) -> io::Result<()> {
    to.write_all(
        format!("HTTP/1.1 {head}\r\nContent-Type: application/octet-stream\r\n\r\n").as_bytes(),
    )
}

/// Sends content that begins at `first` of its file; false if it was cut.
fn send_content(
    mut content: impl Read,
    first: u64,
    fault: Option<&Fault>,
    mut to: impl Write,
) -> io::Result<bool> {
    let mut buffer = vec![0; 1 << 16];
    let mut sent: u64 = 0;
    loop {
        let most = match fault {
            Some(Fault::CutAfter(limit)) => (limit - sent).min(buffer.len() as u64),
            _ => buffer.len() as u64,
        };
        if most == 0 {
            return Ok(false);
        }
        let most = usize::try_from(most).expect("not above the buffer's length");
        let got = content.read(&mut buffer[..most])?;
        if got == 0 {
            return Ok(true);
        }
        if let Some(Fault::FlipAt(place)) = fault
            && let Some(index) = place.checked_sub(first + sent)
            && index < got as u64
        {
            buffer[usize::try_from(index).expect("below the buffer's length")] ^= 1;
        }
        to.write_all(&buffer[..got])?;
        sent += got as u64;
    }
}

/// Reads a request's head; nothing at the end of the connection or when it is
/// no request that is answered here.
fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    reader.by_ref().take(8192).read_line(&mut line)?;
    let mut words = line.split_ascii_whitespace();
    let (Some(method @ ("GET" | "HEAD")), Some(target)) = (words.next(), words.next()) else {
        return Ok(None);
    };
    let mut request = Request {
        method: method.to_owned(),
        path: target.split('?').next().unwrap_or_default().to_owned(),
        range: None,
    };
    for _ in 0..100 {
        let mut line = String::new();
        reader.by_ref().take(8192).read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            None => return Ok(Some(request)),
            Some((name, value)) if name.eq_ignore_ascii_case("range") => {
                request.range = Some(value.trim().to_owned());
            }
            Some(_) => {}
        }
    }
    Ok(None)
}

/// What a range header asks for. Several ranges at once get the whole file, as
/// a server may do.
fn span(range: &str, length: u64) -> Span {
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|r| r.split_once('-')) else {
        return Span::Whole;
    };
    let (first, last) = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) => (first, last.min(length.saturating_sub(1))),
        (Ok(first), Err(_)) if last.is_empty() => (first, length.saturating_sub(1)),
        (Err(_), Ok(count)) if first.is_empty() => {
            (length.saturating_sub(count), length.saturating_sub(1))
        }
        _ => return Span::Whole,
    };
    if first >= length || first > last {
        return Span::Outside;
    }
    Span::Part { first, last }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;

    fn server(folder: &Path) -> Server {
        files::write(&folder.join("a/file"), b"0123456789").unwrap();
        files::write(&folder.join("../outside"), b"secret").unwrap();
        Server::start(TcpListener::bind("127.0.0.1:0").unwrap(), folder).unwrap()
    }

    /// One request on its own connection: the status line's rest and the body.
    fn ask(server: &Server, path: &str, range: Option<&str>) -> (String, String) {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        let range = range.map_or(String::new(), |r| format!("Range: {r}\r\n"));
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n{range}\r\n").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned())
    }

    fn answer(status: &str, body: &str) -> (String, String) {
        (status.to_owned(), body.to_owned())
    }

    #[test]
    fn files_and_ranges() {
        let dir = tempfile::tempdir().unwrap();
        let server = server(&dir.path().join("root"));
        assert_eq!(ask(&server, "/a/file", None), answer("200", "0123456789"));
        for (range, status, body) in [
            ("bytes=4-", "206", "456789"),
            ("bytes=2-3", "206", "23"),
            ("bytes=-3", "206", "789"),
            ("bytes=8-99", "206", "89"),
            ("bytes=10-", "416", ""),
            ("bytes=0-1,3-4", "200", "0123456789"),
            ("lines=1-", "200", "0123456789"),
        ] {
            assert_eq!(
                ask(&server, "/a/file", Some(range)),
                answer(status, body),
                "{range}"
            );
        }
        assert_eq!(server.requests()[1].range.as_deref(), Some("bytes=4-"));
    }

    #[test]
    fn nothing_outside_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let server = server(&dir.path().join("root"));
        for path in [
            "/../outside",
            "/a/../../outside",
            "//../outside",
            "/a",
            "/",
            "/none",
        ] {
            assert_eq!(ask(&server, path, None), answer("404", ""), "{path}");
        }
    }

    #[test]
    fn faults_come_as_often_as_told() {
        let dir = tempfile::tempdir().unwrap();
        let server = server(&dir.path().join("root"));
        server.fault("a/file", Fault::CutAfter(4), Some(1));
        server.fault("a/file", Fault::FlipAt(8), Some(2));
        server.fault("a/file", Fault::NoRanges, Some(1));
        server.fault("a/file", Fault::Status(503), Some(1));
        assert_eq!(ask(&server, "/a/file", None), answer("200", "0123"));
        assert_eq!(ask(&server, "/a/file", None), answer("200", "0123456799"));
        let resumed = ask(&server, "/a/file", Some("bytes=4-"));
        assert_eq!(resumed, answer("206", "456799"));
        let resumed = ask(&server, "/a/file", Some("bytes=4-"));
        assert_eq!(resumed, answer("200", "0123456789"));
        assert_eq!(ask(&server, "/a/file", None), answer("503", ""));
        assert_eq!(ask(&server, "/a/file", None), answer("200", "0123456789"));

        server.fault("moved", Fault::Redirect("/a/file".to_owned()), None);
        assert_eq!(ask(&server, "/moved", None).0, "302");
        server.mend();
        assert_eq!(ask(&server, "/moved", None).0, "404");
    }

    #[test]
    fn one_connection_carries_many_requests() {
        let dir = tempfile::tempdir().unwrap();
        let server = server(&dir.path().join("root"));
        let mut stream = TcpStream::connect(server.address()).unwrap();
        write!(
            stream,
            "HEAD /a/file HTTP/1.1\r\n\r\nGET /a/file HTTP/1.1\r\n\r\n"
        )
        .unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).unwrap();
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2);
        assert!(answers.ends_with("0123456789"));
    }

    #[test]
    fn it_ends_when_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let server = server(&dir.path().join("root"));
        let address = server.address();
        drop(server);
        assert!(TcpStream::connect(address).is_err());
    }
}
