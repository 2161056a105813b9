//! systemd's quoting, as its parser undoes it (systemd.syntax(7), systemd.service(5) "Command lines").
//!
//! Three things can happen to a value: words are split and unescaped, `%` specifiers are expanded, `$` variables are
//! substituted. Which of them do depends on the setting; each has its own function here.

use std::fmt::Write as _;

/// Doubles `%`, for settings that take the rest of the line as it is.
pub(crate) fn specifiers(text: &str) -> String {
    text.replace('%', "%%")
}

/// One word among others, for settings that split words and expand specifiers. Quoted only where it must be.
pub(crate) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    let escaped = specifiers(text);
    if !text.is_empty() && text.chars().all(plain) {
        return escaped;
    }
    let mut out = String::from('"');
    for c in escaped.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_ascii_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// One argument of a command line: a word in which `$` stands for itself.
pub(crate) fn argument(text: &str) -> String {
    word(&text.replace('$', "$$"))
}
