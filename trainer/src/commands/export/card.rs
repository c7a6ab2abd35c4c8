//! The model card of an exported folder: what the weights are, what they learned from and under which
//! terms, and how they are loaded.
//!
//! It says what the checkpoint knows and what the user said, and nothing else. Its head is the YAML
//! that model hubs read.

use std::fmt::Write;

use model::Network;
use model::files::checkpoint::Header;
use schemas::imagenet::{MEAN, STD};

use crate::cli::ExportArgs;
use crate::config::RunConfig;

/// What the card is made from.
pub(super) struct Card<'a> {
    /// Of the checkpoint.
    pub(super) header: &'a Header,
    /// Of the run.
    pub(super) config: &'a RunConfig,
    /// Of the command.
    pub(super) args: &'a ExportArgs,
    /// Licence of the images, one line.
    pub(super) license: &'a str,
}

impl Card<'_> {
    /// The whole file.
    pub(super) fn text(&self) -> String {
        let arch = self.config.model.arch.name();
        let method = self.config.method.name.title();
        let mut text = self.front_matter();
        let _ = writeln!(text, "# {arch}, pre-trained with {method}\n");
        text +=
            "The backbone of a self-supervised run, without a classifier.\n\n| | |\n|---|---|\n";
        for (what, value) in self.facts() {
            let _ = writeln!(text, "| {what} | {} |", value.replace('|', "\\|"));
        }
        let _ = write!(
            text,
            "\n## Terms\n\n{}\n\n## Load\n\n{}",
            self.terms(),
            self.loading()
        );
        text
    }

    /// Hubs know no licence of a data set for weights, so it is `other`, with its name beside it.
    fn front_matter(&self) -> String {
        let name = match slug(self.license) {
            name if name.is_empty() => "terms-of-the-data".to_owned(),
            name => name,
        };
        let method = slug(self.config.method.name.title());
        let mut text = format!(
            "---\nlibrary_name: timm\npipeline_tag: image-feature-extraction\nlicense: other\nlicense_name: {name}\n"
        );
        if let Some(link) = link(self.license) {
            let _ = writeln!(text, "license_link: {link}");
        }
        let _ = write!(
            text,
            "tags:\n- timm\n- image-feature-extraction\n- self-supervised\n- {method}\n---\n"
        );
        text
    }

    /// The rows of the table.
    fn facts(&self) -> Vec<(&'static str, String)> {
        let (header, config) = (self.header, self.config);
        let model = &config.model;
        vec![
            ("method", config.method.name.title().to_owned()),
            ("architecture", model.arch.name().to_owned()),
            ("network", self.network().to_owned()),
            ("training", self.training()),
            ("data", self.data()),
            ("licence of the data", self.license.to_owned()),
            (
                "input",
                format!(
                    "RGB, (x / 255 - mean) / std; mean {MEAN:?}, std {STD:?}; trained on views of {0} x {0} pixels",
                    config.augment.view_px
                ),
            ),
            (
                "strides in training",
                format!(
                    "stage 3: {}, stage 4: {}; timm builds 2 and 2, which take the same weights",
                    model.layer3_stride, model.layer4_stride
                ),
            ),
            ("batch norms", self.statistics()),
            ("data set's fingerprint", header.data.fingerprint.clone()),
        ]
    }

    fn network(&self) -> &'static str {
        match self.args.network.into() {
            Network::Online => "online, the one that was trained",
            Network::Target => "target, its moving average",
        }
    }

    fn training(&self) -> String {
        let (data, header) = (&self.config.data, self.header);
        let pairs = data.batch * data.accumulate;
        // One pair a frame and pass.
        let passes = (header.step * pairs) as f64 / header.data.frames as f64;
        format!(
            "{} optimizer steps of {pairs} pairs, {passes:.1} passes over the data",
            header.step
        )
    }

    fn data(&self) -> String {
        let frames = self.header.data.frames;
        match &*self.config.data.filter {
            "" => format!("{frames} frames"),
            filter => format!("{frames} frames, those with `{filter}`"),
        }
    }

    fn statistics(&self) -> String {
        match self.args.recalibrate {
            Some(_) => format!("of whole frames, {} pixels high", self.args.height),
            None => "of the augmented crops of training".to_owned(),
        }
    }

    fn terms(&self) -> String {
        format!(
            "These weights were learned from images under: {}. Those terms may restrict how the weights are used and passed on.",
            self.license
        )
    }

    fn loading(&self) -> String {
        let arch = self.config.model.arch.name();
        format!(
            "`FOLDER` is the folder of this file.

```python
import timm
model = timm.create_model(\"local-dir:FOLDER\", pretrained=True)
model = timm.create_model(\"{arch}\", pretrained=True, num_classes=0,
                          pretrained_cfg_overlay=dict(file=\"FOLDER/model.safetensors\"))
maps = timm.create_model(\"local-dir:FOLDER\", pretrained=True, features_only=True)
```
"
        )
    }
}

/// Lower-case letters, digits and dots, joined by hyphens, without addresses: what hubs take as a name.
/// Empty if nothing of the text is left.
fn slug(text: &str) -> String {
    let is_kept = |c: char| c.is_ascii_alphanumeric() || c == '.';
    let words = text.split_whitespace().filter(|word| !word.contains("://"));
    let words = words.flat_map(|word| word.split(|c| !is_kept(c)));
    let words = words.map(|word| word.trim_matches('.').to_ascii_lowercase());
    let words: Vec<String> = words.filter(|word| !word.is_empty()).collect();
    words.join("-")
}

/// The first address in a text, without the punctuation around it.
fn link(text: &str) -> Option<&str> {
    let words = text.split_whitespace();
    let mut words = words.map(|word| word.trim_matches(|c| "()<>[]\"',;.".contains(c)));
    words.find(|word| {
        ["https://", "http://"]
            .iter()
            .any(|start| word.starts_with(start))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_licence_becomes_a_name_and_a_link() {
        for (text, name, address) in [
            ("CC BY-NC-SA 4.0", "cc-by-nc-sa-4.0", None),
            (
                "Waymo Open Dataset License (https://waymo.com/open/terms), non-commercial.",
                "waymo-open-dataset-license-non-commercial",
                Some("https://waymo.com/open/terms"),
            ),
            ("only: \"mine\" # {x}", "only-mine-x", None),
            ("https://a.org/b#c", "", Some("https://a.org/b#c")),
        ] {
            assert_eq!((slug(text).as_str(), link(text)), (name, address));
        }
    }
}
