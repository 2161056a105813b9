//! Layers of images of our own making: a plain tar of given files, the same bytes for the same content.
//!
//! It takes files, folders and links one by one, in the caller's order; it does not walk a tree. Owner is root, times
//! are zero. Entry point: [`LayerBuilder`].

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use tar::{EntryType, Header};

/// Writes a layer to `out`.
pub struct LayerBuilder<W: Write> {
    tar: tar::Builder<W>,
}

impl<W: Write> LayerBuilder<W> {
    /// An empty layer.
    pub fn new(out: W) -> Self {
        LayerBuilder {
            tar: tar::Builder::new(out),
        }
    }

    /// Adds a folder; `name` is relative to the image's root, as `usr/bin`.
    ///
    /// # Errors
    /// When `out` does not take it, or the name is absolute or has `..` in it.
    pub fn folder(&mut self, name: &str, mode: u32) -> io::Result<()> {
        self.tar.append_data(
            &mut header(EntryType::Directory, mode, 0),
            format!("{name}/"),
            io::empty(),
        )
    }

    /// Adds a file that lies on disk.
    ///
    /// # Errors
    /// As [`LayerBuilder::folder`], and when the file cannot be read.
    pub fn file(&mut self, name: &str, mode: u32, path: &Path) -> io::Result<()> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        self.tar.append_data(
            &mut header(EntryType::Regular, mode, size),
            name,
            file.take(size),
        )
    }

    /// Adds a file with this content.
    ///
    /// # Errors
    /// As [`LayerBuilder::folder`].
    pub fn bytes(&mut self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.tar.append_data(
            &mut header(EntryType::Regular, mode, content.len() as u64),
            name,
            content,
        )
    }

    /// Adds a symbolic link that points to `target`.
    ///
    /// # Errors
    /// As [`LayerBuilder::folder`].
    pub fn link(&mut self, name: &str, target: &str) -> io::Result<()> {
        self.tar
            .append_link(&mut header(EntryType::Symlink, 0o777, 0), name, target)
    }

    /// Ends the layer and gives back where it was written.
    ///
    /// # Errors
    /// When `out` does not take the end.
    pub fn finish(self) -> io::Result<W> {
        self.tar.into_inner()
    }
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header
}
