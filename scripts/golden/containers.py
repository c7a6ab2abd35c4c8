#!/usr/bin/env python3
"""Writes trainer/model/tests/fixtures/weights with PyTorch and NumPy: small tensors in every kind of file of weights.

  .venv/bin/python scripts/golden/containers.py [OUT_DIR]

zip.pth       torch.save of views, parameters and of much that is no tensor
legacy.pth    the same in the container of PyTorch before 1.6
protocol4.pth, legacy4.pth   the same by protocol 4
deflated.pth  zip.pth, its members deflated, as tools pack it anew; bent.pth: one of its bytes changed
twice.pth     zip.pth with a member twice
plain.pkl     pickle.dump of a state dict
numpy2.pkl, numpy5.pkl   NumPy arrays by protocols 2 and 5
module.pth    a whole module
script.pt     TorchScript

The containers of before 1.6, plain.pkl and script.pt name storages by their address: their bytes are others each time,
their content is the same.
"""

import argparse
import collections
import datetime
import io
import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np
import torch


def contents():
    row = torch.arange(12.0)
    shared = {"inner": torch.tensor([7.0, 8.0])}
    circle = {"n": 1}
    circle["again"] = circle
    state = collections.OrderedDict(turned=row.view(3, 4).t(), part=row[5:7], whole=row)
    state._metadata = {"": {"version": 1}}
    return {
        "state": state,
        "half": torch.full((2,), 1.5).half(),
        "bfloat16": torch.full((2,), -2.5).bfloat16(),
        "double": torch.tensor([0.1], dtype=torch.float64),
        "counter": torch.tensor(7),
        "bytes": torch.tensor([1, 255], dtype=torch.uint8),
        "flags": torch.tensor([True, False]),
        "empty": torch.zeros(0, 4),
        "expanded": torch.ones(1).expand(3),
        "parameter": torch.nn.Parameter(torch.tensor([3.0, 4.0])),
        "one": shared,
        "two": shared,
        "circle": circle,
        "complex": torch.tensor([1 + 2j]),
        "quantised": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
        "sparse": torch.eye(2).to_sparse(),
        "array": np.arange(4, dtype=np.float32).reshape(2, 2),
        "fortran": np.asfortranarray(np.arange(6, dtype=">f8").reshape(2, 3)),
        "names": np.array(["a", "b"]),
        "objects": np.array([{}, None], dtype=object),
        "args": argparse.Namespace(lr=0.1, steps=(1, 2)),
        "seed": np.int64(3),
        "date": datetime.datetime(2020, 1, 2),
        "raw": b"\x00\xff",
        "array_of_bytes": bytearray(b"xy"),
        "set": {1, 2},
        "frozen": frozenset({3}),
        "long": 1 << 200,
        "deep": [1, [2, [3.5, None, True]]],
        "device": torch.device("cpu"),
        "type": torch.float32,
        "optimizer": {"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]},
    }


def save(value, path, **more):
    torch.manual_seed(0)
    torch.save(value, path, **more)


def pack_anew(path, out, change=lambda name, data: [data]):
    source = zipfile.ZipFile(path)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for name in sorted(source.namelist()):
            for data in change(name, source.read(name)):
                target.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)


def write(out):
    out.mkdir(parents=True, exist_ok=True)
    save(contents(), out / "zip.pth")
    save(contents(), out / "legacy.pth", _use_new_zipfile_serialization=False)
    save(contents(), out / "protocol4.pth", pickle_protocol=4)
    save(contents(), out / "legacy4.pth", pickle_protocol=4, _use_new_zipfile_serialization=False)
    small = io.BytesIO()
    save({"a": torch.arange(64.0)}, small)
    small.seek(0)
    bent = bytearray(small.getvalue())
    bent[bent.index(np.arange(64, dtype="<f4").tobytes()) + 9] ^= 1
    (out / "bent.pth").write_bytes(bent)
    pack_anew(small, out / "deflated.pth")
    pack_anew(small, out / "twice.pth", lambda name, data: [data] * (2 if name.endswith("data/0") else 1))
    state = {"a": torch.arange(6.0).view(2, 3).t(), "b": torch.nn.Parameter(torch.ones(2))}
    (out / "plain.pkl").write_bytes(pickle.dumps(state, 4))
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array(5)}
    for protocol in (2, 5):
        (out / f"numpy{protocol}.pkl").write_bytes(pickle.dumps({"model": arrays, "__author__": "somebody"}, protocol))
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1), torch.nn.BatchNorm2d(1))
    torch.nn.init.constant_(net[0].weight, 2.5)
    torch.nn.init.constant_(net[0].bias, 0.5)
    save(net, out / "module.pth")
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), out / "script.pt")


if __name__ == "__main__":
    ours = Path(__file__).resolve().parents[2] / "trainer/model/tests/fixtures/weights"
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else ours)
