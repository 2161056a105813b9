//! Files put on hosts with the hosts' own coreutils: `dd` writes under another name, `sha256sum` looks at it, and only then
//! the file gets its name. Whoever may read it may do so from its first byte on, and nobody else.

use std::io::Read;
use std::time::Duration;

use host::Digest;
use ssh::Call;

use crate::Error;
use crate::fleet::Remote;
use crate::tool;

const LIMIT: Duration = Duration::from_secs(30);
const SEND_LIMIT: Duration = Duration::from_secs(3600);
/// A gigabyte takes some seconds on a slow host.
const SUM_LIMIT: Duration = Duration::from_secs(600);

/// Where a file goes, and who may do what with it.
pub(crate) struct Place<'a> {
    /// An absolute path, made of constants and digests.
    pub path: &'a str,
    /// The mode of its folder, which is made.
    pub folder_mode: &'static str,
    /// Its own.
    pub mode: &'static str,
}

/// Puts what `from` gives there; it must have this digest.
///
/// # Errors
/// The host's; `from`'s as [`ssh::Error::Input`]; something else arrived.
pub(crate) fn put(
    remote: &Remote,
    place: &Place<'_>,
    digest: Digest,
    from: &mut (dyn Read + Send),
) -> Result<(), Error> {
    let folder = place
        .path
        .rsplit_once('/')
        .map_or("/", |(folder, _)| folder);
    let half = format!("{}.new", place.path);
    let install = "/usr/bin/install";
    tool::ask(
        remote,
        install,
        &["-d", "-m", place.folder_mode, folder],
        LIMIT,
    )?;
    let empty = ["-m", place.mode, "--", "/dev/null", &half];
    tool::ask(remote, install, &empty, LIMIT)?;
    let of = format!("of={half}");
    let words = [of.as_str(), "bs=256k", "status=none", "conv=fsync"];
    let write = Call::new("/bin/dd", words).within(SEND_LIMIT);
    let output = remote.connection.run(&write, from, &mut |_| {})?;
    if !output.success() {
        return Err(Error::Ssh(ssh::Error::Failed {
            host: remote.label.clone(),
            program: write.words(),
            code: output.code.unwrap_or(-1),
            stderr: output.stderr,
        }));
    }
    if digests(remote, std::slice::from_ref(&half))? != [(digest, half.clone())] {
        return Err(Error::Output {
            host: remote.label.clone(),
            what: format!("sha256sum {half}"),
            detail: "what arrived is not what was sent".to_owned(),
        });
    }
    tool::ask(remote, "/bin/mv", &["-T", "--", &half, place.path], LIMIT)?;
    Ok(())
}

/// The digests of those of these files that are there.
pub(crate) fn digests(remote: &Remote, paths: &[String]) -> Result<Vec<(Digest, String)>, Error> {
    let words = ["--".to_owned()].into_iter().chain(paths.iter().cloned());
    let call = Call::new("/usr/bin/sha256sum", words).within(SUM_LIMIT);
    // It ends with 1 when one of them is not there, and prints the others all the same.
    let output = remote
        .connection
        .run(&call, &mut std::io::empty(), &mut |_| {})?;
    Ok(parse(&output.text()))
}

fn parse(text: &str) -> Vec<(Digest, String)> {
    let line = |line: &str| {
        let (digest, path) = line.split_once("  ")?;
        Some((digest.parse().ok()?, path.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256sum_is_understood() {
        let digest = Digest::of(b"");
        let text = format!("{digest}  /var/cache/klusterkit/bin/x/nodeadm\nnonsense\nzz  /y\n");
        assert_eq!(
            parse(&text),
            [(digest, "/var/cache/klusterkit/bin/x/nodeadm".to_owned())]
        );
    }
}
