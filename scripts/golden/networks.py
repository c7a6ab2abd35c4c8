#!/usr/bin/env python3
"""Writes resnet.npz, resnet.json and layers.npz of trainer/model/tests/fixtures with torchvision, in float64.

  .venv/bin/python scripts/golden/networks.py [OUT_DIR]

resnet.npz   C5 maps of torchvision's ResNet-18, -34, -50, -101 and a wide one on formula-made weights, in training and
             evaluation mode, and of every gradient its norm and three values
resnet.json  torchvision's parameter names and shapes of ResNet-18 and -50
layers.npz   torchvision.ops.roi_align, and batch norm on parts of a batch, with gradients
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import nn
from torchvision.ops import roi_align


def formula(shape, salt):
    """Numbers in [-1/2, 1/2) that any language makes alike: integers, and one division by a power of two."""
    i = torch.arange(math.prod(shape), dtype=torch.int64)
    return (((i * 2654435761 + salt * 40503) % 2**32).double() / 2**32 - 0.5).view(shape)


def trunk(net, x):
    x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
    return net.layer4(net.layer3(net.layer2(net.layer1(x))))


def keep_resolution(stage):
    """Stride 1, as the trainer's layer3_stride and layer4_stride: for ResNet-18."""
    stage[0].conv1.stride = stage[0].downsample[0].stride = (1, 1)


def write_resnet(out):
    arrays, names = {}, {}
    networks = ("resnet18", "resnet34", "resnet50", "resnet101", "wide_resnet50_2", "resnet18_dense")
    for name in networks:
        side = 40 if name.endswith("_dense") else 64
        net = getattr(torchvision.models, name.removesuffix("_dense"))(weights=None).double().train()
        del net.fc
        if name.endswith("_dense"):
            keep_resolution(net.layer3)
            keep_resolution(net.layer4)
        elif name in ("resnet18", "resnet50"):
            names[name] = [[k, list(v.shape)] for k, v in net.state_dict().items()]
        params = list(net.named_parameters())
        with torch.no_grad():
            for salt, (key, p) in enumerate(params):
                u = formula(p.shape, salt)
                if p.dim() == 4:
                    p.copy_(u * (24.0 / p[0].numel()) ** 0.5)
                else:
                    p.copy_(u * 0.4 + (1.0 if key.endswith("weight") else 0.0))
        image = formula((2, 3, side, side), 1000) * 4
        y = trunk(net, image)
        (y * formula(y.shape, 2000)).sum().backward()
        arrays[f"{name}.c5"] = y[:, :64].detach().numpy()
        arrays[f"{name}.grad_norms"] = torch.stack([p.grad.norm() for _, p in params]).numpy()
        arrays[f"{name}.grad_heads"] = torch.cat([p.grad.flatten()[:3] for _, p in params]).numpy()
        arrays[f"{name}.bn1.running_mean"] = net.bn1.running_mean.numpy()
        arrays[f"{name}.bn1.running_var"] = net.bn1.running_var.numpy()
        net.eval()
        with torch.no_grad():
            arrays[f"{name}.c5_eval"] = trunk(net, image)[:, :64].numpy()
        print(name, sum(p.numel() for _, p in params), tuple(y.shape))
    np.savez_compressed(out / "resnet.npz", **arrays)
    lines = ",\n".join(f' "{k}": [\n  ' + ",\n  ".join(json.dumps(e) for e in v) + "\n ]" for k, v in names.items())
    (out / "resnet.json").write_text("{\n" + lines + "\n}\n")


def roi_arrays():
    """One box a map, as many bins as cells; boxes in unit coordinates: inside, full, thin, and on the border."""
    boxes = [
        [0.13, 0.4, 0.9, 1.0],
        [0, 0, 1, 1],
        [0.0, 0.05, 0.31, 0.22],
        [0.8, 0.7, 1.0, 1.0],
        [0.499, 0.0, 0.501, 1.0],
    ]
    boxes, arrays = torch.tensor(boxes, dtype=torch.float64), {}
    for h, w in ((7, 7), (5, 4)):
        maps = (formula((len(boxes), 3, h, w), h) * 4).requires_grad_()
        scaled = boxes * torch.tensor([w, h, w, h], dtype=torch.float64)
        rois = torch.cat([torch.arange(len(boxes), dtype=torch.float64)[:, None], scaled], 1)
        for aligned in (True, False):
            for points in (1, 2, 3):
                y = roi_align(maps, rois, (h, w), 1.0, points, aligned)
                (grad,) = torch.autograd.grad((y * formula(y.shape, 77)).sum(), maps)
                key = f"roi.{h}x{w}.{int(aligned)}.{points}"
                arrays[key], arrays[f"{key}.grad"] = y.detach().numpy(), grad.numpy()
    return dict(arrays, **{"roi.boxes": boxes.numpy()})


def split_norm_arrays():
    """As many batch norms as parts, started alike; the running statistics are the mean of theirs."""
    arrays = {}
    for parts in (2, 3):
        x = (formula((12, 5, 3, 2), 31) * 4).requires_grad_()
        weight, bias = formula((5,), 32) + 1.5, formula((5,), 33)
        norms = []
        for _ in range(parts):
            norm = nn.BatchNorm2d(5).double()
            norm.weight.data, norm.bias.data = weight, bias
            norms.append(norm)
        y = torch.cat([norm(part) for norm, part in zip(norms, x.chunk(parts), strict=True)])
        (y * formula(y.shape, 34)).sum().backward()
        found = dict(y=y.detach().numpy(), x_grad=x.grad.numpy())
        for name in ("weight", "bias"):
            found[f"{name}_grad"] = sum(getattr(norm, name).grad for norm in norms).numpy()
        for name in ("running_mean", "running_var"):
            found[name] = torch.stack([getattr(norm, name) for norm in norms]).mean(0).numpy()
        arrays.update({f"split.{parts}.{key}": value for key, value in found.items()})
    return arrays


if __name__ == "__main__":
    ours = Path(__file__).resolve().parents[2] / "trainer/model/tests/fixtures"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ours
    torch.set_num_threads(1)
    write_resnet(folder)
    np.savez_compressed(folder / "layers.npz", **roi_arrays(), **split_norm_arrays())
