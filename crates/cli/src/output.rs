//! Results on standard output.

use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
}

impl Format {
    /// `value` in this format; `text` is what people read.
    pub fn render<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) -> String {
        let mut out = match self {
            Self::Text => text(value),
            Self::Json => serde_json::to_string_pretty(value).expect("plain data becomes JSON"),
            Self::Yaml => api::yaml::to_string(value),
        };
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        out
    }
}

/// The result could not be told; what was done is done.
#[derive(Debug, thiserror::Error)]
#[error("could not write the result to standard output")]
pub(crate) struct OutputError(#[source] io::Error);

/// Writes data to standard output. A reader that went away (`| head`) is no error.
pub(crate) fn write_stdout(text: &str) -> Result<(), OutputError> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(OutputError(e)),
        _ => Ok(()),
    }
}
