//! The console blocks of the page about bundles, run as they stand.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "makes an upstream and runs programs in a folder of its own"
)]

mod upstream;

use std::path::Path;

use upstream::{KUBELET, VERSIONS};

#[test]
fn the_pages_console_blocks_are_true() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    upstream::lay_out(dir);
    std::fs::write(dir.join("versions.yaml"), VERSIONS).unwrap();
    let misspelt = VERSIONS
        .replace("# What our clusters run.\n", "")
        .replace("kubernetes:", "kubernets:");
    std::fs::write(dir.join("misspelt.yaml"), misspelt).unwrap();
    let damaged = dir.join("damaged").join(KUBELET);
    std::fs::create_dir_all(damaged.parent().unwrap()).unwrap();
    for item in std::fs::read_dir(dir.join("upstream")).unwrap() {
        let item = item.unwrap();
        if item.file_name() == "github.com" {
            std::os::unix::fs::symlink(item.path(), dir.join("damaged/github.com")).unwrap();
        }
    }
    for name in ["kubeadm", "kubectl"] {
        let sound = dir.join("upstream").join(KUBELET).with_file_name(name);
        std::fs::copy(sound, damaged.with_file_name(name)).unwrap();
    }
    std::fs::write(damaged, "damaged").unwrap();
    std::env::set_current_dir(dir).unwrap();
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    trycmd::TestCases::new()
        .register_bin("cctl", Path::new(env!("CARGO_BIN_EXE_cctl")))
        .case(top.join("docs/bundle.md"))
        .run();
}
