//! Quoting, by text and by systemd's own eyes. One test needs `systemd-analyze`.

use std::process::Command as Process;

use super::{Argument, Command, Unit, UnitError, Value};

const NASTY: &str = "/data/a b+c%d$e\"f'g\\h&i;j";

fn sample() -> Unit {
    Unit::new("Written by a test.\nTwo lines.")
        .with("Unit", "Description", Value::line("100% sure"))
        .with("Unit", "After", "network-online.target")
        .with(
            "Service",
            "Environment",
            Value::words([format!("DIR={NASTY}"), "PLAIN=x".into(), "EMPTY=".into()]),
        )
        .with(
            "Service",
            "ReadWritePaths",
            Value::words([NASTY, "/var/lib/x"]),
        )
        .with(
            "Service",
            "ExecStart",
            Command::new(
                "/bin/echo",
                [
                    Argument::from(NASTY),
                    Argument::Words("MORE".into()),
                    "".into(),
                    "a=b".into(),
                ],
            ),
        )
        .with("Unit", "Documentation", "https://example.org/")
}

#[test]
fn values_are_quoted_by_their_kind() {
    insta::assert_snapshot!(sample().render().unwrap(), @r##"
    # Written by a test.
    # Two lines.

    [Unit]
    Description=100%% sure
    After=network-online.target
    Documentation=https://example.org/

    [Service]
    Environment="DIR=/data/a b+c%%d$e\"f'g\\h&i;j" PLAIN=x EMPTY=
    ReadWritePaths="/data/a b+c%%d$e\"f'g\\h&i;j" /var/lib/x
    ExecStart=/bin/echo "/data/a b+c%%d$$e\"f'g\\h&i;j" $MORE "" a=b
    "##);
}

#[test]
fn what_cannot_be_written_is_refused() {
    let one = |value: Value| Unit::default().with("Service", "X", value).render();
    assert!(matches!(
        one(Value::line("a\nExecStart=/bin/evil")),
        Err(UnitError::Control { .. })
    ));
    assert!(matches!(
        one(Value::line(" a")),
        Err(UnitError::Edge { .. })
    ));
    assert!(matches!(
        one(Value::line("a\\")),
        Err(UnitError::Edge { .. })
    ));
    assert!(matches!(
        one(Value::from("a\nb")),
        Err(UnitError::Control { .. })
    ));
    assert!(matches!(
        one(Command::new("etcd", ["x"]).into()),
        Err(UnitError::Program { .. })
    ));
    for program in ["/a'b", "/a\"b", "/a\\b"] {
        let refused = one(Command::new(program, ["x"]).into());
        assert!(
            matches!(refused, Err(UnitError::Program { .. })),
            "{program}"
        );
    }
    let variable = Command::new("/x", [Argument::Words("A B".into())]);
    assert!(matches!(
        one(variable.into()),
        Err(UnitError::Variable { .. })
    ));
    assert_eq!(
        one(Value::words(["a\nb"])).unwrap(),
        "[Service]\nX=\"a\\nb\"\n"
    );
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a test asks systemd whether it understands the file"
)]
fn systemd_understands_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sample.service");
    std::fs::write(&file, sample().render().unwrap()).unwrap();
    let out = Process::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(&file)
        .output()
        .expect("this test needs systemd-analyze");
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(!said.contains("sample.service"), "{said}");
}
