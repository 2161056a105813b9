//! Unit files from typed values.
//!
//! A [`Unit`] is a list of sections, each a list of settings in the order in which they were given; a setting may be
//! given more than once, as systemd allows. What a value means decides how it is written ([`Value`]).

use std::fmt::Write as _;

use crate::quote;

/// A value that cannot be written into a unit file.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UnitError {
    /// A line break or another control character where the format has no way to write one.
    #[error("{setting} cannot hold {value:?}: it has a control character")]
    Control {
        /// The setting's name.
        setting: String,
        /// The value as given.
        value: String,
    },
    /// Space at the ends is cut off by systemd's parser in values that are not quoted.
    #[error(
        "{setting} cannot hold {value:?}: it begins or ends with space, or ends with a backslash"
    )]
    Edge {
        /// The setting's name.
        setting: String,
        /// The value as given.
        value: String,
    },
    /// A program must be an absolute path, and systemd takes no quotes and backslashes in one, however quoted.
    #[error(
        "{setting} runs {program:?}, which is not an absolute path without quotes and backslashes"
    )]
    Program {
        /// The setting's name.
        setting: String,
        /// The program as given.
        program: String,
    },
    /// A variable's name.
    #[error("{setting} names the variable {name:?}, which is not a variable's name")]
    Variable {
        /// The setting's name.
        setting: String,
        /// The name as given.
        name: String,
    },
}

/// An argument of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// Given to the program as it stands here.
    Literal(String),
    /// `$NAME`: the variable's value, split into words, from the unit's environment.
    Words(String),
}

impl<T: Into<String>> From<T> for Argument {
    fn from(text: T) -> Self {
        Self::Literal(text.into())
    }
}

/// A command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The program, an absolute path.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<Argument>,
    /// Whether the unit goes on when it fails (`-`).
    pub may_fail: bool,
}

impl Command {
    /// `program` with arguments that stand for themselves; its failure is the unit's.
    pub fn new<I: IntoIterator<Item = S>, S: Into<Argument>>(
        program: impl Into<String>,
        arguments: I,
    ) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            may_fail: false,
        }
    }
}

/// A setting's value, by how systemd reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Written as it is: words of systemd's own, numbers, times, names of units. Never a value from outside.
    Token(String),
    /// Free text, or one path: the rest of the line, specifiers expanded, nothing unquoted (`Description`,
    /// `WorkingDirectory`, `EnvironmentFile`).
    Line(String),
    /// Words that are split, unquoted and expanded (`ReadWritePaths`, `Environment`, `RequiresMountsFor`).
    Words(Vec<String>),
    /// A command line (`ExecStart` and its kin).
    Command(Command),
}

impl From<Command> for Value {
    fn from(command: Command) -> Self {
        Self::Command(command)
    }
}

impl From<&str> for Value {
    fn from(token: &str) -> Self {
        Self::Token(token.to_owned())
    }
}

impl Value {
    /// Free text or one path that fills the line.
    pub fn line(text: impl Into<String>) -> Self {
        Self::Line(text.into())
    }

    /// Words, each quoted as it needs.
    pub fn words<I: IntoIterator<Item = S>, S: Into<String>>(words: I) -> Self {
        Self::Words(words.into_iter().map(Into::into).collect())
    }
}

/// A unit file, or a drop-in for one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    comment: String,
    sections: Vec<(String, Vec<(String, Value)>)>,
}

impl Unit {
    /// A unit whose file begins with `comment`.
    pub fn new(comment: impl Into<String>) -> Self {
        Self {
            comment: comment.into(),
            sections: Vec::new(),
        }
    }

    /// The same with one more setting at the end of `section`.
    #[must_use]
    pub fn with(mut self, section: &str, setting: &str, value: impl Into<Value>) -> Self {
        let at = self
            .sections
            .iter()
            .position(|(name, _)| name == section)
            .unwrap_or_else(|| {
                self.sections.push((section.to_owned(), Vec::new()));
                self.sections.len() - 1
            });
        self.sections[at].1.push((setting.to_owned(), value.into()));
        self
    }

    /// The file's text.
    pub fn render(&self) -> Result<String, UnitError> {
        let mut out = String::new();
        for line in self.comment.lines() {
            let _ = writeln!(out, "# {line}");
        }
        for (section, settings) in &self.sections {
            if !out.is_empty() {
                out.push('\n');
            }
            let _ = writeln!(out, "[{section}]");
            for (setting, value) in settings {
                let _ = writeln!(out, "{setting}={}", render(setting, value)?);
            }
        }
        Ok(out)
    }
}

fn render(setting: &str, value: &Value) -> Result<String, UnitError> {
    match value {
        Value::Token(token) => whole(setting, token).map(str::to_owned),
        Value::Line(text) => whole(setting, text).map(quote::specifiers),
        Value::Words(words) => Ok(words
            .iter()
            .map(|w| quote::word(w))
            .collect::<Vec<_>>()
            .join(" ")),
        Value::Command(command) => render_command(setting, command),
    }
}

/// A value that fills the line unquoted must survive having its ends trimmed and the line continued.
fn whole<'a>(setting: &str, value: &'a str) -> Result<&'a str, UnitError> {
    let (setting, owned) = (setting.to_owned(), value.to_owned());
    if value.chars().any(char::is_control) {
        return Err(UnitError::Control {
            setting,
            value: owned,
        });
    }
    if value.trim() != value || value.ends_with('\\') {
        return Err(UnitError::Edge {
            setting,
            value: owned,
        });
    }
    Ok(value)
}

fn render_command(setting: &str, command: &Command) -> Result<String, UnitError> {
    let safe = |c: char| !c.is_control() && !matches!(c, '"' | '\'' | '\\');
    if !command.program.starts_with('/') || !command.program.chars().all(safe) {
        return Err(UnitError::Program {
            setting: setting.to_owned(),
            program: command.program.clone(),
        });
    }
    // The program's own path has its specifiers expanded, but no variables: `$` is not doubled there.
    let mut out = if command.may_fail {
        String::from("-")
    } else {
        String::new()
    };
    out += &quote::word(&command.program);
    for argument in &command.arguments {
        out.push(' ');
        match argument {
            Argument::Literal(text) => out += &quote::argument(text),
            Argument::Words(name) => {
                let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
                if !first || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                    return Err(UnitError::Variable {
                        setting: setting.to_owned(),
                        name: name.clone(),
                    });
                }
                let _ = write!(out, "${name}");
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
