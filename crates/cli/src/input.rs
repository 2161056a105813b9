//! Documents from a file or standard input.

use std::io::Read;

use api::Documents;

use crate::{Error, Kind, ResultExt};

/// Reads `path`, or standard input for `-`, at most 4 MiB.
///
/// # Errors
/// A usage error that names the file.
pub fn read_input(path: &str) -> Result<String, Error> {
    let limit = api::yaml::LIMIT;
    let mut bytes = Vec::new();
    let name = if path == "-" { "standard input" } else { path };
    let result = if path == "-" {
        std::io::stdin()
            .lock()
            .take(limit + 1)
            .read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
    };
    result
        .map_err(|source| InputError::Read {
            name: name.to_owned(),
            source,
        })
        .kind(Kind::Usage)?;
    if bytes.len() as u64 > limit {
        return Err(Error::usage(InputError::TooLarge {
            name: name.to_owned(),
        }));
    }
    String::from_utf8(bytes).map_err(|_| {
        Error::usage(InputError::NotText {
            name: name.to_owned(),
        })
    })
}

/// Reads all documents of `path`, or of standard input for `-`.
///
/// # Errors
/// A usage error that names the file, the line and the column.
pub fn read_documents(path: &str) -> Result<Documents, Error> {
    let name = if path == "-" { "standard input" } else { path };
    Documents::parse(&read_input(path)?).map_err(|source| {
        Error::usage(InputError::Document {
            name: name.to_owned(),
            source,
        })
    })
}

#[derive(Debug, thiserror::Error)]
enum InputError {
    #[error("could not read {name}")]
    Read {
        name: String,
        source: std::io::Error,
    },
    #[error("{name} is larger than 4 MiB")]
    TooLarge { name: String },
    #[error("{name} is not UTF-8 text")]
    NotText { name: String },
    #[error("{name} is at fault")]
    Document {
        name: String,
        source: api::DocumentError,
    },
}
