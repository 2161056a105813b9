//! The files in which upstream publishes digests.
//!
//! Two forms are known: one digest alone (`kubelet.sha256`), and lines of digest and file name as `sha256sum` writes
//! them (`SHA256SUMS`, `runc.sha256sum`, signed or not: the signature is not looked at). These files come from the same
//! place as what they speak of, so they show a damaged mirror, not a malicious one: that is what pins are for.

use host::Digest;

/// The digest of the file `name` in `text`.
pub(crate) fn find(text: &str, name: &str) -> Option<Digest> {
    let mut words = text.split_whitespace();
    if let (Some(only), None) = (words.next(), words.next()) {
        return only.parse().ok();
    }
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (digest, file) = (words.next()?, words.next()?);
        let file = file.trim_start_matches('*');
        let base = file.rsplit('/').next().unwrap_or(file);
        (base == name && words.next().is_none())
            .then(|| digest.parse().ok())
            .flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        assert_eq!(find(&a.to_string(), "kubelet"), Some(a));
        assert_eq!(find(&format!("{a}\n"), "kubelet"), Some(a));
        let sums = format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{a}  etcd-v3.tar.gz\n{b} *./dist/runc.amd64\n"
        );
        assert_eq!(find(&sums, "etcd-v3.tar.gz"), Some(a));
        assert_eq!(find(&sums, "runc.amd64"), Some(b));
        assert_eq!(find(&sums, "runc.arm64"), None);
        assert_eq!(find("404 page not found", "page"), None);
        assert_eq!(find("", "x"), None);
    }
}
