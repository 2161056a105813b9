//! Where private keys lie: whatever form they were brought into, and in what processes were told while something ran.
//!
//! What is looked for is the number itself that makes a key private, not the file that it came from: as bytes, in hexadecimal,
//! and in base64 at whatever place in a larger structure, with line ends, blanks, quotes and escapes anywhere between. So
//! the same key is found as another kind of PEM, as bare DER, as JSON or in a kubeconfig (base64 of PEM). Not found is what
//! was compressed or encrypted.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lab::Host;

use crate::Error;

/// Bytes of a key that nobody can guess.
const CORE: usize = 32;
/// How base64 of any PEM begins.
const NESTED: &[u8] = b"LS0tLS1CRUdJTi";
/// Between two looks at all processes; a look takes about as long.
const PAUSE: Duration = Duration::from_millis(5);

/// How long reading all of a host may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);

/// What programs and images are made of, which is not written while a cluster lives.
const PROGRAMS: [&str; 9] = [
    "/boot",
    "/dev",
    "/opt",
    "/proc",
    "/sys",
    "/usr",
    "/var/cache/klusterkit/bin",
    "/var/cache/klusterkit/blobs",
    "/var/lib/containerd",
];

/// A file, and what is in it.
#[derive(Debug, Clone)]
pub struct Content {
    /// Where it lies, with a slash at its beginning.
    pub path: String,
    /// Who may read and write it.
    pub mode: u32,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// All files of this host but programs and images: also those in memory (`/run`).
///
/// # Errors
/// The host is off.
pub fn contents(host: &Host) -> Result<Vec<Content>, Error> {
    let argv = [
        "tar",
        "--create",
        "--file=-",
        "--anchored",
        "--one-file-system",
    ];
    let excluded: Vec<String> = PROGRAMS
        .iter()
        .map(|path| format!("--exclude={path}/*"))
        .collect();
    let rest = [
        "--ignore-failed-read",
        "--absolute-names",
        "/",
        "/run",
        "/tmp",
    ];
    let words = argv
        .into_iter()
        .chain(excluded.iter().map(String::as_str))
        .chain(rest);
    let output = host.nsexec(words)?.timeout(LIMIT).output()?;
    let printed = |text: String| Error::Printed {
        argv: format!("tar on {}", host.name()),
        text,
    };
    // 1: a file changed while it was read, which logs do.
    if output.code > 1 {
        return Err(printed(output.error_text()));
    }
    let read = || -> std::io::Result<Vec<Content>> {
        let mut found = Vec::new();
        for entry in tar::Archive::new(&output.stdout[..]).entries()? {
            let mut entry = entry?;
            let (mode, path) = (entry.header().mode()?, entry.path()?);
            let path = format!("/{}", path.to_string_lossy().trim_start_matches('/'));
            if entry.header().entry_type().is_file() {
                let mut bytes = Vec::new();
                std::io::Read::read_to_end(&mut entry, &mut bytes)?;
                found.push(Content { path, mode, bytes });
            }
        }
        Ok(found)
    };
    read().map_err(|error| printed(error.to_string()))
}

/// Private keys that are looked for.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    names: Vec<String>,
    cores: HashSet<Vec<u8>>,
    forms: Vec<(usize, Vec<u8>)>,
    /// By their first two bytes.
    index: Vec<Vec<usize>>,
}

impl Keys {
    /// Adds all private keys that stand in `text`, as PEM or as base64 of PEM, under this name. How many are new.
    pub fn add(&mut self, name: &str, text: &[u8]) -> usize {
        let mut added = 0;
        for pem in unfold(text) {
            for der in private_blocks(&pem) {
                let Some(core) = core(&der) else { continue };
                if self.cores.insert(core.to_vec()) {
                    self.add_core(name, core);
                    added += 1;
                }
            }
        }
        added
    }

    fn add_core(&mut self, name: &str, core: &[u8]) {
        self.index.resize(1 << 16, Vec::new());
        let key = self.names.len();
        self.names.push(name.to_owned());
        let hex: String = core.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut forms = vec![
            core.to_vec(),
            hex.to_uppercase().into_bytes(),
            hex.into_bytes(),
        ];
        for before in 0..3 {
            let shifted = [&[0; 2][..before], core].concat();
            let text = STANDARD.encode(&shifted).into_bytes();
            // The letters that hold nothing but the key.
            let text = text[(before * 8).div_ceil(6)..shifted.len() * 8 / 6].to_vec();
            let safe = |byte: &u8| match byte {
                b'+' => b'-',
                b'/' => b'_',
                other => *other,
            };
            forms.push(text.iter().map(safe).collect());
            forms.push(text);
        }
        for form in forms {
            self.index[pair(&form)].push(self.forms.len());
            self.forms.push((key, form));
        }
    }

    /// The names of the keys that are in these bytes.
    #[must_use]
    pub fn within(&self, bytes: &[u8]) -> Vec<&str> {
        if self.index.is_empty() {
            return Vec::new();
        }
        let mut found = HashSet::new();
        for text in unfold(bytes) {
            self.search(&text, &mut found);
            self.search(&compact(&text), &mut found);
        }
        let mut names: Vec<&str> = found.iter().map(|key| self.names[*key].as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn search(&self, bytes: &[u8], found: &mut HashSet<usize>) {
        for (at, two) in bytes.windows(2).enumerate() {
            for form in &self.index[pair(two)] {
                let (key, form) = &self.forms[*form];
                if bytes[at..].starts_with(form) {
                    found.insert(*key);
                }
            }
        }
    }
}

fn pair(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

/// Without what may stand between two letters of base64: white space, quotes, escapes of line ends.
fn compact(bytes: &[u8]) -> Vec<u8> {
    let mut rest = Vec::with_capacity(bytes.len());
    let mut bytes = bytes.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' | b'"' | b'\'' => {}
            b'\\' => drop(bytes.next_if(|next| matches!(next, b'n' | b'r' | b't'))),
            other => rest.push(other),
        }
    }
    rest
}

/// The bytes, and every PEM that stands in them as base64.
fn unfold(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut all = vec![bytes.to_vec()];
    let text = compact(bytes);
    for at in positions(&text, NESTED) {
        let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
        let letters: Vec<u8> = text[at..].iter().copied().take_while(is_letter).collect();
        // What is cut short is read as far as it goes.
        let whole = letters.len() / 4 * 4;
        all.extend(STANDARD.decode(&letters[..whole]));
        let (rest, padding) = (letters.len() - whole, letters.len().next_multiple_of(4));
        if rest > 1 {
            let mut letters = letters;
            letters.resize(padding, b'=');
            all.extend(STANDARD.decode(&letters));
        }
    }
    all
}

fn positions<'a>(bytes: &'a [u8], what: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let windows = bytes.windows(what.len()).enumerate();
    windows.filter_map(move |(at, window)| (window == what).then_some(at))
}

/// What the PEM blocks of private keys hold.
fn private_blocks(text: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(text);
    let blocks = text.split("-----BEGIN ").skip(1);
    let block = |block: &str| {
        let (label, rest) = block.split_once("-----")?;
        let (body, _) = rest.split_once("-----END")?;
        let body = compact(body.as_bytes());
        label
            .ends_with("PRIVATE KEY")
            .then(|| STANDARD.decode(body).ok())?
    };
    blocks.filter_map(block).collect()
}

/// The part of a key that makes it private: the number of an elliptic curve's (SEC 1 or PKCS #8), the seed of ed25519 (PKCS #8
/// or OpenSSH's), a piece of RSA's private exponent.
fn core(der: &[u8]) -> Option<&[u8]> {
    let after = |what: &[u8], skip: usize| {
        let at = positions(der, what).last()? + what.len() + skip;
        der.get(at..at + CORE)
    };
    after(&[0x02, 0x01, 0x01, 0x04, 0x20], 0)
        .or_else(|| after(&[0x04, 0x22, 0x04, 0x20], 0))
        .or_else(|| after(b"ssh-ed25519", 4 + 32 + 4))
        // The public exponent, then the length of the private one and its first bytes.
        .or_else(|| after(&[0x02, 0x03, 0x01, 0x00, 0x01, 0x02, 0x82], 2 + 16))
}

/// What the processes of this machine, and so of all hosts of its labs, were told: arguments and environments.
#[derive(Debug, Default)]
pub struct Processes {
    over: AtomicBool,
    looks: AtomicUsize,
    told: Mutex<HashSet<(Told, Vec<u8>)>>,
}

/// What a process can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Told {
    /// Its arguments.
    Arguments,
    /// Its environment.
    Environment,
}

impl Processes {
    /// Looks at all processes, again and again, while `work` is done.
    ///
    /// # Panics
    /// When `work` does.
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        self.over.store(false, Ordering::SeqCst);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !self.over.load(Ordering::SeqCst) {
                    self.look();
                    std::thread::sleep(PAUSE);
                }
            });
            // Also when the work panics: the scope waits for its threads.
            let _end = End(&self.over);
            work()
        })
    }

    fn look(&self) {
        for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            if !process.file_name().as_encoded_bytes()[0].is_ascii_digit() {
                continue;
            }
            for (told, file) in [(Told::Arguments, "cmdline"), (Told::Environment, "environ")] {
                // One that ended meanwhile tells nothing.
                let bytes = std::fs::read(process.path().join(file)).unwrap_or_default();
                let mut all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
                if !bytes.is_empty() && !all.contains(&(told, bytes.clone())) {
                    all.insert((told, bytes));
                }
            }
        }
        self.looks.fetch_add(1, Ordering::SeqCst);
    }

    /// How often all processes were looked at.
    #[must_use]
    pub fn looks(&self) -> usize {
        self.looks.load(Ordering::SeqCst)
    }

    /// All different things that processes were told so far.
    #[must_use]
    pub fn told(&self) -> Vec<(Told, Vec<u8>)> {
        let all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().cloned().collect()
    }

    /// Whether a process was told something with these words in it.
    #[must_use]
    pub fn heard(&self, what: Told, words: &str) -> bool {
        let all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().any(|(told, bytes)| {
            *told == what && positions(bytes, words.as_bytes()).next().is_some()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An elliptic curve's key as PKCS #8: the number is `NUMBER`, and a public point follows.
    fn pkcs8(number: &[u8; CORE]) -> Vec<u8> {
        let head = [
            0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x30, 0x6d, 0x02, 0x01,
            0x01, 0x04, 0x20,
        ];
        [&head[..], number, &[0xa1, 0x44, 0x03, 0x42, 0x00], &[7; 65]].concat()
    }

    fn pem(der: &[u8], width: usize) -> String {
        let body = STANDARD.encode(der);
        let lines: Vec<&str> = (0..body.len())
            .step_by(width)
            .map(|at| &body[at..body.len().min(at + width)])
            .collect();
        let body = lines.join("\n");
        format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n")
    }

    #[test]
    fn a_key_is_found_in_whatever_form() {
        let number: [u8; CORE] = std::array::from_fn(|n| (n * 37 + 11) as u8);
        let der = pkcs8(&number);
        let mut keys = Keys::default();
        assert_eq!(keys.add("ca", pem(&der, 64).as_bytes()), 1);
        assert_eq!(keys.add("again", pem(&der, 64).as_bytes()), 0);
        let other_head = [&[0x30, 0x77, 0x02, 0x01, 0x01, 0x04, 0x20][..], &number].concat();
        let forms = [
            number.to_vec(),
            der.clone(),
            pem(&der, 64).into_bytes(),
            pem(&der, 19).into_bytes(),
            pem(&other_head, 64).into_bytes(),
            pem(&der, 64).replace('\n', "\\n").into_bytes(),
            STANDARD.encode([b"a", &der[..]].concat()).into_bytes(),
            STANDARD.encode([b"ab", &der[..]].concat()).into_bytes(),
            format!("client-key-data: {}\n", STANDARD.encode(pem(&der, 64))).into_bytes(),
        ];
        for (n, form) in forms.iter().enumerate() {
            let around = [b"before ", &form[..], b" after"].concat();
            assert_eq!(keys.within(&around), ["ca"], "form {n}");
        }
        let public = pem(&der[17 + CORE..], 64);
        assert!(keys.within(public.as_bytes()).is_empty());
        assert!(keys.within(b"a").is_empty());
    }

    #[test]
    fn what_a_process_is_told_is_seen() {
        let processes = Processes::default();
        processes.during(|| while processes.looks() == 0 {});
        let own = std::env::args().next().unwrap_or_default();
        assert!(processes.heard(Told::Arguments, &own));
        assert!(processes.heard(Told::Environment, "PATH="));
    }
}
