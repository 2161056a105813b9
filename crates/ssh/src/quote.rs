//! The one function that makes a string for a login shell.

/// Words as one command line that every POSIX shell (and csh, which takes `!` even in quotes, and fish, which takes `\`)
/// splits into exactly these words again.
///
/// Plain words stand as they are. Others go into single quotes, in which nothing has a meaning but the quote itself; a
/// quote, `!` and `\` stand outside of them, each behind a backslash.
#[must_use]
pub fn quote<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> String {
    let quoted: Vec<String> = words
        .into_iter()
        .map(|word| quote_word(word.as_ref()))
        .collect();
    quoted.join(" ")
}

fn quote_word(word: &str) -> String {
    let plain = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':' | ',' | '+' | '@')
    };
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let mut quoted = String::from("'");
    for c in word.chars() {
        if matches!(c, '\'' | '!' | '\\') {
            quoted.push_str("'\\");
            quoted.push(c);
            quoted.push('\'');
        } else {
            quoted.push(c);
        }
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn plain_words_stay_legible() {
        assert_eq!(
            quote(["/usr/bin/sudo", "-n", "--", "/bin/cat"]),
            "/usr/bin/sudo -n -- /bin/cat"
        );
        assert_eq!(quote(["a b", "", "it's"]), r"'a b' '' 'it'\''s'");
    }

    /// Every shell that is on this machine must give back exactly the words that went in.
    #[test]
    fn shells_give_back_the_same_words() {
        let words = [
            "",
            " ",
            "$HOME",
            "$(id)",
            "`id`",
            "; rm -rf /",
            "a\nb",
            "\t",
            "'",
            "''",
            "\"",
            "\\",
            "\\'",
            "!",
            "!!",
            "~",
            "~root",
            "*",
            "?",
            "[a]",
            "{a,b}",
            "#",
            "a#b",
            "|",
            "&",
            "&&",
            ">x",
            "<x",
            "(",
            ")",
            "=x",
            "%x",
            "^x",
            "-n",
            "é",
            "\u{1b}[31m",
            "a=b",
            "$'x'",
            "\\n",
            "end\\",
        ];
        let mut tried = 0;
        for shell in ["/bin/sh", "/bin/bash", "/bin/dash", "/bin/busybox"] {
            if !std::path::Path::new(shell).exists() {
                continue;
            }
            let mut command = host::process::command(shell);
            if shell.ends_with("busybox") {
                command.arg("sh");
            }
            let line = quote(["/usr/bin/printf", "%s\\0"].iter().chain(&words));
            command.args(["-c", &line]);
            let output = host::process::run(command, b"", Duration::from_secs(10)).unwrap();
            let back: Vec<&str> = std::str::from_utf8(&output.stdout)
                .unwrap()
                .split_terminator('\0')
                .collect();
            assert_eq!(back, words, "{shell}");
            tried += 1;
        }
        assert!(tried > 0);
    }
}
