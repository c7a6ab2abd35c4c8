"""Makes the first inputs of the targets for weights, tiny files of every kind: seed.py CORPUS."""

import argparse
import collections
import io
import json
import pickle
import struct
import sys
import zipfile
from pathlib import Path

import numpy
import torch

CONFIG = Path(__file__).parents[2] / "fixtures/compatible/multisiam/config.toml"


def stem():
    """The first filters of a ResNet, in the shortest type that there is."""
    return torch.arange(64 * 3 * 7 * 7, dtype=torch.float16).view(64, 3, 7, 7)


def state():
    """Tensors in the forms in which they lie in a file."""
    linear = torch.nn.Linear(2, 3)
    tensors = collections.OrderedDict(linear.state_dict())
    tensors["turned"] = torch.arange(6.0).view(2, 3).t()
    tensors["part"] = torch.arange(10)[3:5]
    tensors["parameter"] = torch.nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
    tensors["none"], tensors["one"] = torch.zeros(0, 4), torch.tensor(7)
    tensors["complex"], tensors["bool"] = torch.zeros(2, dtype=torch.complex64), torch.tensor([True])
    tensors["wide"] = torch.zeros(1).expand(4, 4)
    tensors["again"] = tensors["part"]
    return tensors


def checkpoint():
    """What else lies in a checkpoint."""
    return {
        "epoch": 3,
        "state_dict": state(),
        "optimizer": {"state": {0: {"step": 1, "momentum": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]},
        "args": argparse.Namespace(arch="resnet50", lr=0.3),
        "random": numpy.random.RandomState(0).get_state()[2:],
        "array": numpy.arange(3.0),
        "best": numpy.float64(0.5),
        "flags": {True, None},
        "bytes": b"\0\1",
    }


def networks():
    """A network and its follower, of which hardly more than the first filters are there."""
    return {
        "module.encoder_q.conv1.weight": stem(),
        "module.encoder_q.layer1.0.conv1.weight": torch.zeros(1).expand(64, 64, 3, 3),
        "module.encoder_k.conv1.weight": torch.zeros(1).expand(64, 3, 7, 7),
    }


def saved(content, is_zip, **options):
    out = io.BytesIO()
    torch.save(content, out, _use_new_zipfile_serialization=is_zip, **options)
    return out.getvalue()


def deflated(archive):
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return out.getvalue()


def of_ours(archive):
    """With what exports of ours say beside the tensors."""
    out = io.BytesIO(archive)
    with zipfile.ZipFile(out, "a") as added:
        added.writestr("archive/metadata/step", "7")
        added.writestr("archive/metadata/layer4_stride", "1")
    return out.getvalue()


def python2():
    """As PyTorch 0.3 wrote under Python 2: byte strings, a list of pairs, `_rebuild_tensor`."""
    return (
        b"\x80\x02ccollections\nOrderedDict\nq\x01]q\x02]q\x03(U\x06weightq\x04ctorch._utils\n_rebuild_tensor\nq\x05"
        b"((U\x07storageq\x06ctorch\nFloatStorage\nq\x07U\x010q\x08U\x03cpuq\tK\x02Ntq\nQK\x00K\x02\x85K\x01\x85tq\x0b"
        b"Rq\x0cea\x85q\rRq\x0e."
    )


def legacy_python2():
    """The same inside of the container of that time."""
    head = [pickle.dumps(part, 2) for part in [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]]
    return b"".join(head) + python2() + pickle.dumps(["0"], 2) + struct.pack("<qff", 2, 1.0, 2.0)


def safetensors(tensors, metadata):
    """The format, by hand: it is short."""
    header, values = {"__metadata__": metadata}, b""
    for name, (kind, array) in tensors.items():
        content = array.tobytes()
        offsets = [len(values), len(values) + len(content)]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": offsets}
        values += content
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + values


def of_a_run():
    """A checkpoint of ours; its checksums are made to fit by the target."""
    names = ["online.backbone.conv1.weight", "target.backbone.conv1.weight", "optim.momentum.w", "memory.queue"]
    header = {
        "version": 1,
        "step": 7,
        "cursor": {"epoch": 0, "step": 7},
        "config": CONFIG.read_text(),
        "data": {"fingerprint": "00ff", "frames": 9},
        "torch_threads": 2,
        "device": "cpu",
        "crc32c": {},
    }
    tensors = {name: ("F32", numpy.ones(2, numpy.float32)) for name in names}
    return safetensors(tensors, {"checkpoint": json.dumps(header), "checkpoint_crc32c": "0"})


def others():
    small = {"a.weight": ("F32", numpy.ones((2, 3), numpy.float32)), "n": ("I64", numpy.array(3))}
    kinds = {"half": ("F16", numpy.ones(2, numpy.float16)), "brain": ("BF16", numpy.ones(2, numpy.uint16))}
    return {
        "small": safetensors(small, {"format": "pt"}),
        "kinds": safetensors(kinds | {"b": ("BOOL", numpy.ones(2, bool)), "d": ("F64", numpy.ones(1))}, {}),
        "stem": safetensors({"conv1.weight": ("F16", stem().numpy())}, {}),
        "empty": safetensors({}, {}),
    }


def write(folder, contents):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)


def main(corpus):
    contents = {"state": state(), "checkpoint": checkpoint(), "networks": networks()}
    zips = {name: saved(content, True) for name, content in contents.items()}
    zips |= {"protocol4": saved(state(), True, pickle_protocol=4), "deflated": deflated(zips["checkpoint"])}
    zips["ours"] = of_ours(zips["state"])
    legacy = {name: saved(content, False) for name, content in contents.items()}
    arrays = {"model": {"stem.conv1.weight": numpy.ones((2, 3), numpy.float32)}, "__author__": "x"}
    legacy |= {f"pickle{protocol}": pickle.dumps(arrays, protocol) for protocol in range(6)}
    legacy |= {"python2": python2(), "legacy_python2": legacy_python2()}
    write(corpus / "pth_zip", zips)
    write(corpus / "pth_legacy", legacy)
    write(corpus / "safetensors", others())
    write(corpus / "checkpoint", {"run": of_a_run()} | others())


main(Path(sys.argv[1]))
