//! Keeps what could be had nowhere else: authorities that were made on this host, and the files that go with them.
//!
//! Authorities that were handed over are kept by whoever did that; they are not left lying here.

use std::path::{Path, PathBuf};

use host::{Digest, Inspect, Kind, Phase};

use crate::change::Change;
use crate::record::Record;
use crate::{Error, Node, paths};

/// See the module.
pub struct SetDataAside;

impl Phase<Node> for SetDataAside {
    fn name(&self) -> &'static str {
        "set-data-aside"
    }

    fn about(&self) -> &'static str {
        "keep the cluster's authorities if they were made here"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let seen = node.host();
        let pki = Path::new(paths::PKI);
        let handed = Record::read(seen)?.is_some_and(|record| record.authorities_handed);
        let (Some(certificate), Some(_)) = (
            seen.read(&pki.join("ca.crt"), 1 << 20)?,
            seen.stat(&pki.join("ca.key"))?,
        ) else {
            return Ok(Vec::new());
        };
        if handed {
            return Ok(Vec::new());
        }
        // Named by the authority: the same at every try, and another cluster's is another folder.
        let name = &Digest::of(&certificate).to_string()[..12];
        let to = Path::new(paths::ASIDE).join(format!("kubernetes-{name}"));
        let mut plan: Vec<Change> = Vec::new();
        for folder in [Path::new(paths::ASIDE), &to] {
            if seen.stat(folder)?.is_none() {
                plan.push(
                    host::Change::MakeDir {
                        path: folder.to_owned(),
                        mode: 0o700,
                    }
                    .into(),
                );
            }
        }
        let mut files = Vec::new();
        collect(seen, Path::new(paths::KUBERNETES), &mut files)?;
        for path in files {
            let content = seen.read(&path, 4 << 20)?.unwrap_or_default();
            let copy = to.join(path.strip_prefix(paths::KUBERNETES).unwrap_or(&path));
            if seen.read(&copy, 4 << 20)?.as_deref() != Some(&content[..]) {
                plan.push(host::Change::private_file(copy, content).into());
            }
        }
        Ok(plan)
    }
}

fn collect(seen: &dyn Inspect, folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    for name in seen.list(folder)?.unwrap_or_default() {
        let path = folder.join(name);
        match seen.stat(&path)?.map(|stat| (stat.kind, stat.size)) {
            Some((Kind::Dir, _)) => collect(seen, &path, files)?,
            Some((Kind::File, size)) if size < 4 << 20 => files.push(path),
            _ => {}
        }
    }
    Ok(())
}
