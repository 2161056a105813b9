//! A bundle from a file of versions.
//!
//! Everything that the file asks for is fetched, checked against its pin or, where that is allowed, against what upstream
//! publishes, and written as one layout. What is fetched waits in a working folder, so that a run that was cut off
//! goes on; the bundle itself appears whole or not at all. Entry point: [`create`].

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api::yaml;
use host::Digest;
use serde::Serialize;
use serde_json::Value;

use crate::contents::Entry;
use crate::draft::{ComponentSpec, Draft, DraftError};
use crate::fetch::{FetchError, FetchedFile, Fetcher, FoundImage, Sources};
use crate::layout::{Layout, LayoutError};
use crate::oci::Platform;
use crate::versions::{Pins, UpstreamFile, VersionsError, VersionsFile};
use crate::{Progress, ProgressFn, folder};

/// A bundle cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The file of versions asks for something that nothing is known of.
    #[error(transparent)]
    Versions(#[from] VersionsError),
    /// Something cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The bundle cannot be collected or written.
    #[error(transparent)]
    Draft(#[from] DraftError),
    /// A layout that is copied from cannot be read.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Something has no pin, and nobody said that upstream is to be trusted.
    #[error("{name} is not pinned in {path}")]
    Unpinned {
        /// The file's address or the image's reference.
        name: String,
        /// The file of versions.
        path: PathBuf,
    },
    /// flannel's manifest is no YAML.
    #[error("flannel's manifest {path} cannot be understood")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// The cause.
        source: yaml::YamlError,
    },
    /// A folder of node tools lacks one.
    #[error("{path} does not exist: the node tools for {arch} are wanted there")]
    NoTool {
        /// The tool's path.
        path: PathBuf,
        /// The architecture.
        arch: String,
    },
    /// Nobody said where the node tools are.
    #[error("no folder is known that has the node tools for {arch}")]
    NoTools {
        /// The architecture.
        arch: String,
    },
    /// A node tool is for other machines, or no program at all.
    #[error("{path} is no program for {arch}")]
    OtherTool {
        /// The tool's path.
        path: PathBuf,
        /// The architecture.
        arch: String,
    },
    /// A layout that should hold an image does not.
    #[error("{path} has no image {reference} for {arch}")]
    NoImage {
        /// The layout.
        path: PathBuf,
        /// The image.
        reference: String,
        /// The architecture.
        arch: String,
    },
    /// The working folder cannot be removed.
    #[error("cannot remove the working folder {path}")]
    Work {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

/// Where the bundle goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// One tar file, which replaces another.
    Archive(PathBuf),
    /// A folder, where nothing may lie yet.
    Folder(PathBuf),
}

impl Output {
    fn path(&self) -> &Path {
        match self {
            Output::Archive(path) | Output::Folder(path) => path,
        }
    }
}

/// How a bundle is made.
#[derive(Debug, Clone)]
pub struct Create {
    /// Where to fetch from.
    pub sources: Sources,
    /// Takes what upstream has, where nothing is pinned.
    pub trust_upstream: bool,
    /// Takes what upstream has, whatever was pinned, and gives back new pins.
    pub update_pins: bool,
    /// Version of the node tools.
    pub tools_version: String,
    /// Folders with the node tools, by architecture, where the file of versions names none.
    pub tools: BTreeMap<String, PathBuf>,
    /// Where what was fetched waits, and stays for the next bundle. Beside the bundle, and only until it is there,
    /// where none is named.
    pub work: Option<PathBuf>,
    /// Where the bundle goes.
    pub output: Output,
}

impl Create {
    /// The folder in which what was fetched waits.
    pub fn work_folder(&self) -> PathBuf {
        let output = self.output.path();
        let beside = || {
            let name = output.file_name().unwrap_or_default().to_string_lossy();
            output.with_file_name(format!(".{name}.partial"))
        };
        self.work.clone().unwrap_or_else(beside)
    }
}

/// A bundle that was made.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Created {
    /// Where it lies.
    pub path: PathBuf,
    /// What is in it, in words.
    pub entries: Vec<String>,
    /// Bytes of its blobs.
    pub bytes: u64,
    /// Digests of all that was fetched, to be written by [`VersionsFile::write_pins`].
    #[serde(skip)]
    pub pins: Pins,
    /// Names of what was pinned to another digest before.
    pub changed: Vec<String>,
}

/// Makes a bundle.
///
/// # Errors
/// At the first thing that cannot be fetched, is not what it should be, or is not pinned. No bundle is left behind then.
pub fn create(
    versions: &VersionsFile,
    how: &Create,
    progress: ProgressFn<'_>,
) -> Result<Created, CreateError> {
    let output = how.output.path();
    let work = how.work_folder();
    let fetcher = Fetcher::new(&how.sources, &work)?;
    let mut maker = Maker {
        versions,
        how,
        fetcher,
        draft: Draft::new(),
        pins: Pins::default(),
        entries: Vec::new(),
        done: BTreeSet::new(),
    };
    maker.collect(progress)?;
    let Maker {
        draft,
        pins,
        entries,
        ..
    } = maker;
    let bytes = draft.size();
    progress(Progress::Step {
        what: &format!("write {}", output.display()),
        bytes: Some(bytes),
    });
    match &how.output {
        Output::Archive(path) => draft.write_archive(path, progress)?,
        Output::Folder(path) => draft.write_folder(path, progress)?,
    }
    if how.work.is_none() {
        folder::remove_work(&work).map_err(|source| CreateError::Work {
            path: work.clone(),
            source,
        })?;
    }
    let changed = |old: &BTreeMap<String, Digest>, new: &BTreeMap<String, Digest>| {
        let differs = |(name, digest): &(&String, &Digest)| {
            old.get(*name).is_some_and(|other| other != *digest)
        };
        new.iter()
            .filter(differs)
            .map(|(name, _)| name.clone())
            .collect::<Vec<_>>()
    };
    let before = &versions.pins;
    let changed = [
        changed(&before.files, &pins.files),
        changed(&before.images, &pins.images),
    ]
    .concat();
    let entries = entries.iter().map(Entry::describe).collect();
    Ok(Created {
        path: output.to_owned(),
        entries,
        bytes,
        pins,
        changed,
    })
}

struct Maker<'a> {
    versions: &'a VersionsFile,
    how: &'a Create,
    fetcher: Fetcher,
    draft: Draft,
    pins: Pins,
    entries: Vec<Entry>,
    /// Components that are in the draft, by name and architecture.
    done: BTreeSet<(&'static str, String)>,
}

impl Maker<'_> {
    fn collect(&mut self, progress: ProgressFn<'_>) -> Result<(), CreateError> {
        let configuration = &self.versions.configuration;
        let mut images = configuration.known_images()?;
        // What is missing and what lacks a pin is told before the first byte is fetched.
        for arch in &configuration.architectures {
            self.node_tools(arch)?;
            for component in configuration.upstream_components(arch) {
                for file in &component.files {
                    self.allowed(&file.address, self.versions.pins.files.get(&file.address))?;
                }
            }
            for image in images
                .iter()
                .filter(|image| self.layout_of(image).is_none())
            {
                let key = Pins::image_key(image, arch);
                self.allowed(image, self.versions.pins.images.get(&key))?;
            }
        }
        for arch in &configuration.architectures {
            self.components(arch, &mut images, progress)?;
            self.add_node_tools(arch)?;
        }
        let mut seen = BTreeSet::new();
        images.retain(|image| seen.insert(image.clone()));
        self.images(&images, progress)
    }

    fn allowed(&self, name: &str, pin: Option<&Digest>) -> Result<(), CreateError> {
        if pin.is_some() || self.how.trust_upstream || self.how.update_pins {
            return Ok(());
        }
        Err(CreateError::Unpinned {
            name: name.to_owned(),
            path: self.versions.path.clone(),
        })
    }

    /// Fetches the files of an architecture's components and adds these; adds to `images` those that flannel wants.
    fn components(
        &mut self,
        arch: &str,
        images: &mut Vec<String>,
        progress: ProgressFn<'_>,
    ) -> Result<(), CreateError> {
        let mut components = self.versions.configuration.upstream_components(arch);
        // What is for any architecture came with the first.
        components.retain(|it| self.done.insert((it.name, it.arch.clone())));
        let files: Vec<&UpstreamFile> = components.iter().flat_map(|it| &it.files).collect();
        let fetched = self
            .fetcher
            .each(&files, progress, |file, told| self.file(file, told))?;
        let mut fetched = fetched.into_iter();
        for component in &components {
            let mut files = Vec::new();
            for (file, fetched) in component.files.iter().zip(&mut fetched) {
                let address = file.address.clone();
                self.pins.files.insert(address, fetched.digest);
                if component.name == "flannel" {
                    images.extend(images_of_manifest(&fetched.path)?);
                }
                files.push((file.name.clone(), fetched.path));
            }
            let spec = ComponentSpec {
                name: component.name.to_owned(),
                version: component.version.clone(),
                platform: Platform::linux(&component.arch),
                files,
            };
            let entry = self.draft.add_component(&spec)?;
            self.entries.push(entry);
        }
        Ok(())
    }

    fn file(
        &self,
        file: &UpstreamFile,
        progress: ProgressFn<'_>,
    ) -> Result<FetchedFile, CreateError> {
        let pin = self
            .versions
            .pins
            .files
            .get(&file.address)
            .copied()
            .filter(|_| !self.how.update_pins);
        let expected = match (&pin, &file.checksum) {
            (None, Some(checksums)) => Some(self.fetcher.published(checksums, &file.name)?),
            _ => pin,
        };
        Ok(self.fetcher.file(&file.address, expected, progress)?)
    }

    /// The layout that the file of versions says an image is in.
    fn layout_of(&self, reference: &str) -> Option<PathBuf> {
        let vip = self
            .versions
            .configuration
            .vip
            .as_ref()
            .filter(|vip| vip.image == reference)?;
        Some(self.beside_versions(vip.from.as_ref()?))
    }

    fn beside_versions(&self, path: &Path) -> PathBuf {
        self.versions
            .path
            .parent()
            .unwrap_or(Path::new("."))
            .join(path)
    }

    /// Fetches images and adds them: all manifests first, then the blobs, each once.
    fn images(&mut self, images: &[String], progress: ProgressFn<'_>) -> Result<(), CreateError> {
        let mut wanted = Vec::new();
        for arch in &self.versions.configuration.architectures {
            for image in images {
                if self.layout_of(image).is_none() {
                    // flannel's images are known only now.
                    let key = Pins::image_key(image, arch);
                    self.allowed(image, self.versions.pins.images.get(&key))?;
                }
                wanted.push((image, arch));
            }
        }
        let found = self
            .fetcher
            .each(&wanted, progress, |(image, arch), told| {
                self.find_image(image, arch, told)
            })?;
        let mut blobs = BTreeMap::new();
        for image in &found {
            for blob in image.blobs() {
                blobs.entry(blob.digest).or_insert((image, blob));
            }
        }
        let mut blobs: Vec<_> = blobs.into_values().collect();
        blobs.sort_by_key(|(_, blob)| std::cmp::Reverse(blob.size));
        self.fetcher.each(&blobs, progress, |(image, blob), told| {
            self.fetcher.image_blob(image, blob, told)
        })?;
        for ((image, arch), found) in wanted.into_iter().zip(found) {
            let entry = self.fetcher.add_image(found, &mut self.draft)?;
            if self.layout_of(image).is_none() {
                let key = Pins::image_key(image, arch);
                self.pins.images.insert(key, entry.manifest().digest);
            }
            self.entries.push(entry);
        }
        Ok(())
    }

    fn find_image(
        &self,
        reference: &str,
        arch: &str,
        progress: ProgressFn<'_>,
    ) -> Result<FoundImage, CreateError> {
        let Some(path) = self.layout_of(reference) else {
            let key = Pins::image_key(reference, arch);
            let pin = self.versions.pins.images.get(&key).copied();
            let pin = pin.filter(|_| !self.how.update_pins);
            return Ok(self.fetcher.find_image(reference, arch, pin, progress)?);
        };
        let layout = Arc::new(Layout::open(&path)?);
        let no_image = || CreateError::NoImage {
            path,
            reference: reference.to_owned(),
            arch: arch.to_owned(),
        };
        let image = layout.image(reference, arch)?.ok_or_else(no_image)?;
        Ok(FoundImage::Layout(layout, Box::new(image)))
    }

    /// The node tools for an architecture, by name: all there, and for it.
    fn node_tools(&self, arch: &str) -> Result<Vec<(&'static str, PathBuf)>, CreateError> {
        let configuration = &self.versions.configuration;
        let mut wanted = NODE_TOOLS.to_vec();
        wanted.retain(|name| !configuration.is_without(name));
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let folder = match configuration.node_tools.get(arch) {
            Some(folder) => self.beside_versions(folder),
            None => self
                .how
                .tools
                .get(arch)
                .cloned()
                .ok_or_else(|| CreateError::NoTools {
                    arch: arch.to_owned(),
                })?,
        };
        let mut tools = Vec::new();
        for name in wanted {
            let path = folder.join(name);
            let arch = arch.to_owned();
            if !path.is_file() {
                return Err(CreateError::NoTool { path, arch });
            }
            if !is_program_for(&path, &arch)? {
                return Err(CreateError::OtherTool { path, arch });
            }
            tools.push((name, path));
        }
        Ok(tools)
    }

    fn add_node_tools(&mut self, arch: &str) -> Result<(), CreateError> {
        for (name, path) in self.node_tools(arch)? {
            let spec = ComponentSpec {
                name: name.to_owned(),
                version: self.how.tools_version.clone(),
                platform: Platform::linux(arch),
                files: vec![(name.to_owned(), path)],
            };
            let entry = self.draft.add_component(&spec)?;
            self.entries.push(entry);
        }
        Ok(())
    }
}

/// The programs of ours that hosts run.
const NODE_TOOLS: [&str; 2] = ["etcdadm", "nodeadm"];

/// Whether the head of the file at `path` is that of a program for `arch` (ELF's `e_machine`). An architecture that
/// nothing is known of is taken on trust.
fn is_program_for(path: &Path, arch: &str) -> Result<bool, CreateError> {
    let machine: u8 = match arch {
        "amd64" => 0x3e,
        "arm64" => 0xb7,
        _ => return Ok(true),
    };
    let mut head = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(20).read_to_end(&mut head));
    read.map_err(|source| FetchError::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(head.starts_with(b"\x7fELF\x02\x01") && head.get(18..20) == Some(&[machine, 0]))
}

/// The images that a Kubernetes manifest's containers run.
pub fn images_of_manifest(path: &Path) -> Result<Vec<String>, CreateError> {
    let read_error = |source| FetchError::Read {
        path: path.to_owned(),
        source,
    };
    let size = path.metadata().map_err(read_error)?.len();
    if size > yaml::LIMIT {
        return Err(read_error(std::io::Error::other("it is too large for a manifest")).into());
    }
    let text = std::fs::read_to_string(path).map_err(read_error)?;
    let mut images = Vec::new();
    for part in yaml::split(&text) {
        let value: Value = part.parse().map_err(|source| CreateError::Manifest {
            path: path.to_owned(),
            source,
        })?;
        collect_images(&value, &mut images);
    }
    images.dedup();
    Ok(images)
}

fn collect_images(value: &Value, images: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(image) if key == "image" => images.push(image.clone()),
                    _ => collect_images(value, images),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_images(item, images)),
        _ => {}
    }
}
