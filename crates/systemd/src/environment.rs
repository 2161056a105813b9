//! Files for `EnvironmentFile=`: one `NAME="value"` a line.
//!
//! Values stand in double quotes with `" \ $` and the backtick escaped: systemd and a POSIX shell both read them back as
//! they were, so a wrapper script may source the same file.

use std::fmt::Write as _;

/// A variable that cannot be written.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EnvironmentError {
    /// Not a variable's name.
    #[error("{0:?} is not a variable's name")]
    Name(String),
    /// systemd refuses control characters in values.
    #[error("the value of {0} has a control character")]
    Control(String),
}

/// Renders variables in their order. `prefix` stands before each name: empty, or `export ` for a file that only a shell reads.
pub fn environment<'a>(
    prefix: &str,
    variables: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<String, EnvironmentError> {
    let mut out = String::new();
    for (name, value) in variables {
        let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !first || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(EnvironmentError::Name(name.to_owned()));
        }
        if value.chars().any(char::is_control) {
            return Err(EnvironmentError::Control(name.to_owned()));
        }
        let mut quoted = String::with_capacity(value.len() + 2);
        for c in value.chars() {
            if matches!(c, '"' | '\\' | '$' | '`') {
                quoted.push('\\');
            }
            quoted.push(c);
        }
        let _ = writeln!(out, "{prefix}{name}=\"{quoted}\"");
    }
    Ok(out)
}

/// Reads such a file back, and the simpler ones of older tools: values bare, in double or in single quotes, `export `
/// before the name. Lines that are no assignment are passed over, as systemd does.
pub fn parse_environment(text: &str) -> Vec<(String, String)> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with(['#', ';']))
        .filter_map(|line| line.strip_prefix("export ").unwrap_or(line).split_once('='))
        .map(|(name, value)| (name.trim().to_owned(), unquote(value.trim())))
        .collect()
}

fn unquote(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (Some('"'), '\\') => match chars.next() {
                Some(e @ ('"' | '\\' | '$' | '`')) => out.push(e),
                Some(e) => out.extend(['\\', e]),
                None => out.push('\\'),
            },
            (None, '\\') => out.extend(chars.next()),
            (_, c) => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: [&str; 7] = [
        "plain",
        "",
        "a b",
        "a\"b'c",
        "$HOME `x` \\ \\n",
        "100%+& ;#",
        "ä=ö",
    ];

    #[test]
    fn values_read_back_as_they_were() {
        let names: Vec<String> = (0..VALUES.len()).map(|i| format!("V{i}")).collect();
        let text = environment("", names.iter().map(String::as_str).zip(VALUES)).unwrap();
        let back: Vec<String> = parse_environment(&text)
            .into_iter()
            .map(|(_, value)| value)
            .collect();
        assert_eq!(back, VALUES);
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "a test asks a shell what it reads"
    )]
    fn a_shell_reads_the_same() {
        for value in VALUES {
            let text = environment("export ", [("V", value)]).unwrap() + "printf %s \"$V\"";
            let out = std::process::Command::new("/bin/sh")
                .args(["-c", &text])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&out.stdout), value, "{text}");
        }
    }

    #[test]
    fn bad_names_and_values_are_refused() {
        assert_eq!(
            environment("", [("A B", "x")]),
            Err(EnvironmentError::Name("A B".into()))
        );
        assert_eq!(
            environment("", [("A", "x\nB=y")]),
            Err(EnvironmentError::Control("A".into()))
        );
    }

    #[test]
    fn files_of_older_tools_are_read() {
        let text = "# etcd\nETCD_NAME=h1\nETCD_DATA_DIR='/a b'\n\nexport ETCDCTL_API=3\nnonsense\n";
        let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
        assert_eq!(
            parse_environment(text),
            [
                pair("ETCD_NAME", "h1"),
                pair("ETCD_DATA_DIR", "/a b"),
                pair("ETCDCTL_API", "3")
            ]
        );
    }
}
