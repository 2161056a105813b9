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

#[test]
fn every_check_is_on_the_page_of_refusals() {
    let read = |path: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    let (page, refusals) = (
        read("../../docs/etcdadm.md"),
        read("../../docs/envelope.md"),
    );
    let checks = page
        .split("## Checks")
        .nth(1)
        .and_then(|rest| rest.split("## ").next());
    let rows = checks
        .unwrap_or_default()
        .lines()
        .filter(|line| line.starts_with("| "));
    let names: Vec<&str> = rows
        .flat_map(|row| row.split('`').skip(1).step_by(2))
        .collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(
            refusals.contains(&format!("`{name}`")),
            "{name} is not told of"
        );
    }
}
