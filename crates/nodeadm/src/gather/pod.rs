//! What a static pod says of files: the paths in its containers' arguments, and what is mounted where.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use api::yaml::YamlError;
use serde_json::Value;

/// Arguments that name what is written, and not what is read.
const WRITTEN: [&str; 4] = ["--audit-log-path", "--log-file", "--log-dir", "--cert-dir"];

/// A path in an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Argument {
    /// The container's name.
    pub container: String,
    /// As `--audit-policy-file`; the whole word where there is no flag.
    pub flag: String,
    /// As the container sees it.
    pub path: PathBuf,
}

/// A static pod.
#[derive(Debug, Default)]
pub(super) struct Pod {
    /// Its name.
    pub name: String,
    /// All paths in the arguments of its containers.
    pub arguments: Vec<Argument>,
    /// What it mounts of the host.
    pub volumes: Vec<PathBuf>,
    /// By container: where something is mounted, and what of the host.
    mounts: BTreeMap<String, Vec<(PathBuf, PathBuf)>>,
}

impl Pod {
    /// Understands a manifest.
    pub(super) fn read(text: &str) -> Result<Self, YamlError> {
        let manifest: Value = api::yaml::from_str(text)?;
        let mut pod = Self {
            name: string(&manifest, "/metadata/name"),
            ..Self::default()
        };
        let mut volumes = BTreeMap::new();
        for volume in list(&manifest, "/spec/volumes") {
            let path = PathBuf::from(string(volume, "/hostPath/path"));
            if path.is_absolute() {
                volumes.insert(string(volume, "/name"), path.clone());
                pod.volumes.push(path);
            }
        }
        let first = list(&manifest, "/spec/initContainers");
        for container in first.iter().chain(list(&manifest, "/spec/containers")) {
            let name = string(container, "/name");
            let mut mounts = Vec::new();
            for mount in list(container, "/volumeMounts") {
                if let Some(path) = volumes.get(&string(mount, "/name")) {
                    let sub = string(mount, "/subPath");
                    let path = if sub.is_empty() {
                        path.clone()
                    } else {
                        path.join(sub)
                    };
                    mounts.push((PathBuf::from(string(mount, "/mountPath")), path));
                }
            }
            let words = list(container, "/command")
                .iter()
                .chain(list(container, "/args"));
            let mut before = String::new();
            for word in words.filter_map(Value::as_str) {
                for argument in arguments(&name, &before, word) {
                    if !WRITTEN.contains(&argument.flag.as_str()) {
                        pod.arguments.push(argument);
                    }
                }
                before = word.to_owned();
            }
            pod.mounts.insert(name, mounts);
        }
        Ok(pod)
    }

    /// Where what a container sees at `path` lies on the host; `None` for what lies in its image. The innermost mount counts.
    pub(super) fn on_host(&self, container: &str, path: &Path) -> Option<PathBuf> {
        let mounts = self.mounts.get(container)?.iter();
        let covering = mounts.filter(|(at, _)| path.starts_with(at));
        let (at, host) = covering.max_by_key(|(at, _)| at.components().count())?;
        let rest = path.strip_prefix(at).ok()?;
        Some(if rest.as_os_str().is_empty() {
            host.clone()
        } else {
            host.join(rest)
        })
    }

    /// The same for whichever of its containers sees something there. Of no pod at all: the path itself.
    pub(super) fn anywhere(&self, path: &Path) -> Option<PathBuf> {
        if self.mounts.is_empty() {
            return Some(path.to_owned());
        }
        self.mounts
            .keys()
            .find_map(|container| self.on_host(container, path))
    }
}

/// The paths in one word: `--flag=/a`, `--flag=/a,/b`, `--flag=key:/a`; or `/a` after `--flag`.
fn arguments(container: &str, before: &str, word: &str) -> Vec<Argument> {
    let (flag, values) = match word.split_once('=') {
        Some((flag, values)) if flag.starts_with('-') => (flag, values),
        _ if before.starts_with('-') && !before.contains('=') => (before, word),
        _ => (word, word),
    };
    let values = values.split(',').filter_map(|value| {
        let at = if value.starts_with('/') {
            0
        } else {
            value.find(":/")? + 1
        };
        let path = &value[at..];
        (!path.starts_with("//")).then(|| Argument {
            container: container.to_owned(),
            flag: flag.to_owned(),
            path: path.into(),
        })
    });
    values.collect()
}

fn string(value: &Value, pointer: &str) -> String {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default().to_owned()
}

fn list<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    let found = value.pointer(pointer).and_then(Value::as_array);
    found.map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stand_in_words_in_many_ways() {
        let found = |before: &str, word: &str| {
            let found = arguments("c", before, word);
            let shown: Vec<String> = found
                .iter()
                .map(|argument| format!("{} {}", argument.flag, argument.path.display()))
                .collect();
            shown.join("; ")
        };
        assert_eq!(found("kube-apiserver", "--a=/x/y"), "--a /x/y");
        assert_eq!(found("", "--a=/x,/y"), "--a /x; --a /y");
        assert_eq!(found("--a", "/x"), "--a /x");
        assert_eq!(
            found("", "--sni=/x.crt,/x.key:a.example"),
            "--sni /x.crt; --sni /x.key:a.example"
        );
        assert_eq!(found("", "--a=https://10.0.0.1/x"), "");
        assert_eq!(found("", "--a=unix:///run/kms.sock"), "");
        assert_eq!(
            found("", "/usr/local/bin/x"),
            "/usr/local/bin/x /usr/local/bin/x"
        );
        assert_eq!(found("--a=1", "--b"), "");
    }

    #[test]
    fn the_innermost_mount_says_where_a_file_lies() {
        let pod = Pod::read(
            "metadata: {name: p}\nspec:\n  containers:\n  - name: c\n    command: [c, --a=/etc/x/in/f, --b=/image/f]\n    volumeMounts:\n    - {name: outer, mountPath: /etc/x}\n    - {name: inner, mountPath: /etc/x/in}\n  volumes:\n  - {name: outer, hostPath: {path: /outer}}\n  - {name: inner, hostPath: {path: /inner}}\n",
        )
        .unwrap();
        let at = |path: &str| pod.on_host("c", Path::new(path));
        assert_eq!(at("/etc/x/in/f"), Some("/inner/f".into()));
        assert_eq!(at("/etc/x/f"), Some("/outer/f".into()));
        assert_eq!(at("/etc/xy"), None);
        assert_eq!(pod.arguments.len(), 2);
        assert_eq!(pod.volumes.len(), 2);
        assert!(Pod::read("{").is_err());
    }
}
