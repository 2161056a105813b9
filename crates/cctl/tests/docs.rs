//! The console blocks of this tool's page and of the README, run as they stand.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "runs programs in a folder of its own"
)]

use std::path::Path;

use bundle::oci::Platform;
use bundle::{ComponentSpec, Draft};

/// A bundle with one small file in it, and a cluster file with a slip.
fn prepare(folder: &Path) {
    let release = folder.join("etcd-v3.7.3-linux-amd64.tar.gz");
    std::fs::write(&release, "a release").unwrap();
    let mut draft = Draft::new();
    draft
        .add_component(&ComponentSpec {
            name: "etcd".to_owned(),
            version: "v3.7.3".to_owned(),
            platform: Platform::linux("amd64"),
            files: vec![("etcd-v3.7.3-linux-amd64.tar.gz".to_owned(), release)],
        })
        .unwrap();
    draft
        .write_folder(&folder.join("bundle.oci"), &mut |_| {})
        .unwrap();
    let wrong = "apiVersion: klusterkit.dev/v1alpha1\nkind: ClusterConfiguration\nmetadata: {name: prod}\nkubernets: {version: v1.37.2}\n";
    std::fs::write(folder.join("wrong.yaml"), wrong).unwrap();
}

#[test]
fn the_pages_console_blocks_are_true() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    std::env::set_current_dir(folder.path()).unwrap();
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    trycmd::TestCases::new()
        .env("COLUMNS", "100")
        .register_bin("cctl", Path::new(env!("CARGO_BIN_EXE_cctl")))
        .case(top.join("docs/cctl.md"))
        .case(top.join("docs/recovery.md"))
        .case(top.join("README.md"))
        .run();
}
