//! Files of every layout, as names around a small trunk: taken as what they are, or refused by name.

use super::*;
use crate::files::safetensors::{Dtype, HostTensor};
use expected::Role;

type Tensors = BTreeMap<String, FileTensor>;

fn tensor(shape: &[usize], value: f32) -> FileTensor {
    let num: usize = shape.iter().product();
    FileTensor::in_a_row(HostTensor {
        name: String::new(),
        dtype: Dtype::F32,
        shape: shape.to_vec(),
        bytes: value.to_le_bytes().repeat(num),
    })
}

/// A ResNet whose tensors all have one value; PyTorch's counters left out.
fn resnet(arch: Arch, value: f32) -> Tensors {
    let expected = expected::tensors(arch).into_iter();
    let values = expected.filter(|tensor| tensor.role == Role::Values);
    values.map(|t| (t.name, tensor(&t.shape, value))).collect()
}

fn renamed(net: &Tensors, name: impl Fn(&str) -> String) -> Tensors {
    net.iter()
        .map(|(old, tensor)| (name(old), tensor.clone()))
        .collect()
}

fn below(prefix: &str, net: &Tensors) -> Tensors {
    renamed(net, |name| format!("{prefix}{name}"))
}

/// As a sequence of children, of which the first stage is `first`.
fn numbered(net: &Tensors, first: usize) -> Tensors {
    renamed(net, |name| {
        let (top, rest) = name.split_once('.').unwrap();
        let number = match top.strip_prefix("layer") {
            Some(stage) => first - 1 + stage.parse::<usize>().unwrap(),
            None => usize::from(top == "bn1"),
        };
        format!("{number}.{rest}")
    })
}

fn detectron2s(net: &Tensors) -> Tensors {
    renamed(net, |name| {
        let name = match name.strip_prefix("layer") {
            Some(rest) => {
                let stage: u32 = rest[..1].parse().unwrap();
                format!("res{}{}", stage + 1, &rest[1..])
            }
            None => format!("stem.{name}"),
        };
        let name = name
            .replace("downsample.0", "shortcut")
            .replace("downsample.1", "shortcut.norm");
        name.replace("bn1", "conv1.norm")
            .replace("bn2", "conv2.norm")
            .replace("bn3", "conv3.norm")
    })
}

fn file(tensors: impl IntoIterator<Item = Tensors>) -> ForeignFile {
    ForeignFile {
        metadata: BTreeMap::new(),
        container: "a test",
        tensors: tensors.into_iter().flatten().collect(),
        author: None,
        packages: Default::default(),
    }
}

fn value_of(trunk: &Trunk) -> f64 {
    assert_eq!(trunk.tensors.len(), expected::tensors(trunk.arch).len());
    trunk.tensors["layer4.1.bn2.bias"].double_value(&[0])
}

fn refusal(file: &ForeignFile, wanted: Option<Network>) -> String {
    find(file, "x.pth", wanted).unwrap_err().to_string()
}

/// Prefixes of the network that is taken by default, and of the one that follows or leads.
const RELEASES: [(&str, &str, Option<&str>); 20] = [
    (
        "torchvision, DetCo, DenseCL, OpenSelfSup extracted, VICRegL, DINO",
        "",
        None,
    ),
    ("InstDist, SwAV", "state_dict.module.", None),
    (
        "InstDist of PyContrast",
        "model.module.encoder.",
        Some("model_ema.module.encoder."),
    ),
    (
        "MoCo",
        "state_dict.module.encoder_q.",
        Some("state_dict.module.encoder_k."),
    ),
    (
        "MoCo without DDP",
        "state_dict.encoder_q.",
        Some("state_dict.encoder_k."),
    ),
    (
        "MoCo v3",
        "state_dict.module.base_encoder.",
        Some("state_dict.module.momentum_encoder."),
    ),
    ("SimSiam", "state_dict.module.encoder.", None),
    (
        "PixPro",
        "model.module.encoder.",
        Some("model.module.encoder_k."),
    ),
    ("VICRegL, full", "model.module.backbone.", None),
    ("Barlow Twins", "model.module.backbone.", None),
    (
        "DINO, full",
        "teacher.backbone.",
        Some("student.module.backbone."),
    ),
    ("mmselfsup", "state_dict.backbone.", None),
    (
        "mmselfsup, MoCo",
        "state_dict.encoder_q.0.",
        Some("state_dict.encoder_k.0."),
    ),
    (
        "mmselfsup, BYOL",
        "state_dict.online_net.0.",
        Some("state_dict.target_net.0."),
    ),
    (
        "mmpretrain, BYOL",
        "state_dict.backbone.",
        Some("state_dict.target_net.module.0."),
    ),
    (
        "solo-learn",
        "state_dict.backbone.",
        Some("state_dict.momentum_backbone."),
    ),
    ("lightly", "state_dict.student_backbone.", None),
    (
        "lightly, MoCo",
        "state_dict.backbone.",
        Some("state_dict.backbone_momentum."),
    ),
    (
        "VISSL",
        "classy_state_dict.base_model.model.trunk._feature_blocks.",
        None,
    ),
    ("a detector of torchvision", "backbone.body.", None),
];

#[test]
fn releases_are_read_as_the_network_that_everybody_takes() {
    let (taken, other) = (resnet(Arch::Resnet18, 1.0), resnet(Arch::Resnet18, 2.0));
    for (release, prefix, twin) in RELEASES {
        let mut tensors = below(prefix, &taken);
        tensors.extend(twin.map(|prefix| below(prefix, &other)).unwrap_or_default());
        tensors.insert(format!("{prefix}fc.weight"), tensor(&[9, 512], 0.0));
        tensors.insert("module.queue".to_owned(), tensor(&[128, 9], 0.0));
        let all = file([tensors]);
        let trunk = find(&all, "x.pth", None).unwrap();
        assert_eq!(value_of(&trunk), 1.0, "{release}");
        let reading = &trunk.reading;
        assert_eq!(
            (reading.prefix.as_str(), reading.others.len()),
            (prefix, usize::from(twin.is_some()))
        );
        assert_eq!(
            (reading.left_out["fc"], reading.tensors),
            (1, 100),
            "{release}"
        );
        let Some(twin) = twin else { continue };
        let (this, that) = match release.starts_with("DINO") {
            true => (Network::Target, Network::Online),
            false => (Network::Online, Network::Target),
        };
        assert_eq!(
            value_of(&find(&all, "x.pth", Some(this)).unwrap()),
            1.0,
            "{release}"
        );
        assert_eq!(
            value_of(&find(&all, "x.pth", Some(that)).unwrap()),
            2.0,
            "{release}"
        );
        let told = reading.to_string();
        assert!(told.contains(this.name()) && told.contains(twin), "{told}");
    }
}

#[test]
fn numbers_of_a_sequence_and_names_of_detectron2_are_torchvisions() {
    let net = resnet(Arch::Resnet18, 1.0);
    for prefix in ["", "backbone.", "encoder_q.0."] {
        for first in [2, 3, 4] {
            let trunk = find(&file([below(prefix, &numbered(&net, first))]), "x", None).unwrap();
            assert_eq!(
                (trunk.arch, value_of(&trunk)),
                (Arch::Resnet18, 1.0),
                "{prefix}{first}"
            );
        }
    }
    let bottlenecks = resnet(Arch::Resnet50, 1.0);
    for prefix in ["model.", "model.backbone.bottom_up."] {
        let trunk = find(
            &file([below(prefix, &detectron2s(&bottlenecks))]),
            "x.pkl",
            None,
        )
        .unwrap();
        assert_eq!((trunk.arch, value_of(&trunk)), (Arch::Resnet50, 1.0));
        assert!(
            trunk.reading.warnings[0].contains("BGR"),
            "{:?}",
            trunk.reading.warnings
        );
    }
    let plain = file([bottlenecks]);
    for (name, warning) in [
        ("resnet50_msra-5891d200.pth", "1×1"),
        ("pretrain_res50x1.pth", "SAME"),
    ] {
        assert!(find(&plain, name, None).unwrap().reading.warnings[0].contains(warning));
    }
    assert!(
        find(&plain, "x.pth", None)
            .unwrap()
            .reading
            .warnings
            .is_empty()
    );
}

#[test]
fn equal_twins_are_one_and_optimizers_none() {
    let (online, target) = (resnet(Arch::Resnet18, 1.0), resnet(Arch::Resnet18, 2.0));
    let equal = file(["backbone.", "online_net.0.", "target_net.0."].map(|p| below(p, &online)));
    for wanted in [None, Some(Network::Online), Some(Network::Target)] {
        let trunk = find(&equal, "x", wanted).unwrap();
        let reading = &trunk.reading;
        assert_eq!(
            (value_of(&trunk), reading.others.len(), reading.twins.len()),
            (1.0, 0, 2)
        );
        assert!(reading.left_out.is_empty());
    }
    let pair = file([
        below("backbone.", &online),
        below("online_net.0.", &online),
        below("target_net.0.", &target),
        below("optimizer.momentum.", &target),
    ]);
    assert_eq!(value_of(&find(&pair, "x", None).unwrap()), 1.0);
    assert_eq!(
        value_of(&find(&pair, "x", Some(Network::Target)).unwrap()),
        2.0
    );
}

#[test]
fn what_could_be_several_or_is_not_there_is_listed() {
    let (one, two) = (resnet(Arch::Resnet18, 1.0), resnet(Arch::Resnet18, 2.0));
    let several = refusal(&file([below("a.", &one), below("b.", &two)]), None);
    assert!(several.contains("several networks, a.*, b.*"), "{several}");
    let targets = file([below("teacher.", &one), below("ema.", &two)]);
    let several = refusal(&targets, None);
    assert!(several.contains("several networks, "), "{several}");
    let named = file([below("a.", &one), below("encoder_q.", &two)]);
    let online = find(&named, "x", Some(Network::Online)).unwrap();
    assert_eq!(value_of(&online), 2.0, "the one that is called so");
    let message = refusal(&file([below("encoder_q.", &one)]), Some(Network::Target));
    assert!(
        message.contains("no target network; it has encoder_q.*"),
        "{message}"
    );
    let message = refusal(&file([one]), Some(Network::Target));
    assert!(message.contains("one without a prefix"), "{message}");
    let teacher = file([below("teacher.", &two)]);
    assert_eq!(
        find(&teacher, "x", None).unwrap().reading.network,
        Some("target")
    );
}

#[test]
fn every_resnet_is_itself_and_nothing_else_passes_for_one() {
    for arch in Arch::ALL {
        // Shapes are what counts, and these have few values.
        let names = resnet_without_values(arch);
        let all = file([names]);
        let candidates = layout::candidates(&all.tensors);
        let error = form::read(&candidates[0], &all.tensors)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("conv1.weight of shape") && error.contains("storage"),
            "{arch}: {error}"
        );
        assert_eq!(form::nearest(&candidates[0], &all.tensors), arch);
    }
    let net = resnet(Arch::Resnet50, 1.0);
    let changed = |change: &dyn Fn(&mut Tensors)| {
        let mut net = net.clone();
        change(&mut net);
        refusal(&file([below("backbone.", &net)]), None)
    };
    for (name, shape, expected) in [
        (
            "layer1.0.se.fc1.weight",
            &[16, 256, 1, 1][..],
            "backbone.layer1.0.se.fc1.weight is no tensor of a resnet50",
        ),
        (
            "layer3.6.conv1.weight",
            &[256, 1024, 1, 1],
            "backbone.layer3.6.conv1.weight is no tensor",
        ),
        (
            "layer5.0.conv1.weight",
            &[1],
            "backbone.layer5.0.conv1.weight is no tensor",
        ),
        ("conv1.bias", &[64], "backbone.conv1.bias is no tensor"),
        (
            "layer2.0.conv2.weight",
            &[128, 4, 3, 3],
            "backbone.layer2.0.conv2.weight has shape [128, 4, 3, 3]",
        ),
        (
            "layer1.1.bn1.weight",
            &[256],
            "backbone.layer1.1.bn1.weight has shape [256]",
        ),
        (
            "bn1.num_batches_tracked",
            &[2],
            "backbone.bn1.num_batches_tracked has shape [2]",
        ),
    ] {
        let message = changed(&|net| drop(net.insert(name.to_owned(), tensor(shape, 1.0))));
        assert!(message.contains(expected), "{message}");
    }
    let message = changed(&|net| drop(net.remove("layer3.5.bn3.bias")));
    assert!(
        message.contains("no backbone.layer3.5.bn3.bias, which a resnet50 has"),
        "{message}"
    );
    let message = changed(&|net| drop(net.insert("bn1.weight".into(), tensor(&[64], f32::NAN))));
    assert!(
        message.contains("backbone.bn1.weight holds a NaN"),
        "{message}"
    );
    for (dtype, message) in [
        (Dtype::I8, "is of type Int8"),
        (Dtype::F8_E4M3, "F8_E4M3 are not read"),
    ] {
        let bytes = HostTensor {
            name: String::new(),
            dtype,
            shape: vec![64],
            bytes: vec![1; 64],
        };
        let bytes = FileTensor::in_a_row(bytes);
        let told = changed(&|net| drop(net.insert("bn1.weight".into(), bytes.clone())));
        assert!(
            told.contains("backbone.bn1.weight") && told.contains(message),
            "{told}"
        );
    }
}

fn resnet_without_values(arch: Arch) -> Tensors {
    let lacking = |shape: Vec<usize>| {
        let mut small = tensor(&[1], 1.0);
        small.shape = shape;
        small
    };
    expected::tensors(arch)
        .into_iter()
        .map(|t| (t.name, lacking(t.shape)))
        .collect()
}

#[test]
fn what_is_no_resnet_is_said() {
    let one = |name: &str, shape: &[usize]| {
        file([Tensors::from([(name.to_owned(), tensor(shape, 0.0))])])
    };
    for (file, reason) in [
        (
            one("conv1.0.weight", &[32, 3, 3, 3]),
            "conv1.0.weight has shape [32, 3, 3, 3]",
        ),
        (
            one("module.conv1.weight", &[128, 3, 7, 7]),
            "module.conv1.weight has shape [128, 3, 7, 7]",
        ),
        (
            one("features.conv0.weight", &[64, 3, 7, 7]),
            "features.conv0.weight has the shape",
        ),
        (one("res2_0_branch2a_w", &[64, 64, 1, 1]), "Caffe2"),
        (
            one("res_net50/~/initial_conv.w", &[7, 7, 3, 64]),
            "byol-convert",
        ),
        (
            one("blocks.0.attn.qkv.weight", &[9, 9]),
            "among its 1 tensors (blocks.0.attn.qkv.weight",
        ),
        (file([]), "no other tensor"),
    ] {
        let message = refusal(&file, None);
        assert!(
            message.starts_with("it holds no ResNet: ") && message.contains(reason),
            "{message}"
        );
    }
    let mut jax = file([]);
    jax.packages.insert("haiku".to_owned());
    assert!(refusal(&jax, None).contains("JAX"));
}
