//! The whole recipe of a part as one text, and the key that is its digest.
//!
//! Two recipes with one key give one program; whatever could change the result
//! (pins, stand-in modules, flags, compiler, architecture) is in the text. Which
//! C compiler and C library are used is not: they come with the machine.

use std::path::{Path, PathBuf};

use crate::catalog::{Build, Part};
use crate::files::{self, FileError};

/// The recipe's text and its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// What is kept beside the programs, for a reader.
    pub text: String,
    /// SHA-256 of the text, cut to 16 hex digits: it names a folder.
    pub key: String,
}

/// Where the pinned modules lie: in this crate's own folder.
pub fn modules_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("modules")
}

/// Writes out the recipe of a part for a compiler (as `go1.26.8`) and a
/// platform (as `linux/amd64`).
///
/// # Errors
/// When the part's module folder cannot be read.
pub fn recipe(
    part: &Part,
    modules: &Path,
    compiler: &str,
    platform: &str,
) -> Result<Recipe, FileError> {
    let mut text = format!("part {part}\ncompiler {compiler}\nplatform {platform}\n");
    match &part.build {
        Build::Go(go) => {
            text += &format!("cgo {}\n", u8::from(go.cgo));
            text += &format!("tags {}\n", go.tags);
            text += &format!("ldflags {}\n", go.ldflags);
            for package in &go.packages {
                text += &format!("package {package}\n");
            }
            for (from, to) in go.rename {
                text += &format!("rename {from} {to}\n");
            }
            for (module, path) in go.keep {
                text += &format!("keep {module} {path}\n");
            }
        }
        Build::C(c) => {
            text += &format!("source {} {}\n", c.module, c.source);
            text += &format!("arguments {}\n", c.arguments.join(" "));
            text += &format!("program {}\n", c.program);
        }
    }
    let folder = modules.join(part.module_folder());
    for file in files::walk(&folder)? {
        let (digest, _) = files::sha256_of(&folder.join(&file))?;
        text += &format!("file {} {digest}\n", file.display());
    }
    let key = files::sha256(text.as_bytes())[..16].to_owned();
    Ok(Recipe { text, key })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::find;

    fn runc(modules: &Path) -> Recipe {
        recipe(
            &find("runc", "1.5.2").unwrap(),
            modules,
            "go1.26.8",
            "linux/amd64",
        )
        .unwrap()
    }

    #[test]
    fn all_that_matters_is_in_the_text() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("runc-1.5.2");
        files::write(&folder.join("go.mod"), b"module x\n").unwrap();
        files::write(&folder.join("stubs/a/go.mod"), b"module a\n").unwrap();
        insta::assert_snapshot!(runc(dir.path()).text, @r"
        part runc-1.5.2
        compiler go1.26.8
        platform linux/amd64
        cgo 1
        tags seccomp urfave_cli_no_docs netgo osusergo
        ldflags -s -w -linkmode external -extldflags -static
        package github.com/opencontainers/runc
        file go.mod fc4a3fdfa1b8230e721b7eaada825923cc3b4219dee283230bcec3f6be74c274
        file stubs/a/go.mod 45c71e5e64d6ca2468b936c03ae7192b6767aa0a3b86e9ff885c20a533c1d253
        ");
    }

    #[test]
    fn the_key_follows_pins_flags_and_compiler() {
        let dir = tempfile::tempdir().unwrap();
        let pin = dir.path().join("runc-1.5.2/go.sum");
        files::write(&pin, b"one\n").unwrap();
        let first = runc(dir.path()).key;
        assert_eq!(first.len(), 16);
        assert_eq!(first, runc(dir.path()).key);

        let mut part = find("runc", "1.5.2").unwrap();
        let newer = recipe(&part, dir.path(), "go1.26.9", "linux/amd64").unwrap();
        assert_ne!(first, newer.key);
        if let Build::Go(go) = &mut part.build {
            go.tags = "";
        }
        let untagged = recipe(&part, dir.path(), "go1.26.8", "linux/amd64").unwrap();
        assert_ne!(first, untagged.key);
        files::write(&pin, b"two\n").unwrap();
        assert_ne!(first, runc(dir.path()).key);
    }
}
