//! The console blocks of this tool's page, run as they stand.
#![expect(
    clippy::disallowed_methods,
    reason = "runs programs in a folder of its own"
)]

/// What the page's commands are given.
const FILES: [(&str, &str); 2] = [
    (
        "node.yaml",
        "apiVersion: klusterkit.dev/v1alpha1\nkind: NodeConfiguration\nkubernetesVersion: v1.37.2\ncontrolPlaneEndpoint: 10.77.0.100\n",
    ),
    (
        "wrong.yaml",
        "apiVersion: klusterkit.dev/v1alpha1\nkind: NodeConfiguration\nkubernetesVersoin: v1.37.2\n",
    ),
];

#[test]
fn the_page_s_console_blocks_are_true() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in FILES {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    std::env::set_current_dir(folder.path()).unwrap();
    trycmd::TestCases::new()
        .env("COLUMNS", "100")
        .register_bin(
            "nodeadm",
            std::path::Path::new(env!("CARGO_BIN_EXE_nodeadm")),
        )
        .case(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../docs/nodeadm.md"
        ))
        .run();
}
