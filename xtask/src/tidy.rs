//! Mechanical rules of the source tree: what a reviewer should not have to remember.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::Outcome;
use crate::run::{Task, workspace};
use crate::tools::TOOLS;

/// The floors of `docs/architecture.md`: a crate uses only crates of lower floors.
const FLOORS: [(u8, &[&str]); 4] = [
    (0, &["api", "host", "pki"]),
    (1, &["systemd", "bundle", "capsule", "etcd", "state", "ssh"]),
    (2, &["cli"]),
    (3, &["etcdadm", "nodeadm", "cctl"]),
];

/// What may stand at the top.
const TOP: [&str; 11] = [
    ".cargo",
    ".ci",
    ".clippy.toml",
    ".git",
    ".gitignore",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "crates",
    "docs",
];
const TOP_TOO: [&str; 3] = ["target", "tests", "xtask"];

const MOST_LINES: usize = 700;

pub(crate) fn main() -> Outcome {
    let mut faults = Vec::new();
    top(&mut faults)?;
    floors(&mut faults)?;
    alone(&mut faults)?;
    sources(&mut faults)?;
    links(&mut faults)?;
    if faults.is_empty() {
        println!("tidy: floors, files and words are in order");
        return Ok(());
    }
    Err(format!("tidy found {}:\n  {}", faults.len(), faults.join("\n  ")).into())
}

fn top(faults: &mut Vec<String>) -> Outcome {
    for entry in std::fs::read_dir(workspace())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !TOP.contains(&name.as_str()) && !TOP_TOO.contains(&name.as_str()) {
            faults.push(format!(
                "{name}: not one of the things that stand at the top of the tree"
            ));
        }
    }
    Ok(())
}

fn floors(faults: &mut Vec<String>) -> Outcome {
    let floor: BTreeMap<&str, u8> = FLOORS
        .iter()
        .flat_map(|(floor, names)| names.iter().map(move |name| (*name, *floor)))
        .collect();
    let text = Task::cargo()
        .args([
            "metadata",
            "--format-version=1",
            "--no-deps",
            "--offline",
            "--locked",
        ])
        .text()?;
    let metadata: serde_json::Value = serde_json::from_str(&text)?;
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    for package in list(&metadata["packages"]) {
        let name = package["name"].as_str().unwrap_or_default().to_owned();
        let Some(here) = floor.get(name.as_str()) else {
            continue;
        };
        for dependency in list(&package["dependencies"]) {
            let used = dependency["name"].as_str().unwrap_or_default().to_owned();
            let dev = dependency["kind"].as_str() == Some("dev");
            let ours = !dependency["path"].is_null();
            match floor.get(used.as_str()) {
                Some(there) if there >= here => {
                    faults.push(format!("{name} (floor {here}) uses {used} (floor {there}): only lower floors may be used"));
                }
                None if ours && !dev => {
                    faults.push(format!("{name} uses {used}, which is no crate of a floor"))
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Each tool builds from what `cargo vendor` has, with no other tool in its tree, as those do who package them; nor does
/// any have what only tests need.
fn alone(faults: &mut Vec<String>) -> Outcome {
    let not_shipped = ["lab", "parts", "hosts", "xtask"];
    for tool in TOOLS {
        let text = Task::cargo()
            .args(["tree", "--offline", "--locked", "--package", tool])
            .args(["--edges=normal,build", "--target=all", "--prefix=none"])
            .text()?;
        let used: BTreeSet<&str> = text
            .lines()
            .filter_map(|line| line.split(' ').next())
            .collect();
        let others = TOOLS.iter().chain(&not_shipped);
        for other in others.filter(|other| **other != tool && used.contains(**other)) {
            faults.push(format!(
                "{tool} has {other} in its tree: it must build alone"
            ));
        }
    }
    Ok(())
}

fn sources(faults: &mut Vec<String>) -> Outcome {
    for path in files(&workspace())? {
        let shown = path
            .strip_prefix(workspace())
            .unwrap_or(&path)
            .display()
            .to_string();
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        for word in forbidden() {
            if text.contains(&word) {
                faults.push(format!("{shown}: contains {word:?}"));
            }
        }
        if path.extension().is_some_and(|extension| extension == "rs") {
            let lines = text.lines().count();
            if lines > MOST_LINES {
                faults.push(format!(
                    "{shown}: {lines} lines, split it (at most {MOST_LINES})"
                ));
            }
            if !text.trim_start().starts_with("//!") {
                faults.push(format!("{shown}: begins without saying what it is (//!)"));
            }
            for (number, line) in text.lines().enumerate() {
                if line.contains("serde_yaml::")
                    && !shown.ends_with("api/src/yaml.rs")
                    && !shown.starts_with("xtask/")
                {
                    faults.push(format!(
                        "{shown}:{}: serde_yaml is used by api::yaml alone",
                        number + 1
                    ));
                }
            }
        }
    }
    Ok(())
}

/// Links of pages to files of the tree lead somewhere.
fn links(faults: &mut Vec<String>) -> Outcome {
    for page in files(&workspace())? {
        if page.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let text = std::fs::read_to_string(&page)?;
        let targets = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        for target in targets {
            let path = target.split('#').next().unwrap_or_default();
            let folder = page.parent().unwrap_or(&page);
            if !target.contains("://") && !path.is_empty() && !folder.join(path).exists() {
                faults.push(format!(
                    "{}: links to {target}, which is not there",
                    page.display()
                ));
            }
        }
    }
    Ok(())
}

/// Hosts of package registries and places of one developer's machine: spelled in halves, so that this file is clean.
fn forbidden() -> Vec<String> {
    let halves = [
        ("proxy.go", "lang.org"),
        ("sum.go", "lang.org"),
        ("deb.deb", "ian.org"),
        ("index.cra", "tes.io"),
        ("static.cra", "tes.io"),
        ("/wo", "rk/main"),
        ("/wo", "rk/shared"),
    ];
    halves
        .iter()
        .map(|(one, other)| format!("{one}{other}"))
        .collect()
}

fn files(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let text = Task::new("git")
        .args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "-z",
        ])
        .text()?;
    // Lock files and checksum lists are written by others' tools.
    let ours =
        |name: &&str| !name.is_empty() && !name.ends_with(".lock") && !name.ends_with(".sum");
    Ok(text
        .split('\0')
        .filter(ours)
        .map(|name| folder.join(name))
        .filter(|path| path.is_file())
        .collect())
}
