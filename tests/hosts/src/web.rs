//! A small web application: two pods that say their names, behind a Service.

use std::path::Path;
use std::time::Duration;

use bundle::oci::{Execution, Platform};
use bundle::{Draft, ImageSpec, LayerBuilder, LayerSource};
use lab::{Host, wait_until};
use serde_json::json;

use crate::{Admin, Error};

/// The image, whose only program is busybox.
pub const IMAGE: &str = "klusterkit.dev/web:1";
const NAME: &str = "web.default.svc.cluster.local";
const DNS: &str = "10.96.0.10";

/// The application in a cluster.
#[derive(Debug)]
pub struct Web<'a> {
    admin: &'a Admin<'a>,
}

impl<'a> Web<'a> {
    /// Brings its image to `nodes`, which have no registry to pull it from, and applies it.
    ///
    /// # Errors
    /// A host or the cluster does not take it.
    pub fn deploy(admin: &'a Admin<'a>, nodes: &[Host], replicas: usize) -> Result<Self, Error> {
        let archive = admin.file("web.tar");
        write_image(&archive)?;
        for node in nodes {
            let import = [
                "/opt/bin/ctr",
                "--namespace",
                "k8s.io",
                "images",
                "import",
                "/dev/stdin",
            ];
            node.exec(import).stdin_file(&archive).check()?;
        }
        let manifest = manifest(replicas).to_string();
        admin
            .kubectl(["apply", "--filename", "-"])?
            .stdin(manifest)
            .check()?;
        let replicas = format!("--for=jsonpath={{.status.readyReplicas}}={replicas}");
        admin
            .kubectl(["wait", "deployment/web", &replicas, "--timeout=120s"])?
            .check()?;
        Ok(Self { admin })
    }

    /// The one that was deployed before.
    #[must_use]
    pub fn of(admin: &'a Admin<'a>) -> Self {
        Self { admin }
    }

    /// The nodes that its pods run on.
    ///
    /// # Errors
    /// The cluster does not tell.
    pub fn nodes(&self) -> Result<Vec<String>, Error> {
        let pods = self.admin.get(&["pods", "--selector", "app=web"])?;
        let items = pods["items"].as_array().cloned().unwrap_or_default();
        let mut nodes: Vec<String> = items
            .iter()
            .filter_map(|pod| pod["spec"]["nodeName"].as_str().map(str::to_owned))
            .collect();
        nodes.sort();
        Ok(nodes)
    }

    /// Asks for its page from `host`, by its name in the cluster's DNS, until both pods have answered at least once.
    ///
    /// # Errors
    /// Not within a minute.
    pub fn reach_from(&self, host: &Host, pods: usize) -> Result<Vec<String>, Error> {
        let mut seen: Vec<String> = Vec::new();
        let what = format!(
            "{pods} pods of the Service to answer {} by name",
            host.name()
        );
        wait_until(&what, Duration::from_secs(60), || {
            let answer = host
                .exec(["busybox", "nslookup", NAME, DNS])
                .output()?
                .text();
            let address = answer
                .rsplit("Address: ")
                .next()
                .unwrap_or_default()
                .split_whitespace()
                .next();
            let Some(address) = address
                .filter(|address| address.starts_with("10.9") || address.starts_with("10.1"))
            else {
                return Ok(false);
            };
            let url = format!("http://{address}/");
            let page = host
                .exec(["curl", "--silent", "--max-time", "2", &url])
                .output()?;
            let page_text = page.text();
            if page.success() && !seen.contains(&page_text) {
                seen.push(page_text);
            }
            Ok(seen.len() >= pods)
        })?;
        seen.sort();
        Ok(seen)
    }
}

/// Debian's static busybox, which every host of the lab has, as an image.
fn write_image(to: &Path) -> Result<(), Error> {
    let busybox = Path::new("/bin/busybox");
    let base = lab::Base::ensure()?;
    let from = base
        .root()
        .join(busybox.strip_prefix("/").unwrap_or(busybox));
    let error = |source| Error::File {
        action: "pack",
        path: from.clone(),
        source,
    };
    let mut layer = LayerBuilder::new(Vec::new());
    layer.folder("bin", 0o755).map_err(error)?;
    layer.file("bin/busybox", 0o755, &from).map_err(error)?;
    layer.folder("www", 0o755).map_err(error)?;
    for name in ["sh", "httpd", "hostname"] {
        layer
            .link(&format!("bin/{name}"), "busybox")
            .map_err(error)?;
    }
    let mut draft = Draft::new();
    draft.add_image(&ImageSpec {
        reference: IMAGE.to_owned(),
        platform: Platform::linux(if cfg!(target_arch = "aarch64") {
            "arm64"
        } else {
            "amd64"
        }),
        config: Execution {
            env: vec!["PATH=/bin".to_owned()],
            // httpd alone, as a container's first process, would be deaf to SIGTERM.
            entrypoint: [
                "/bin/sh",
                "-c",
                "hostname > /www/index.html; trap 'exit 0' TERM; httpd -f -p 80 -h /www & wait",
            ]
            .map(str::to_owned)
            .to_vec(),
            ..Execution::default()
        },
        layers: vec![LayerSource::Bytes(layer.finish().map_err(error)?)],
    })?;
    if to.exists() {
        let error = |source| Error::File {
            action: "remove",
            path: to.to_owned(),
            source,
        };
        std::fs::remove_file(to).map_err(error)?;
    }
    draft.write_archive(to, &mut |_| {})?;
    Ok(())
}

fn manifest(replicas: usize) -> serde_json::Value {
    let labels = json!({"app": "web"});
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {
                "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
                    "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": labels}}],
                "containers": [{"name": "web", "image": IMAGE, "imagePullPolicy": "Never",
                    "ports": [{"containerPort": 80}]}]}}}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {
            "selector": labels, "ports": [{"port": 80}]}},
    ]})
}
