//! YAML, read and written. The one module that uses `serde_yaml`.
//!
//! Reading is strict: a document goes through a generic value first, which refuses duplicate keys, then into its type.
//! Errors carry line and column in the whole file, and unknown fields the nearest known name. What is written is
//! quoted so that YAML 1.1 readers (Go's, Python's) read the same strings: see [`to_string`].

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// At most this much YAML is read from one file.
pub const LIMIT: u64 = 4 << 20;

/// A text that is not YAML, or not of the expected shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", place(.line, .column))]
pub struct YamlError {
    /// What is wrong.
    pub message: String,
    /// Line in the file, from 1; 0 when not known.
    pub line: usize,
    /// Column, from 1; 0 when not known.
    pub column: usize,
}

fn place(line: &usize, column: &usize) -> String {
    if *line == 0 {
        String::new()
    } else {
        format!(" (line {line}, column {column})")
    }
}

/// One document of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    text: &'a str,
    lines_before: usize,
}

/// The documents of a file, each with its place. Empty ones (a trailing `---`, comments alone) are left out.
#[must_use]
pub fn split(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let (mut start, mut start_line) = (0, 0);
    let mut offset = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let marker = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        if marker {
            parts.push(Part {
                text: &text[start..offset],
                lines_before: start_line,
            });
            // What follows the marker on its line belongs to the new document.
            (start, start_line) = (offset + 3, number);
        }
        offset += line.len();
    }
    parts.push(Part {
        text: &text[start..],
        lines_before: start_line,
    });
    let content = |line: &str| !matches!(line.trim().chars().next(), None | Some('#'));
    parts.retain(|part| part.text.lines().any(content));
    parts
}

impl Part<'_> {
    /// Reads it as a `T`.
    ///
    /// # Errors
    /// [`YamlError`], with the place in the whole file.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, YamlError> {
        // A map type keeps the last of duplicate keys without a word; a generic value refuses them.
        let checked = serde_yaml::from_str::<serde_yaml::Value>(self.text).map(drop);
        checked
            .and_then(|()| serde_yaml::from_str(self.text))
            .map_err(|error| self.error(&error))
    }

    fn error(&self, error: &serde_yaml::Error) -> YamlError {
        let (line, column) = error
            .location()
            .map_or((0, 0), |at| (at.line() + self.lines_before, at.column()));
        let text = error.to_string();
        // The library puts the place into its message as well.
        let message = text.split(" at line ").next().unwrap_or(&text);
        YamlError {
            message: did_you_mean(message),
            line,
            column,
        }
    }
}

/// Reads a text of one document.
///
/// # Errors
/// [`YamlError`].
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, YamlError> {
    Part {
        text,
        lines_before: 0,
    }
    .parse()
}

/// Turns "unknown field `x`, expected one of …" into the nearest known name, or the whole list when none is near.
fn did_you_mean(message: &str) -> String {
    let Some((before, known)) = message.split_once(", expected ") else {
        return message.to_owned();
    };
    let Some(unknown) = before
        .rsplit('`')
        .nth(1)
        .filter(|_| before.contains("unknown field"))
    else {
        return message.to_owned();
    };
    let names = known.split('`').skip(1).step_by(2);
    let near = names
        .map(|name| (strsim::damerau_levenshtein(unknown, name), name))
        .min();
    match near {
        Some((distance, name)) if distance <= 1 + unknown.len() / 3 => {
            format!("{before}, did you mean `{name}`?")
        }
        _ => message.to_owned(),
    }
}

/// Writes a value as YAML that every reader reads alike: block style, keys in their order, every string that is not
/// plainly a word in double quotes (JSON's quoting is valid YAML).
///
/// # Panics
/// Never for plain data; a map whose keys are not strings cannot be written.
#[must_use]
pub fn to_string<T: Serialize>(value: &T) -> String {
    let value = serde_json::to_value(value).expect("documents have string keys");
    let mut text = String::new();
    write_value(&mut text, &value, 0, false);
    text
}

fn write_value(out: &mut String, value: &Value, indent: usize, in_list: bool) {
    let pad = "  ".repeat(indent);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (i, (key, value)) in fields.iter().enumerate() {
                if i > 0 || !in_list {
                    out.push_str(&pad);
                }
                out.push_str(&scalar(key));
                out.push(':');
                write_nested(out, value, indent);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (i, item) in items.iter().enumerate() {
                if i > 0 || !in_list {
                    out.push_str(&pad);
                }
                out.push_str("- ");
                write_value(out, item, indent + 1, true);
            }
        }
        Value::String(text) => {
            out.push_str(&scalar(text));
            out.push('\n');
        }
        other => {
            out.push_str(&other.to_string());
            out.push('\n');
        }
    }
}

fn write_nested(out: &mut String, value: &Value, indent: usize) {
    let pad = "  ".repeat(indent + 1);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            out.push('\n');
            write_value(out, value, indent + 1, false);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            write_value(out, value, indent + 1, false);
        }
        // A certificate or a script stays legible: a literal block, if nothing in it would be changed by one.
        Value::String(text) if literal(text) => {
            out.push_str(" |\n");
            for line in text.lines() {
                out.push_str(&pad);
                out.push_str(line);
                out.push('\n');
            }
        }
        _ => {
            out.push(' ');
            write_value(out, value, indent + 1, false);
        }
    }
}

fn literal(text: &str) -> bool {
    let plain = |line: &str| {
        !line.is_empty() && !line.starts_with(' ') && line.chars().all(|c| matches!(c, ' '..='~'))
    };
    text.len() > 1 && text.ends_with('\n') && text.lines().all(plain)
}

/// A word that no YAML version takes for anything but a string stands bare; all else is quoted.
fn scalar(text: &str) -> String {
    const WORDS: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let starts = text
        .chars()
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '/');
    if starts && text.chars().all(inner) && !WORDS.contains(&text.to_ascii_lowercase().as_str()) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// JSON's quoting, with the characters escaped that YAML takes for line breaks and JSON does not.
fn quoted(text: &str) -> String {
    let json = Value::from(text).to_string();
    let breaks = |c: char| {
        matches!(
            c,
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}'
        )
    };
    let escape = |c: char| {
        if breaks(c) {
            format!("\\u{:04x}", u32::from(c))
        } else {
            c.to_string()
        }
    };
    if json.contains(breaks) {
        json.chars().map(escape).collect()
    } else {
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn duplicate_keys_are_refused_everywhere() {
        let map =
            from_str::<std::collections::BTreeMap<String, u8>>("a: 1\nb: 2\na: 3\n").unwrap_err();
        assert!(
            map.message.contains("duplicate entry with key \"a\""),
            "{map}"
        );
    }

    #[test]
    fn places_are_those_of_the_whole_file() {
        let text = "a: 1\n---\n# only a comment\n---\nb: [\n";
        let parts = split(text);
        assert_eq!(parts.len(), 2);
        assert_eq!(parts[0].parse::<Value>().unwrap(), json!({"a": 1}));
        assert!(parts[1].parse::<Value>().unwrap_err().line >= 5);
        assert_eq!(split("--- {a: 1}\n--- \n...\n").len(), 2);
    }

    #[test]
    fn every_reader_reads_the_same_strings() {
        let hard = [
            "no",
            "on",
            "Yes",
            "y",
            "12:30",
            "12:30:45",
            "1_000",
            "2026-01-01",
            "0644",
            "0o17",
            "1.10",
            "1e3",
            ".5",
            "~",
            "null",
            "",
            " a",
            "a ",
            "a: b",
            "a #b",
            "- a",
            "? a",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "`a`",
            "'",
            "\"",
            "\\",
            "a\nb",
            "a\n",
            "\n",
            " x\n",
            "\ttab",
            "é",
            "\u{85}",
            "\u{2028}",
            "{",
            "[",
            "|",
            ">",
            "=",
            "<<",
            ".inf",
            ".nan",
        ];
        for text in hard {
            let document = json!({"key": text, "list": [text, {"inner": text}], text: 1});
            let written = to_string(&document);
            assert_eq!(from_str::<Value>(&written).unwrap(), document, "{written}");
            let bare = format!("key: {text}\n");
            assert!(
                !written.contains(&bare) || literal(text),
                "{text:?} stands bare in {written}"
            );
        }
    }

    #[test]
    fn what_is_written_is_pleasant_to_read() {
        let document = json!({"apiVersion": "klusterkit.dev/v1alpha1", "machines": [{"address": "10.77.0.11",
            "roles": ["master"], "labels": {}}], "pem": "-----BEGIN X-----\nAAAA\n-----END X-----\n", "n": 3});
        insta::assert_snapshot!(to_string(&document), @r#"
        apiVersion: klusterkit.dev/v1alpha1
        machines:
          - address: "10.77.0.11"
            roles:
              - master
            labels: {}
        pem: |
          -----BEGIN X-----
          AAAA
          -----END X-----
        "n": 3
        "#);
    }
}
