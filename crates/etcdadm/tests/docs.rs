//! The console blocks of this tool's page, run as they stand.

#[test]
fn the_page_s_console_blocks_are_true() {
    let folder = tempfile::tempdir().unwrap();
    std::env::set_current_dir(folder.path()).unwrap();
    trycmd::TestCases::new()
        .env("COLUMNS", "100")
        .register_bin(
            "etcdadm",
            std::path::Path::new(env!("CARGO_BIN_EXE_etcdadm")),
        )
        .case(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../docs/etcdadm.md"
        ))
        .run();
}
