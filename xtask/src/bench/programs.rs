//! The programs themselves: their size, their start, and how fast a bundle is verified and unpacked.

use std::path::Path;

use super::Row;
use super::measure::{Cost, median, one};
use crate::Outcome;

pub(crate) fn measure(tools: &Path, supplies: &Path) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    for (name, start, limit) in [
        ("etcdadm: size", "etcdadm: start", 5.0),
        ("nodeadm: size", "nodeadm: start", 5.0),
        ("cctl: size", "cctl: start", 8.0),
    ] {
        let tool = tools.join(name.split(':').next().unwrap_or_default());
        let size = tool.metadata()?.len() as f64 / 1e6;
        rows.push(Row {
            name,
            ours: size,
            yardstick: None,
            unit: "MB",
            goal: limit,
        });
        let cost = median(31, &[&tool.to_string_lossy(), "--help"])?;
        rows.push(Row {
            name: start,
            ours: cost.seconds * 1e3,
            yardstick: None,
            unit: "ms",
            goal: 2.0,
        });
    }

    let cctl = tools.join("cctl");
    let cctl = cctl.to_string_lossy();
    let work = supplies.with_extension("bench");
    std::fs::create_dir_all(&work)?;
    let archive = work.join("bundle.tar");
    let archive_path = archive.to_string_lossy().into_owned();
    let layout = supplies.join("bundle.oci").to_string_lossy().into_owned();
    // The yardsticks read and write the very same bytes.
    let tar = [
        "tar",
        "--create",
        "--file",
        &archive_path,
        "--directory",
        &layout,
        "--sort=name",
        "oci-layout",
        "index.json",
        "blobs",
    ];
    one(&tar)?;
    let verify = median(3, &[&cctl, "bundle", "verify", &archive_path])?;
    let sums = median(3, &["sha256sum", &archive_path])?;
    rows.push(against(
        "bundle verify",
        verify.seconds,
        "sha256sum",
        sums.seconds,
        1.0,
    ));
    rows.push(memory("bundle verify: memory", verify.memory));

    let unpacked = work.join("unpacked").to_string_lossy().into_owned();
    let untarred = work.join("untarred").to_string_lossy().into_owned();
    let again = |folder: &str, words: &[&str]| -> Outcome<_> {
        let mut best: Option<Cost> = None;
        for _ in 0..3 {
            remove(folder)?;
            let cost = one(words)?;
            if best.is_none_or(|best| cost.seconds < best.seconds) {
                best = Some(cost);
            }
        }
        remove(folder)?;
        best.ok_or_else(|| "nothing was measured".into())
    };
    let unpack = again(
        &unpacked,
        &[&cctl, "bundle", "unpack", &archive_path, &unpacked],
    )?;
    let untar = again(
        &untarred,
        &[
            "sh",
            "-c",
            &format!("mkdir {untarred} && tar -xf {archive_path} -C {untarred}"),
        ],
    )?;
    rows.push(against(
        "bundle unpack",
        unpack.seconds,
        "tar",
        untar.seconds,
        1.0,
    ));
    rows.push(memory("bundle unpack: memory", unpack.memory));
    std::fs::remove_dir_all(&work)?;
    Ok(rows)
}

fn remove(folder: &str) -> Outcome {
    if Path::new(folder).exists() {
        std::fs::remove_dir_all(folder)?;
    }
    Ok(())
}

fn against(name: &'static str, ours: f64, yardstick: &'static str, other: f64, goal: f64) -> Row {
    Row {
        name,
        ours,
        yardstick: Some((yardstick, other)),
        unit: "s",
        goal,
    }
}

fn memory(name: &'static str, ours: f64) -> Row {
    Row {
        name,
        ours,
        yardstick: None,
        unit: "MB",
        goal: 32.0,
    }
}
