//! Pickles by hand: opcodes, references, limits, any bytes.

use super::*;
use bytes::Bytes;
use proptest::prelude::*;

fn read(pickle: &[u8]) -> Result<Unpickled> {
    unpickle(&mut Input::new(Bytes::copy_from_slice(pickle)))
}

/// A value as Python would print it, roughly; circles are cut.
fn shown(graph: &Graph, id: Id, depth: usize) -> String {
    let join = |items: Vec<String>| items.join(" ");
    let inner = |id: &Id| {
        if depth == 0 {
            "…".to_owned()
        } else {
            shown(graph, *id, depth - 1)
        }
    };
    match graph.get(id) {
        Node::Nothing => "-".to_owned(),
        Node::Int(value) => value.to_string(),
        Node::Text(text) => String::from_utf8_lossy(text).into_owned(),
        Node::List(items) => format!("[{}]", join(items.iter().map(inner).collect())),
        Node::Dict(entries) => {
            let entry = |(key, value): &(Id, Id)| format!("{}:{}", inner(key), inner(value));
            format!("{{{}}}", join(entries.iter().map(entry).collect()))
        }
        Node::Global(name) => format!("<{name}>"),
        Node::Persistent(id) => format!("@{}", inner(id)),
        Node::Object(object) => {
            format!("{}{}", inner(&object.callable), inner(&object.arguments))
        }
    }
}

fn text(pickle: &[u8]) -> String {
    let value = read(pickle).unwrap();
    shown(&value.graph, value.root, 5)
}

#[test]
fn every_protocol_says_the_same() {
    // pickle.dumps([{"a": (1, -2, 70000), "b": None}, "é'", True, 2**40, 1.5], protocol)
    let expected = "[{a:[1 -2 70000] b:-} é' 1 1099511627776 -]";
    for pickle in [
        &b"(lp0\n(dp1\nVa\np2\n(I1\nI-2\nI70000\ntp3\nsVb\np4\nNsaV\\u00e9'\np5\naI01\naL1099511627776L\naF1.5\na."[..],
        b"]q\x00(}q\x01(X\x01\x00\x00\x00aq\x02(K\x01J\xfe\xff\xff\xffJp\x11\x01\x00tq\x03X\x01\x00\x00\x00bq\x04NuX\x03\x00\x00\x00\xc3\xa9'q\x05I01\nL1099511627776L\nG?\xf8\x00\x00\x00\x00\x00\x00e.",
        b"\x80\x02]q\x00(}q\x01(X\x01\x00\x00\x00aq\x02K\x01J\xfe\xff\xff\xffJp\x11\x01\x00\x87q\x03X\x01\x00\x00\x00bq\x04NuX\x03\x00\x00\x00\xc3\xa9'q\x05\x88\x8a\x06\x00\x00\x00\x00\x00\x01G?\xf8\x00\x00\x00\x00\x00\x00e.",
        b"\x80\x04\x951\x00\x00\x00\x00\x00\x00\x00]\x94(}\x94(\x8c\x01a\x94K\x01J\xfe\xff\xff\xffJp\x11\x01\x00\x87\x94\x8c\x01b\x94Nu\x8c\x03\xc3\xa9'\x94\x88\x8a\x06\x00\x00\x00\x00\x00\x01G?\xf8\x00\x00\x00\x00\x00\x00e.",
    ] {
        assert_eq!(text(pickle), expected, "{:?}", String::from_utf8_lossy(pickle));
    }
}

#[test]
fn strings_of_python_2_and_ordered_dicts_of_pairs_are_read() {
    // OrderedDict([["a", 1L], ["b", 2L]]), as Python 2 writes it at protocol 2.
    let pairs = b"\x80\x02ccollections\nOrderedDict\nq\x00]q\x01(]q\x02(U\x01aq\x03\x8a\x01\x01e]q\x04(U\x01bq\x05\x8a\x01\x02ee\x85q\x06Rq\x07.";
    assert_eq!(text(pairs), "{a:1 b:2}");
    assert_eq!(text(b"S'a\\'b\\x41\\n'\np0\n."), "a'bA\n");
    assert_eq!(text(b"T\x02\x00\x00\x00ab."), "ab");
}

#[test]
fn what_is_shared_is_one_and_circles_are_none_too_many() {
    // d = {"k": 1}; pickle.dumps({"x": d, "y": d}, 2)
    let shared = b"\x80\x02}q\x00(X\x01\x00\x00\x00xq\x01}q\x02X\x01\x00\x00\x00kq\x03K\x01sX\x01\x00\x00\x00yq\x04h\x02u.";
    assert_eq!(text(shared), "{x:{k:1} y:{k:1}}");
    // l = []; l.append(l); pickle.dumps(l, 2)
    assert_eq!(text(b"\x80\x02]q\x00h\x00a."), "[[[[[[…]]]]]]");
}

#[test]
fn calls_are_named_and_never_made() {
    let call = b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.";
    assert_eq!(text(call), "<os.system>[ls]");
    assert_eq!(text(b"(Vls\nios\nsystem\n."), "<os.system>[ls]");
    assert_eq!(text(b"(cos\nsystem\nVls\no."), "<os.system>[ls]");
    let value = read(b"cm\nC\n)\x81}X\x01\x00\x00\x00aK\x01sb.").unwrap();
    let object = value.graph.object(value.root).unwrap();
    assert_eq!(shown(&value.graph, object.state.unwrap(), 2), "{a:1}");
}

#[test]
fn rare_opcodes_have_their_meaning() {
    assert_eq!(text(b"K\x01(K\x02K\x031."), "1");
    assert_eq!(text(b"K\x01(0."), "1");
    assert_eq!(text(b"K\x012\x86."), "[1 1]");
    assert_eq!(text(b"(K\x01K\x02\x91."), "[1 2]");
    assert_eq!(text(b"\x8f(K\x01\x90."), "[1]");
    assert_eq!(
        text(b"\x82\x07\x83\x07\x07\x84\x07\x07\x07\x07\x87."),
        "[- - -]"
    );
    assert_eq!(text(b"\x8b\x02\x00\x00\x00\x00\xff."), "-256");
    assert_eq!(text(b"\x8e\x02\x00\x00\x00\x00\x00\x00\x00hi."), "hi");
    assert_eq!(text(b"Pkey\n."), "@key");
    assert_eq!(text(b"cm\nC\n)}\x92."), "<m.C>[]");
    let long = [&b"\x8a\x20"[..], &[1; 32], b"."].concat();
    assert_eq!(text(&long), "-");
}

#[test]
fn what_is_no_pickle_is_named() {
    for (pickle, message) in [
        (&b"no pickle"[..], "opcode"),
        (b"\x80\x02", "cut off"),
        (b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff", "cut off"),
        (b"(K\x01\x86.", "stack is empty"),
        (b"h\x07.", "before it is remembered"),
        (b"t.", "mark is missing"),
        (b"(o.", "no class"),
    ] {
        let error = read(pickle).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
    }

    /// Opcodes alone, so that more of them succeed.
    #[test]
    fn no_program_makes_it_panic(
        program in prop::collection::vec(prop::sample::select(&b"()]}l(tdasub0R12.NhqK\x81\x85\x86\x87\x88\x8f\x90\x91\x92\x93\x94"[..]), 0..60),
    ) {
        let _ = read(&program);
    }
}

#[test]
fn numbers_are_in_twos_complement() {
    let cases: [(&[u8], i128); 6] = [
        (&[], 0),
        (&[127], 127),
        (&[128], -128),
        (&[255, 0], 255),
        (&[0, 128], -32_768),
        (&[0xFF; 16], -1),
    ];
    for (bytes, value) in cases {
        assert!(matches!(signed(bytes), Node::Int(found) if found == value));
    }
    assert!(matches!(signed(&[1; 17]), Node::Nothing));
}
