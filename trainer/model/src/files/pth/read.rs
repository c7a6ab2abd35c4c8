//! Reads the tensors of a pickle or of what `torch.save` wrote, whichever of its containers it is.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use bytes::Bytes;
use tch::Tensor;

use super::input::Input;
use super::machine::{Unpickled, unpickle};
use super::storages::Storages;
use super::{legacy, walk, zip};
use crate::files::foreign::ForeignFile;

/// Every tensor of a file.
///
/// # Errors
/// As [`read_bytes`], and a tensor of a kind that is not read.
pub fn read(file: &[u8]) -> Result<BTreeMap<String, Tensor>> {
    let tensors = read_bytes(file.to_vec())?.tensors;
    let copied = tensors
        .iter()
        .map(|(name, tensor)| Ok((name.clone(), tensor.to_host(name)?.to_tensor()?)));
    copied.collect()
}

/// What a file holds; nothing of it is copied, and only its structure is looked at.
///
/// # Errors
/// If `file` is no pickle and none of `torch.save`, or damaged.
pub fn read_bytes(file: impl Into<Bytes>) -> Result<ForeignFile> {
    let file = file.into();
    if file.starts_with(zip::MAGIC) {
        let zip::Archive {
            value,
            storages,
            metadata,
        } = zip::open(&file)?;
        let found = found("torch.save's zip", (value, storages))?;
        return Ok(ForeignFile { metadata, ..found });
    }
    let mut input = Input::new(file);
    let first = unpickle(&mut input).context("it is no pickle")?;
    if legacy::begins(&first) {
        return found("torch.save's file of before 1.6", legacy::open(&mut input)?);
    }
    found("pickle", (first, Storages::default()))
}

fn found(container: &'static str, (value, storages): (Unpickled, Storages)) -> Result<ForeignFile> {
    let Unpickled { graph, root } = value;
    let author = graph
        .entry(root, "__author__")
        .and_then(|id| graph.text(id));
    Ok(ForeignFile {
        container,
        tensors: walk::tensors(&graph, &storages, root)?,
        metadata: BTreeMap::new(),
        author: author.map(str::to_owned),
        packages: graph.packages(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `scripts/golden/containers.py` wrote them with PyTorch.
    macro_rules! fixture {
        ($name:literal) => {
            include_bytes!(concat!("../../../tests/fixtures/weights/", $name)).as_slice()
        };
    }

    const ALL: [&[u8]; 12] = [
        fixture!("zip.pth"),
        fixture!("legacy.pth"),
        fixture!("protocol4.pth"),
        fixture!("legacy4.pth"),
        fixture!("bent.pth"),
        fixture!("deflated.pth"),
        fixture!("twice.pth"),
        fixture!("plain.pkl"),
        fixture!("numpy2.pkl"),
        fixture!("numpy5.pkl"),
        fixture!("module.pth"),
        fixture!("script.pt"),
    ];

    fn open(file: &[u8]) -> ForeignFile {
        read_bytes(file.to_vec()).unwrap()
    }

    /// A tensor's shape and values.
    fn values(file: &ForeignFile, name: &str) -> (Vec<usize>, Vec<f64>) {
        let tensor = file
            .tensors
            .get(name)
            .unwrap_or_else(|| panic!("no {name}"));
        let host = tensor.to_host(name).unwrap().to_tensor().unwrap();
        let values = host.to_kind(tch::Kind::Double).reshape([-1]);
        (tensor.shape.clone(), Vec::try_from(values).unwrap())
    }

    fn refusal(file: &[u8]) -> String {
        format!("{:#}", read_bytes(file.to_vec()).unwrap_err())
    }

    #[test]
    fn both_containers_and_all_protocols_hold_the_same() {
        for (file, container) in [
            (fixture!("zip.pth"), "zip"),
            (fixture!("protocol4.pth"), "zip"),
            (fixture!("legacy.pth"), "before 1.6"),
            (fixture!("legacy4.pth"), "before 1.6"),
        ] {
            let file = open(file);
            assert!(file.container.contains(container));
            let turned = [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11].map(f64::from);
            for (name, shape, expected) in [
                ("state.turned", vec![4, 3], turned.to_vec()),
                ("state.part", vec![2], vec![5.0, 6.0]),
                ("half", vec![2], vec![1.5; 2]),
                ("bfloat16", vec![2], vec![-2.5; 2]),
                ("double", vec![1], vec![0.1]),
                ("counter", vec![], vec![7.0]),
                ("bytes", vec![2], vec![1.0, 255.0]),
                ("flags", vec![2], vec![1.0, 0.0]),
                ("empty", vec![0, 4], vec![]),
                ("expanded", vec![3], vec![1.0; 3]),
                ("parameter", vec![2], vec![3.0, 4.0]),
                ("one.inner", vec![2], vec![7.0, 8.0]),
                ("two.inner", vec![2], vec![7.0, 8.0]),
                ("array", vec![2, 2], vec![0.0, 1.0, 2.0, 3.0]),
                ("fortran", vec![2, 3], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
            ] {
                assert_eq!(
                    values(&file, name),
                    (shape, expected),
                    "{name} of {}",
                    file.container
                );
            }
            for (name, reason) in [
                ("complex", "ComplexFloatStorage, which is not read"),
                ("quantised", "is quantised"),
                ("sparse", "_rebuild_sparse_tensor"),
                ("names", "array of type U1"),
            ] {
                let error = file.tensors[name].to_host(name).unwrap_err().to_string();
                assert!(error.starts_with(name) && error.contains(reason), "{error}");
            }
            assert_eq!(file.tensors.len(), 15 + 1 + 5, "{:?}", file.tensors.keys());
        }
    }

    #[test]
    fn what_was_packed_anew_or_pickled_plainly_is_read() {
        let row: Vec<f64> = (0..64).map(f64::from).collect();
        assert_eq!(
            values(&open(fixture!("deflated.pth")), "a"),
            (vec![64], row)
        );
        let plain = open(fixture!("plain.pkl"));
        assert_eq!(
            values(&plain, "a"),
            (vec![3, 2], vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0])
        );
        assert_eq!(values(&plain, "b"), (vec![2], vec![1.0; 2]));
        for file in [fixture!("numpy2.pkl"), fixture!("numpy5.pkl")].map(open) {
            let row = (0..6).map(f64::from).collect();
            assert_eq!(values(&file, "model.a"), (vec![2, 3], row));
            assert_eq!(values(&file, "model.n"), (vec![], vec![5.0]));
            assert_eq!(file.author.unwrap(), "somebody");
        }
        // [{"a": array}, 3]
        let array = fixture!("numpy2.pkl");
        let end = array.len() - 1;
        let listed = open(&[b"\x80\x02](", &array[2..end], b"K\x03e."].concat());
        assert_eq!(values(&listed, "0.model.n"), (vec![], vec![5.0]));
        let module = open(fixture!("module.pth"));
        assert_eq!(values(&module, "0.weight"), (vec![1, 1, 1, 1], vec![2.5]));
        assert_eq!(values(&module, "1.running_var"), (vec![1], vec![1.0]));
    }

    #[test]
    fn what_cannot_be_trusted_is_refused() {
        assert!(refusal(fixture!("bent.pth")).contains("data/0 is damaged (CRC32)"));
        assert!(refusal(fixture!("twice.pth")).contains("two members"));
        assert!(refusal(fixture!("script.pt")).contains("TorchScript"));
        let legacy = fixture!("legacy.pth");
        assert!(refusal(&legacy[..legacy.len() - 1]).contains("cut off"));
        assert!(refusal(b"no zip").contains("no pickle"));
        assert!(refusal(b"PK\x03\x04").contains("zip is damaged"));
    }

    /// What Python 2 and PyTorch 0.3 wrote, by hand: strings as bytes, sizes as long integers, an
    /// `OrderedDict` of pairs, `_rebuild_tensor`, and a parameter by NEWOBJ.
    #[test]
    fn files_of_python_2_are_read() {
        let mut file = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}q\x00U\rlittle_endianq\x01\x88s.".to_vec();
        let tensor = |storage: &[u8], shape: &[u8]| {
            [
                b"ctorch._utils\n_rebuild_tensor\n(",
                storage,
                b"\x8a\x01\x01(",
                shape,
                b"t(\x8a\x01\x01tt",
                b"R",
            ]
            .concat()
        };
        let storage = b"(U\x07storagectorch\nFloatStorage\nU\x0594680T\x03\x00\x00\x00cpuK\x03NtQ";
        let plain = tensor(storage, b"\x8a\x01\x02");
        let parameter = [
            b"ctorch.nn.parameter\nParameter\n(",
            &plain[..],
            b"t\x81(\x88\x89Ntb",
        ]
        .concat();
        let pairs = [
            b"ccollections\nOrderedDict\n(]((U\x01a",
            &plain[..],
            b"l(U\x01b",
            &parameter,
            b"letR",
        ]
        .concat();
        let object = [b"\x80\x02}(U\x05epochK\x03U\nstate_dict", &pairs[..], b"u."].concat();
        file.extend(object);
        file.extend(b"\x80\x02]U\x0594680a.");
        file.extend(3u64.to_le_bytes());
        [1.0f32, 2.0, 3.0]
            .iter()
            .for_each(|value| file.extend(value.to_le_bytes()));
        let file = open(&file);
        for name in ["state_dict.a", "state_dict.b"] {
            assert_eq!(values(&file, name), (vec![2], vec![2.0, 3.0]));
        }
    }

    #[test]
    fn dictionaries_that_refer_to_each_other_end() {
        // Each of them twice in the next: 2^60 paths through one file of 500 bytes.
        let mut pickle = b"\x80\x02}q\x00".to_vec();
        for level in 1..30u8 {
            let inner = level - 1;
            pickle.extend([
                b'}', b'q', level, b'(', b'U', 1, b'a', b'h', inner, b'U', 1, b'b', b'h', inner,
                b'u',
            ]);
        }
        pickle.push(b'.');
        assert!(refusal(&pickle).contains("entries"));
    }

    proptest! {
        /// Files of all kinds with bytes changed, cut off at any place: read or refused, and what is
        /// read can be copied or is refused.
        #[test]
        fn damaged_files_are_errors(
            which in 0..ALL.len(),
            places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            end in any::<prop::sample::Index>(),
        ) {
            let mut bytes = ALL[which].to_vec();
            for (place, byte) in places {
                *place.get_mut(&mut bytes) = byte;
            }
            if end.index(4) == 0 {
                bytes.truncate(end.index(bytes.len()));
            }
            if let Ok(file) = read_bytes(bytes) {
                for (name, tensor) in &file.tensors {
                    let _ = tensor.to_host(name);
                }
            }
        }
    }
}
