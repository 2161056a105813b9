//! Another program reads our layouts: skopeo, of the distribution.
//!
//! The test fails where skopeo is missing; it does not skip itself.

use std::process::Command;

use crate::support::{draft, quiet};

fn skopeo(args: &[&str]) -> String {
    let output = Command::new("skopeo")
        .args(args)
        .output()
        .expect("skopeo is installed (apt-get install skopeo)");
    assert!(
        output.status.success(),
        "skopeo {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn skopeo_reads_and_copies_an_image_of_a_bundle() {
    let dir = tempfile::tempdir().unwrap();
    let draft = draft(dir.path());
    let folder = dir.path().join("folder");
    draft.write_folder(&folder, &mut quiet()).unwrap();
    draft
        .write_archive(&dir.path().join("bundle.tar"), &mut quiet())
        .unwrap();
    let reference = "registry.k8s.io/coredns/coredns:v1.14.6";
    let shown = skopeo(&["inspect", &format!("oci:{}:{reference}", folder.display())]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["Architecture"], "amd64");
    assert_eq!(shown["Layers"].as_array().unwrap().len(), 2);
    let archive = format!(
        "oci-archive:{}:{reference}",
        dir.path().join("bundle.tar").display()
    );
    let shown_too = skopeo(&["inspect", &archive]);
    let shown_too: serde_json::Value = serde_json::from_str(&shown_too).unwrap();
    assert_eq!(shown_too["Digest"], shown["Digest"]);

    // Copying makes skopeo unpack every layer and compare the diff ids; what it writes, we read.
    let copy = dir.path().join("copy");
    let target = format!("oci:{}:{reference}", copy.display());
    skopeo(&[
        "copy",
        "--insecure-policy",
        "--quiet",
        "--preserve-digests",
        &archive,
        &target,
    ]);
    let copied = bundle::Layout::open(&copy).unwrap();
    assert!(copied.image(reference, "amd64").unwrap().is_some());
    assert_eq!(
        shown["Digest"],
        copied.entries().unwrap()[0].manifest().digest.to_oci()
    );
    let again = dir.path().join("again.tar");
    skopeo(&[
        "copy",
        "--insecure-policy",
        "--quiet",
        "--preserve-digests",
        &target,
        &format!("oci-archive:{}:{reference}", again.display()),
    ]);
    assert!(
        bundle::Layout::open(&again)
            .unwrap()
            .image(reference, "amd64")
            .unwrap()
            .is_some()
    );
}
