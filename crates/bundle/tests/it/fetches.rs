//! Fetching from places that redirect, break off, lie and forget.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use bundle::Draft;
use bundle::fetch::{FetchError, FetchedFile, Fetcher, Mirror, Sources};
use host::Digest;

use crate::server::{Answer, Server};
use crate::support::{chain, draft, listing, quiet};

const ADDRESS: &str = "dl.k8s.io/release/v1.37.2/bin/linux/amd64/kubelet";

fn content() -> Vec<u8> {
    (0..300_000u32).flat_map(u32::to_le_bytes).collect()
}

fn sources(mirrors: &[&str]) -> Sources {
    Sources {
        mirrors: mirrors.iter().map(|text| text.parse().unwrap()).collect(),
        ..Sources::default()
    }
}

fn fetch(mirror: &str, work: &Path, expected: Option<Digest>) -> Result<FetchedFile, FetchError> {
    Fetcher::new(&sources(&[mirror]), work)?.file(ADDRESS, expected, &mut quiet())
}

fn digest() -> Digest {
    Digest::of(&content())
}

#[test]
fn a_file_is_fetched_once_through_redirects() {
    let work = tempfile::tempdir().unwrap();
    let server = Server::new(|request| match request.path.as_str() {
        "/root/dl.k8s.io/release/v1.37.2/bin/linux/amd64/kubelet" => {
            Answer::status(302).with("location", "/elsewhere")
        }
        "/elsewhere" => Answer::ok(content()),
        _ => Answer::status(404),
    });
    let mirror = format!("{}/root/", server.url);
    let file = fetch(&mirror, work.path(), Some(digest())).unwrap();
    assert_eq!((file.digest, file.size), (digest(), 1_200_000));
    assert_eq!(std::fs::read(&file.path).unwrap(), content());
    let before = server.seen().len();
    assert_eq!(fetch(&mirror, work.path(), Some(digest())).unwrap(), file);
    assert_eq!(
        server.seen().len(),
        before,
        "what is there is not fetched again"
    );
    std::fs::write(&file.path, "other").unwrap();
    assert_eq!(
        fetch(&mirror, work.path(), Some(digest())).unwrap(),
        file,
        "what is damaged is"
    );
}

#[test]
fn a_broken_download_goes_on_where_it_broke_off() {
    let work = tempfile::tempdir().unwrap();
    let server = Server::new(|request| {
        Answer::ranged(request, &content())
            .cut(100_000)
            .then_whole(request, 1_000_000)
    });
    let file = fetch(&server.url, work.path(), Some(digest())).unwrap();
    assert_eq!(file.digest, digest());
    let ranges: Vec<String> = server
        .seen()
        .iter()
        .filter_map(|request| request.headers.get("range").cloned())
        .collect();
    assert!(
        ranges.len() > 5 && ranges.is_sorted_by_key(|range| range.len()),
        "{ranges:?}"
    );
    assert_eq!(
        listing(
            &work
                .path()
                .join("files/dl.k8s.io/release/v1.37.2/bin/linux/amd64")
        ),
        ["kubelet 1200000"]
    );
}

impl Answer {
    /// Is no longer cut once the client has so much.
    fn then_whole(mut self, request: &crate::server::Request, enough: usize) -> Self {
        let has = request
            .headers
            .get("range")
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
        if has.is_some_and(|has| has.parse::<usize>().unwrap() >= enough) {
            self.cut = None;
        }
        self.cut = self.cut.map(|cut| cut.min(self.body.len()));
        self
    }
}

#[test]
fn the_next_run_goes_on_too_and_starts_anew_where_that_was_of_another_file() {
    let work = tempfile::tempdir().unwrap();
    let part = work.path().join(format!("files/{ADDRESS}.part"));
    std::fs::create_dir_all(part.parent().unwrap()).unwrap();
    let server = Server::new(|request| Answer::ranged(request, &content()));
    std::fs::write(&part, &content()[..777_777]).unwrap();
    fetch(&server.url, work.path(), Some(digest())).unwrap();
    assert_eq!(server.seen()[0].headers["range"], "bytes=777777-");
    assert_eq!(server.seen().len(), 1);

    for wrong in [vec![1; 5000], vec![1; 2_000_000]] {
        let work = tempfile::tempdir().unwrap();
        let part = work.path().join(format!("files/{ADDRESS}.part"));
        std::fs::create_dir_all(part.parent().unwrap()).unwrap();
        std::fs::write(&part, wrong).unwrap();
        assert_eq!(
            fetch(&server.url, work.path(), Some(digest()))
                .unwrap()
                .digest,
            digest()
        );
        assert!(!part.exists());
    }
}

#[test]
fn a_server_that_knows_no_ranges_is_asked_from_the_start() {
    let work = tempfile::tempdir().unwrap();
    let asked = AtomicUsize::new(0);
    let server = Server::new(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => Answer::ok(content()).cut(1000),
        1 => Answer::status(503),
        _ => Answer::ok(content()),
    });
    assert_eq!(
        fetch(&server.url, work.path(), Some(digest()))
            .unwrap()
            .digest,
        digest()
    );
    assert_eq!(server.seen().len(), 3);
}

#[test]
fn without_a_digest_two_halves_are_never_put_together() {
    let work = tempfile::tempdir().unwrap();
    let asked = AtomicUsize::new(0);
    let server = Server::new(move |request| {
        assert!(!request.headers.contains_key("range"));
        match asked.fetch_add(1, Ordering::SeqCst) {
            0 => Answer::ok(vec![1; 1_200_000]).cut(1000),
            _ => Answer::ok(content()),
        }
    });
    assert_eq!(
        fetch(&server.url, work.path(), None).unwrap().digest,
        digest()
    );
}

#[test]
fn a_wrong_digest_is_refused_and_nothing_is_kept() {
    let work = tempfile::tempdir().unwrap();
    let server = Server::new(|_| Answer::ok("other"));
    let error = fetch(&server.url, work.path(), Some(digest())).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{}/{ADDRESS} has the digest sha256:{}, not sha256:{}; it is not kept",
            server.url,
            Digest::of(b"other"),
            digest()
        )
    );
    let left: Vec<String> = listing(work.path())
        .into_iter()
        .filter(|line| !line.ends_with('/'))
        .collect();
    assert_eq!(left, [] as [&str; 0]);
}

#[test]
fn what_a_mirror_lacks_another_may_have_and_upstream_is_not_asked() {
    let work = tempfile::tempdir().unwrap();
    let empty = Server::new(|_| Answer::status(404));
    let full = Server::new(|_| Answer::ok(content()));
    let fetcher = Fetcher::new(&sources(&[&empty.url, &full.url]), work.path()).unwrap();
    fetcher.file(ADDRESS, Some(digest()), &mut quiet()).unwrap();
    assert_eq!(empty.seen().len(), 1);
    let fetcher =
        Fetcher::new(&sources(&[&empty.url]), tempfile::tempdir().unwrap().path()).unwrap();
    let error = fetcher.file(ADDRESS, None, &mut quiet()).unwrap_err();
    assert_eq!(error.to_string(), format!("no mirror has {ADDRESS}"));
    let broken = Server::new(|_| Answer::status(403));
    let error = fetch(&broken.url, work.path(), None).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{}/{ADDRESS}: the server says 403", broken.url)
    );
}

#[test]
fn a_folder_is_a_mirror_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(ADDRESS);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, content()).unwrap();
    std::fs::write(path.with_extension("sha256"), digest().to_string()).unwrap();
    let sources = Sources {
        mirrors: vec![Mirror::Path(dir.path().into())],
        ..Sources::default()
    };
    let fetcher = Fetcher::new(&sources, &dir.path().join("work")).unwrap();
    let published = fetcher
        .published(&format!("{ADDRESS}.sha256"), "kubelet")
        .unwrap();
    assert_eq!(
        fetcher
            .file(ADDRESS, Some(published), &mut quiet())
            .unwrap()
            .path,
        path
    );
    let error = fetcher
        .file(ADDRESS, Some(Digest::of(b"x")), &mut quiet())
        .unwrap_err();
    assert!(matches!(error, FetchError::Digest { .. }), "{error}");
}

/// A registry that wants a token, has an index over two platforms, and sends blobs elsewhere.
fn registry(dir: &Path) -> (Server, Digest) {
    let folder = dir.join("layout");
    draft(dir).write_folder(&folder, &mut quiet()).unwrap();
    let layout = bundle::Layout::open(&folder).unwrap();
    let image = layout
        .image("registry.k8s.io/coredns/coredns:v1.14.6", "amd64")
        .unwrap()
        .unwrap();
    let blob = move |digest: &str| {
        std::fs::read(
            folder
                .join("blobs/sha256")
                .join(digest.trim_start_matches("sha256:")),
        )
    };
    let manifest = blob(&image.manifest.digest.to_string()).unwrap();
    let descriptor = |digest: String, size, arch| {
        format!(
            r#"{{"mediaType":"{}","digest":"{digest}","size":{size},"platform":{{"architecture":"{arch}","os":"linux"}}}}"#,
            bundle::oci::MANIFEST
        )
    };
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{},{}]}}"#,
        bundle::oci::INDEX,
        descriptor(Digest::of(b"arm").to_oci(), 3, "arm64"),
        descriptor(image.manifest.digest.to_oci(), manifest.len(), "amd64"),
    );
    let pin = image.manifest.digest;
    let server = Server::new(move |request| {
        let host = request.headers["host"].clone();
        let name = request.path.rsplit('/').next().unwrap().to_owned();
        if request.path.starts_with("/token?") {
            assert!(
                request.path.starts_with("/token?scope=repository%3Ak%2F"),
                "{}",
                request.path
            );
            assert!(
                request.path.ends_with("%3Apull&service=r"),
                "{}",
                request.path
            );
            return Answer::ok(r#"{"token":"secret"}"#);
        }
        if request.path.starts_with("/cdn/") {
            return Answer::ranged(request, &blob(&name).unwrap());
        }
        if request.headers.get("authorization").map(String::as_str) != Some("Bearer secret") {
            let challenge = format!(r#"Bearer realm="http://{host}/token",service="r""#);
            return Answer::status(401).with("www-authenticate", challenge);
        }
        match request.path.as_str() {
            "/v2/k/coredns/coredns/manifests/v1.14.6" => {
                Answer::ok(index.clone()).with("content-type", bundle::oci::INDEX)
            }
            path if path.starts_with("/v2/k/coredns/coredns/manifests/sha256:") => {
                match blob(&name) {
                    Ok(bytes) => Answer::ok(bytes).with("content-type", bundle::oci::MANIFEST),
                    Err(_) => Answer::status(404),
                }
            }
            path if path.starts_with("/v2/k/coredns/coredns/blobs/") => {
                Answer::status(307).with("location", format!("/cdn/{name}"))
            }
            _ => Answer::status(404),
        }
    });
    (server, pin)
}

#[test]
fn an_image_comes_from_a_registry_with_its_bytes_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let (server, pin) = registry(dir.path());
    let mirror = format!("registry.k8s.io=oci+http://{}/k", server.host());
    let fetcher = Fetcher::new(&sources(&[&mirror]), &dir.path().join("work")).unwrap();
    let reference = "registry.k8s.io/coredns/coredns:v1.14.6";
    let mut bundle = Draft::new();
    let entry = fetcher
        .image(reference, "amd64", Some(pin), &mut bundle, &mut quiet())
        .unwrap();
    assert_eq!(entry.manifest().digest, pin);
    let path = dir.path().join("bundle.tar");
    bundle.write_archive(&path, &mut quiet()).unwrap();
    let layout = bundle::Layout::open(&path).unwrap();
    bundle::verify::verify(&layout, &mut quiet()).unwrap();
    assert_eq!(
        layout
            .image(reference, "amd64")
            .unwrap()
            .unwrap()
            .manifest
            .digest,
        pin
    );

    let mut again = Draft::new();
    let before = server.seen().len();
    fetcher
        .image(reference, "amd64", Some(pin), &mut again, &mut quiet())
        .unwrap();
    assert_eq!(
        server.seen().len(),
        before + 2,
        "blobs that are there are not fetched again"
    );

    let error = |arch: &str, pin| {
        fetcher
            .image(reference, arch, pin, &mut Draft::new(), &mut quiet())
            .unwrap_err()
    };
    assert!(
        error("s390x", None)
            .to_string()
            .contains("has no image for linux/s390x")
    );
    assert!(
        chain(&error("arm64", None)).contains("no mirror has"),
        "its manifest is not there"
    );
    assert!(matches!(
        error("amd64", Some(digest())),
        FetchError::Pin { .. }
    ));
    let other = fetcher
        .image(
            "registry.k8s.io/pause:3",
            "amd64",
            None,
            &mut Draft::new(),
            &mut quiet(),
        )
        .unwrap_err();
    assert_eq!(chain(&other), "no mirror has registry.k8s.io/pause:3");
}

#[test]
fn an_oci_layout_is_a_mirror_of_images() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("images.tar");
    draft(dir.path())
        .write_archive(&path, &mut quiet())
        .unwrap();
    let sources = Sources {
        mirrors: vec![Mirror::Path(path)],
        ..Sources::default()
    };
    let fetcher = Fetcher::new(&sources, &dir.path().join("work")).unwrap();
    let mut bundle = Draft::new();
    fetcher
        .image(
            "registry.k8s.io/pause:3.10.2",
            "amd64",
            None,
            &mut bundle,
            &mut quiet(),
        )
        .unwrap();
    let error = fetcher
        .image(
            "registry.k8s.io/pause:9",
            "amd64",
            None,
            &mut bundle,
            &mut quiet(),
        )
        .unwrap_err();
    assert_eq!(error.to_string(), "no mirror has registry.k8s.io/pause:9");
}

#[test]
fn only_the_authorities_of_the_admins_choice_are_trusted() {
    let work = tempfile::tempdir().unwrap();
    let (server, certificate) = Server::with_tls(|_| Answer::ok(content()));
    let error = fetch(&server.url, work.path(), Some(digest())).unwrap_err();
    assert!(
        chain(&error).contains("invalid peer certificate"),
        "{}",
        chain(&error)
    );
    assert!(server.seen().is_empty());

    let ca = work.path().join("ca.crt");
    std::fs::write(&ca, certificate).unwrap();
    let trusting = Sources {
        ca_file: Some(ca.clone()),
        ..sources(&[&server.url])
    };
    let fetcher = Fetcher::new(&trusting, work.path()).unwrap();
    assert_eq!(
        fetcher
            .file(ADDRESS, Some(digest()), &mut quiet())
            .unwrap()
            .digest,
        digest()
    );

    for bad in [
        "",
        "no certificate",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    ] {
        std::fs::write(&ca, bad).unwrap();
        assert!(Fetcher::new(&trusting, work.path()).is_err(), "{bad}");
    }
}

#[test]
fn https_is_not_left_for_http() {
    let work = tempfile::tempdir().unwrap();
    let plain = Server::new(|_| Answer::ok(content()));
    let elsewhere = format!("{}/x", plain.url);
    let (server, certificate) =
        Server::with_tls(move |_| Answer::status(302).with("location", elsewhere.clone()));
    let ca = work.path().join("ca.crt");
    std::fs::write(&ca, certificate).unwrap();
    let sources = Sources {
        ca_file: Some(ca),
        ..sources(&[&server.url])
    };
    let fetcher = Fetcher::new(&sources, work.path()).unwrap();
    fetcher
        .file(ADDRESS, Some(digest()), &mut quiet())
        .unwrap_err();
    assert_eq!((server.seen().len(), plain.seen().len()), (1, 0));
}

#[test]
fn a_registrys_token_goes_to_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let (server, _) = registry(dir.path());
    let mirror = format!("registry.k8s.io=oci+http://{}/k", server.host());
    let fetcher = Fetcher::new(&sources(&[&mirror]), &dir.path().join("work")).unwrap();
    fetcher
        .image(
            "registry.k8s.io/coredns/coredns:v1.14.6",
            "amd64",
            None,
            &mut Draft::new(),
            &mut quiet(),
        )
        .unwrap();
    let elsewhere: Vec<_> = server
        .seen()
        .into_iter()
        .filter(|request| request.path.starts_with("/cdn/"))
        .collect();
    assert!(!elsewhere.is_empty());
    assert!(
        elsewhere
            .iter()
            .all(|request| !request.headers.contains_key("authorization")),
        "{elsewhere:?}"
    );
}
