//! Puts files of a backup where they were. What lies there and differs is set aside.
//!
//! Only the very paths that the index names are written, through folders alone: a link on the way is an error, and one in a
//! file's place is set aside as it is.

use std::path::Path;

use api::{HostFile, HostFiles};
use host::{Change, Digest, Error, Inspect, Kind, OnHost, Phase, Run};

use crate::found::{FOUND, Found};
use crate::paths;
use crate::phases::reset::trees;

/// Folders that configure nothing: nothing is put there, whatever a backup says.
const NEVER: [&str; 5] = ["/dev", "/proc", "/run", "/sys", "/var/lib/nodeadm"];

/// Folders below Kubernetes' own that kubeadm fills.
const KUBEADM_S: [&str; 2] = ["manifests", "pki"];

/// See the module.
pub(crate) struct PutFilesBack<'f> {
    index: &'f HostFiles,
    contents: &'f [Vec<u8>],
}

impl<'f> PutFilesBack<'f> {
    /// Those of these that are to be put back; the contents are in the index's order.
    pub(crate) fn new(index: &'f HostFiles, contents: &'f [Vec<u8>]) -> Self {
        Self { index, contents }
    }

    /// The folders above a file that are not there.
    fn folders(&self, seen: &dyn Inspect, path: &Path) -> Result<Vec<Change>, Error> {
        let mut plan = Vec::new();
        let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
        above.reverse();
        for folder in above.into_iter().skip(1) {
            match seen.stat(folder)?.map(|stat| stat.kind) {
                Some(Kind::Dir) => {}
                Some(kind) => {
                    return Err(Error::InTheWay {
                        path: folder.to_owned(),
                        found: kind.words(),
                        wanted: "a folder",
                    });
                }
                None => {
                    let known = self.index.folders.iter().find(|known| known.path == folder);
                    plan.push(Change::MakeDir {
                        path: folder.to_owned(),
                        mode: known.map_or(0o755, |known| known.mode),
                    });
                }
            }
        }
        Ok(plan)
    }

    /// `reset` leaves a host as it was found, and takes folders of Kubernetes' with all that is in them: what the admin had
    /// put there before there was a cluster counts as found. In folders that kubeadm fills, too, nothing can be kept.
    fn found(&self, seen: &dyn Inspect) -> Result<Vec<Change>, Error> {
        let bytes = seen.read(Path::new(FOUND), 1 << 20)?;
        let Some(mut found) = bytes.and_then(|bytes| serde_json::from_slice::<Found>(&bytes).ok())
        else {
            return Ok(Vec::new());
        };
        let before = found.clone();
        for file in self.index.files.iter().filter(|file| file.put_back) {
            for tree in trees() {
                let inside = file.path.strip_prefix(tree).ok();
                let first = inside.and_then(|inside| inside.components().next());
                let Some(first) = first.and_then(|first| first.as_os_str().to_str()) else {
                    continue;
                };
                if KUBEADM_S.contains(&first) {
                    continue;
                }
                let kept = found.inside.entry(tree.to_owned()).or_default();
                if !kept.iter().any(|known| known == first) {
                    kept.push(first.to_owned());
                }
                if !found.had(tree) {
                    found.paths.push(tree.to_owned());
                }
            }
        }
        if found == before {
            return Ok(Vec::new());
        }
        Ok(vec![Change::private_file(FOUND, found.text())])
    }

    fn file(
        &self,
        seen: &dyn Inspect,
        file: &HostFile,
        bytes: &[u8],
    ) -> Result<Vec<Change>, Error> {
        let path = &file.path;
        let mut plan = self.folders(seen, path)?;
        let found = seen.stat(path)?;
        let same = match found {
            Some(found) if found.kind == Kind::File => {
                seen.digest(path)? == Some(Digest::of(bytes))
            }
            Some(found) if found.kind != Kind::Link => {
                return Err(Error::InTheWay {
                    path: path.clone(),
                    found: found.kind.words(),
                    wanted: "a file",
                });
            }
            _ => false,
        };
        match found {
            Some(found) if same && found.mode == file.mode => {
                // What a dry run would write is nobody's yet.
                let owned = (found.uid, found.gid) == (file.uid, file.gid);
                let chown = (!owned && !seen.is_dry_run()).then(|| own(file));
                return Ok(chown.into_iter().collect());
            }
            Some(_) if same => {
                let (path, mode) = (path.clone(), file.mode);
                return Ok(vec![Change::SetMode { path, mode }]);
            }
            Some(_) => plan.extend(set_aside(seen, path)?),
            None => {}
        }
        plan.push(Change::WriteFile {
            path: path.clone(),
            mode: file.mode,
            content: bytes.to_vec().into(),
        });
        Ok(plan)
    }
}

/// Gives a file its owner: by number, as it was.
fn own(file: &HostFile) -> Change {
    let owner = format!("{}:{}", file.uid, file.gid);
    let path = file.path.display().to_string();
    let words = ["--no-dereference", "--", &owner, &path];
    Change::Run(Run::new("chown", words))
}

/// Named by what is in it: what is set aside twice is there once.
fn set_aside(seen: &dyn Inspect, path: &Path) -> Result<Vec<Change>, Error> {
    let mut plan = Vec::new();
    let aside = Path::new(paths::ASIDE);
    if seen.stat(aside)?.is_none() {
        let path = aside.to_owned();
        plan.push(Change::MakeDir { path, mode: 0o700 });
    }
    let digest = match seen.read_link(path)? {
        Some(target) => Digest::of(target.as_os_str().as_encoded_bytes()),
        None => seen.digest(path)?.unwrap_or_else(|| Digest::of(b"")),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let to = aside.join(format!("{}-{name}", &digest.to_string()[..12]));
    let path = path.to_owned();
    plan.push(match seen.stat(&to)? {
        Some(_) => Change::Remove { path },
        None => Change::SetAside { path, to },
    });
    Ok(plan)
}

impl<'h> Phase<OnHost<'h>> for PutFilesBack<'_> {
    fn name(&self) -> &'static str {
        "put-files-back"
    }

    fn about(&self) -> &'static str {
        "put the files of a backup where they were"
    }

    fn plan(&self, seen: &(dyn Inspect + 'h)) -> Result<Vec<Change>, Error> {
        for (file, bytes) in self.index.files.iter().zip(self.contents) {
            let never = NEVER.iter().any(|folder| file.path.starts_with(folder));
            if file.put_back && never {
                return Err(Error::InTheWay {
                    path: file.path.clone(),
                    found: "where no configuration lies",
                    wanted: "a file's place",
                });
            }
            if file.put_back {
                let plan = self.file(seen, file, bytes)?;
                if !plan.is_empty() {
                    return Ok(plan);
                }
            }
        }
        self.found(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host::{Host, Memory, Nothing, Overlay, Runner, Silent};

    fn index(path: &str, mode: u32, bytes: &[u8]) -> HostFiles {
        let mut index = HostFiles::new("h1");
        index.files.push(HostFile {
            path: path.into(),
            mode,
            uid: 0,
            gid: 0,
            size: bytes.len() as u64,
            sha256: Digest::of(bytes).to_string(),
            why: "a test".to_owned(),
            put_back: true,
        });
        let folder = Path::new(path).parent().unwrap().to_owned();
        let mode = 0o700;
        index.folders.push(api::HostFolder { path: folder, mode });
        index
    }

    fn run(
        host: &mut Memory,
        index: &HostFiles,
        contents: &[Vec<u8>],
    ) -> Result<Vec<String>, String> {
        let phase = PutFilesBack::new(index, contents);
        let summary = Runner::new(&mut Silent, None)
            .run(&mut OnHost(host), &[&phase])
            .map_err(|error| format!("{error:?}"))?;
        Ok(summary
            .changes
            .into_iter()
            .map(|made| made.change)
            .collect())
    }

    #[test]
    fn what_differs_is_set_aside_and_a_second_run_does_nothing() {
        let mut host: Memory = Overlay::new(Nothing);
        let contents = [b"a key".to_vec()];
        let index = index("/etc/kubernetes/enc/enc.yaml", 0o600, b"a key");
        let changes = run(&mut host, &index, &contents).unwrap();
        insta::assert_snapshot!(changes.join("\n"), @r"
        make folder /etc (0755)
        make folder /etc/kubernetes (0755)
        make folder /etc/kubernetes/enc (0700)
        write /etc/kubernetes/enc/enc.yaml (0600, 5 bytes, sha256 8fa3aab2faa9…)
        ");
        assert_eq!(run(&mut host, &index, &contents).unwrap(), [""; 0]);

        let path = Path::new("/etc/kubernetes/enc/enc.yaml");
        host.apply(&Change::file(path, "another key")).unwrap();
        let changes = run(&mut host, &index, &contents).unwrap();
        insta::assert_snapshot!(changes.join("\n"), @r"
        make folder /var/lib/nodeadm/aside (0700)
        set /etc/kubernetes/enc/enc.yaml aside as /var/lib/nodeadm/aside/2aa50b47c923-enc.yaml
        write /etc/kubernetes/enc/enc.yaml (0600, 5 bytes, sha256 8fa3aab2faa9…)
        ");
        host.apply(&Change::file(path, "another key")).unwrap();
        run(&mut host, &index, &contents).unwrap();
        host.apply(&Change::SetMode {
            path: path.into(),
            mode: 0o644,
        })
        .unwrap();
        let changes = run(&mut host, &index, &contents).unwrap();
        assert_eq!(changes.len(), 1, "{changes:?}");
        assert_eq!(host.stat(path).unwrap().unwrap().mode, 0o600);
        assert_eq!(run(&mut host, &index, &contents).unwrap(), [""; 0]);
    }

    #[test]
    fn a_reset_leaves_what_was_put_back() {
        let mut host: Memory = Overlay::new(Nothing);
        let found = Change::private_file(FOUND, Found::default().text());
        host.apply(&found).unwrap();
        let contents = [b"a key".to_vec()];
        let known = |host: &Memory| {
            let bytes = host.read(Path::new(FOUND), 1 << 20).unwrap().unwrap();
            serde_json::from_slice::<Found>(&bytes).unwrap()
        };
        let pod = index("/etc/kubernetes/manifests/own.yaml", 0o600, b"a key");
        run(&mut host, &pod, &contents).unwrap();
        assert_eq!(known(&host), Found::default());
        let index = index("/etc/kubernetes/enc/enc.yaml", 0o600, b"a key");
        run(&mut host, &index, &contents).unwrap();
        let kubernetes = Path::new(paths::KUBERNETES);
        assert!(known(&host).had(kubernetes));
        assert_eq!(known(&host).inside[kubernetes], ["enc"]);
        assert_eq!(run(&mut host, &index, &contents).unwrap(), [""; 0]);
    }

    #[test]
    fn no_link_is_followed() {
        let mut host: Memory = Overlay::new(Nothing);
        let contents = [b"a key".to_vec()];
        let link = |path: &str, target: &str| Change::Link {
            path: path.into(),
            target: target.into(),
        };
        host.apply(&Change::MakeDir {
            path: "/etc".into(),
            mode: 0o755,
        })
        .unwrap();
        host.apply(&link("/etc/x", "/root")).unwrap();
        let through = run(&mut host, &index("/etc/x/y", 0o600, b"a key"), &contents);
        assert!(through.unwrap_err().contains("a symbolic link"));
        run(&mut host, &index("/etc/x", 0o600, b"a key"), &contents).unwrap();
        assert_eq!(
            host.stat(Path::new("/etc/x")).unwrap().unwrap().kind,
            Kind::File
        );
        for never in ["/proc/sys/kernel/x", "/var/lib/nodeadm/node.json"] {
            assert!(run(&mut host, &index(never, 0o600, b"a key"), &contents).is_err());
        }
    }
}
