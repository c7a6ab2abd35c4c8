//! The registry: what it holds, hands out, takes back and refuses.

use super::*;

fn build(seed: u64) -> Registry {
    let mut registry = Registry::default();
    let mut root = Scope::root(&mut registry, seed, Kind::Double, Device::Cpu);
    let _ = root
        .sub("a")
        .parameter("weight", &[3, 2], Init::Normal(0.5), Role::Weight);
    let _ = root
        .sub("b")
        .parameter("weight", &[4, 4], Init::Uniform(0.25), Role::Weight);
    let _ = root.sub("b").buffer("running_mean", &[4], 0.0);
    registry
}

fn names<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<&'a str> {
    entries.into_iter().map(|e| e.name.as_str()).collect()
}

#[test]
fn buffers_and_trained_tensors_are_told_apart_in_order() {
    let registry = build(1);
    let all = ["a.weight", "b.weight", "b.running_mean"];
    assert_eq!(names(registry.entries()), all);
    assert_eq!(names(registry.trainable()), all[..2]);
    assert_eq!(registry.num_parameters(), 6 + 16);
    let sizes = |tensors: Vec<Tensor>| tensors.iter().map(Tensor::size).collect::<Vec<_>>();
    assert_eq!(sizes(registry.buffer_tensors()), [vec![4]]);
    assert_eq!(
        sizes(registry.trainable_tensors()),
        [vec![3, 2], vec![4, 4]]
    );
}

#[test]
fn dropped_gradients_are_gone_and_frozen_tensors_get_none() {
    let registry = build(1);
    let weight = registry.get("a.weight").unwrap();
    let backward = || (weight * weight).sum(None::<Kind>).f_backward();
    backward().unwrap();
    assert!(weight.grad().defined());
    registry.drop_grads();
    assert!(!weight.grad().defined());
    registry.freeze();
    assert!(backward().is_err() && !weight.grad().defined());
}

#[test]
fn a_part_of_a_state_is_taken_whole_or_not_at_all() {
    let (registry, other) = (build(1), build(2));
    let before = registry.get("a.weight").unwrap().copy();
    let mut part: BTreeMap<_, _> = other.state("").into_iter().take(1).collect();
    part.insert("c".into(), Tensor::from(0.0));
    let line = registry.load_part(&part).unwrap_err().to_string();
    assert!(line.contains("lacks c"), "{line}");
    assert_eq!(registry.get("a.weight").unwrap(), &before);
    part.remove("c");
    registry.load_part(&part).unwrap();
    assert_eq!(registry.get("a.weight"), other.get("a.weight"));
    assert_ne!(registry.get("b.weight"), other.get("b.weight"));
}

#[test]
fn a_blank_network_is_zeros_until_it_is_copied() {
    let mut registry = Registry::default();
    let mut root = Scope::blank(&mut registry, Kind::Double, Device::Cpu);
    for (name, init) in [("a", Init::Normal(0.5)), ("b", Init::Uniform(0.25))] {
        let shape: &[i64] = if name == "a" { &[3, 2] } else { &[4, 4] };
        let _ = root
            .sub(name)
            .parameter("weight", shape, init, Role::Weight);
    }
    let largest = |name: &str| registry.get(name).unwrap().abs().max().double_value(&[]);
    assert_eq!((largest("a.weight"), largest("b.weight")), (0.0, 0.0));
    let online = build(3);
    registry.copy_common(&online);
    for name in ["a.weight", "b.weight"] {
        assert_eq!(registry.get(name), online.get(name));
    }
}

#[test]
fn a_filled_buffer_is_drawn_by_its_name_and_not_trained() {
    let draw = |seed| {
        let mut registry = Registry::default();
        let mut root = Scope::root(&mut registry, seed, Kind::Double, Device::Cpu);
        let drawn = root.filled_buffer("queue", &[5, 4], Init::Normal(1.0));
        assert_eq!(registry.get("queue"), Some(&drawn));
        assert_eq!(registry.num_parameters(), 0);
        drawn
    };
    assert_eq!(draw(1).size(), [5, 4]);
    assert!(draw(1).abs().min().double_value(&[]) > 0.0);
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

#[test]
#[should_panic(expected = "two tensors are called a.weight")]
fn duplicate_names_are_refused() {
    let mut registry = Registry::default();
    let mut root = Scope::root(&mut registry, 0, Kind::Float, Device::Cpu);
    for _ in 0..2 {
        let _ = root
            .sub("a")
            .parameter("weight", &[1], Init::Constant(0.0), Role::Weight);
    }
}

#[test]
fn state_comes_back_and_misfits_are_named() {
    let (from, to) = (build(1), build(2));
    let mut state: BTreeMap<_, _> = from.state("online.").into_iter().collect();
    to.load_state(&state, "online.").unwrap();
    assert_eq!(from.get("a.weight"), to.get("a.weight"));

    let good = state.insert(
        "online.b.weight".into(),
        Tensor::zeros([1], (Kind::Double, Device::Cpu)),
    );
    let shape = to.load_state(&state, "online.").unwrap_err().to_string();
    assert!(
        shape.contains("online.b.weight") && shape.contains("[4, 4]"),
        "{shape}"
    );
    state.insert("online.b.weight".into(), good.unwrap().to_kind(Kind::Float));
    assert!(
        to.load_state(&state, "online.")
            .unwrap_err()
            .to_string()
            .contains("Float")
    );
    state.remove("online.b.weight");
    assert!(
        to.load_state(&state, "online.")
            .unwrap_err()
            .to_string()
            .contains("lacks online.b.weight")
    );
}

#[test]
fn filters_are_channels_last() {
    let mut registry = Registry::default();
    let w = Scope::root(&mut registry, 0, Kind::Float, Device::Cpu).parameter(
        "w",
        &[4, 3, 2, 2],
        Init::Normal(1.0),
        Role::Weight,
    );
    assert_eq!(w.stride(), [12, 1, 6, 3]);
    assert!(w.requires_grad());
}
