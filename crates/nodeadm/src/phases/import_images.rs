//! Hands the images of this role to containerd: first those that the node cannot start without, then the others.

use host::Phase;

use crate::change::Change;
use crate::{Error, Node};

/// The images needed first.
pub struct ImportImages;

/// The others.
pub struct ImportRemainingImages;

fn plan(node: &Node, wanted: &[String]) -> Result<Vec<Change>, Error> {
    let there = node.images()?;
    let references: Vec<String> = wanted
        .iter()
        .filter(|image| !there.contains(*image))
        .cloned()
        .collect();
    Ok(if references.is_empty() {
        Vec::new()
    } else {
        vec![Change::ImportImages { references }]
    })
}

impl Phase<Node> for ImportImages {
    fn name(&self) -> &'static str {
        "import-images"
    }

    fn about(&self) -> &'static str {
        "import the images that the node starts with"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        plan(node, &node.settings().artifacts.images.first)
    }
}

impl Phase<Node> for ImportRemainingImages {
    fn name(&self) -> &'static str {
        "import-remaining-images"
    }

    fn about(&self) -> &'static str {
        "import the images that are needed later"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        plan(node, &node.settings().artifacts.images.later)
    }
}
