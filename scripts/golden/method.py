#!/usr/bin/env python3
"""Writes the fixtures of trainer/tests/oracle*.rs with PyTorch, in float64 on one CPU thread.

    .venv/bin/python scripts/golden/method.py [OUT_DIR]

An implementation of its own of what the trainer computes, from the paper's equations and RECIPE sections 3 and 4, in the
plainest words PyTorch has: nn.Module heads, F.grid_sample for RoI Align, Python loops for K-means and attention.
Keys of a case's `config` are those of the trainer's `[method]` table; weights have the trainer's state names.

  method.npz   inputs of each set, and per case the losses and all gradients as one vector
  method.json  the cases, and the order in which gradients are joined
  resnet.npz   C5 maps of ResNet-18 and -50 on formula-made weights, and gradient norms by parameter
  resnet.json  torchvision's parameter names and shapes
  optim.json   trajectories of LARS and SGD, learning rates, EMA coefficients
"""
import json
import math
import re
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

DEFAULTS = dict(
    align="offset", offset_normalize=True, coord_mode="center", roi_sampling=1, roi_aligned=True,
    attention=True, attn_gamma=2.0, attn_clamp=0.0, attn_input="aligned", attn_normalize_value=False,
    target="centroid", k=3, km_iters=10, km_init="farthest", km_metric="cosine", km_centroid="raw", km_empty="keep",
    symmetric="sum", cos_scale=1.0,
)
DEFAULTS["lambda"] = 0.5

CASES = dict(
    final={},
    roi=dict(align="roi"),
    none=dict(align="none"),
    offset_nonorm=dict(offset_normalize=False),
    coord_corner=dict(coord_mode="corner"),
    coord_edge=dict(coord_mode="edge"),
    roi_two_points=dict(align="roi", roi_sampling=2),
    roi_not_aligned=dict(align="roi", roi_aligned=False),
    no_attention=dict(attention=False),
    gamma=dict(attn_gamma=3.0),
    clamp=dict(attn_clamp=0.3),
    attention_projected=dict(attn_input="projected"),
    value_norm=dict(attn_normalize_value=True),
    dense=dict(target="dense"),
    dense_roi_plain=dict(target="dense", align="roi", attention=False),
    pixel=dict(target="pixel"),
    k4=dict(k=4),
    k5=dict(k=5),
    one_iteration=dict(km_iters=1),
    seeds_first=dict(km_init="first"),
    seeds_spread=dict(km_init="spread"),
    euclidean=dict(km_metric="euclidean"),
    spherical=dict(km_centroid="unit"),
    spherical_euclidean=dict(km_centroid="unit", km_metric="euclidean"),
    empty_keep=dict(k=8, km_init="first", km_metric="euclidean"),
    empty_farthest=dict(k=8, km_init="first", km_metric="euclidean", km_empty="farthest"),
    mean=dict(symmetric="mean"),
    scale=dict(cos_scale=2.0),
    image_heavy={"lambda": 0.8},
    cells_only={"lambda": 0.0},
    image_only={"lambda": 1.0},
    table3=dict(align="roi", attention=False),
)

# ------------------------------------------------------------------ heads


def head(cin, hidden, cout, conv):
    """linear, batch norm, ReLU, linear; as 1x1 filters when `conv`."""
    if conv:
        return nn.Sequential(nn.Conv2d(cin, hidden, 1), nn.BatchNorm2d(hidden), nn.ReLU(), nn.Conv2d(hidden, cout, 1))
    return nn.Sequential(nn.Linear(cin, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, cout))


def projectors(c, hidden, d):
    return nn.ModuleDict(dict(projector=head(c, hidden, d, False), projector_2d=head(c, hidden, d, True)))


def networks(c, hidden, d, extra, seed):
    """Online heads with predictors, target projectors; weights, scales and shifts all random."""
    torch.manual_seed(seed)
    online = projectors(c, hidden, d)
    online["predictor"] = head(d, hidden, d, False)
    online["predictor_2d"] = head(d + extra, hidden, d, True)
    target = projectors(c, hidden, d)
    for net in (online, target):
        net.double().train()
        with torch.no_grad():
            for p in net.parameters():
                p.copy_(torch.randn(p.shape, dtype=torch.float64) * (0.3 if p.dim() == 1 else (2 / p[0].numel()) ** 0.5))
            for m in net.modules():
                if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)):
                    m.weight.add_(1.0)
    target.requires_grad_(False)
    return online, target


# ------------------------------------------------------------------ geometry


def unflip(maps, flips):
    return torch.stack([m.flip(-1) if f else m for m, f in zip(maps, flips)])


def relative_overlap(view, other):
    """Unit box of the overlap in `view`, for one pair of crops x, y, w, h."""
    (x, y, w, h), (u, v, p, q) = view.tolist(), other.tolist()
    x0, y0, x1, y1 = max(x, u), max(y, v), min(x + w, u + p), min(y + h, v + q)
    return (x0 - x) / w, (y0 - y) / h, (x1 - x) / w, (y1 - y) / h


def roi(maps, crops, others, cfg):
    """RoI Align through grid_sample: bilinear, border padding; the mean over the sample points of a bin."""
    _, _, h, w = maps.shape
    points, shift = cfg["roi_sampling"], 0.5 if cfg["roi_aligned"] else 0.0
    out = []
    for m, crop, other in zip(maps, crops, others):
        x0, y0, x1, y1 = relative_overlap(crop, other)

        def axis(low, high, n):
            start, length = low * n - shift, (high - low) * n
            if not cfg["roi_aligned"]:
                length = max(length, 1.0)
            at = [start + (b + (k + 0.5) / points) * length / n for b in range(n) for k in range(points)]
            return torch.tensor(at, dtype=torch.float64)

        ys, xs = axis(y0, y1, h), axis(x0, x1, w)
        assert xs.max() <= w and ys.max() <= h  # the zero border of RoI Align is tested apart
        grid = torch.stack(torch.meshgrid((2 * xs + 1) / w - 1, (2 * ys + 1) / h - 1, indexing="xy"), -1)
        taps = F.grid_sample(m[None], grid[None], mode="bilinear", padding_mode="border", align_corners=False)
        out.append(F.avg_pool2d(taps, points)[0])
    return torch.stack(out)


def offsets(crops, others, h, w, cfg):
    """Equation 5, cell by cell."""
    place = dict(
        center=lambda i, n: (i + 0.5) / n, corner=lambda i, n: i / n, edge=lambda i, n: i / (n - 1)
    )[cfg["coord_mode"]]
    out = torch.zeros(len(crops), 2, h, w, dtype=torch.float64)
    for n, (a, b) in enumerate(zip(crops.tolist(), others.tolist())):
        for channel, size in ((0, w), (1, h)):
            def coord(crop, i):
                return crop[channel] + place(i, size) * crop[channel + 2]
            extent = coord(a, size - 1) - coord(a, 0) if cfg["offset_normalize"] else 1.0
            for i in range(size):
                value = (coord(b, i) - coord(a, i)) / extent
                if channel == 0:
                    out[n, 0, :, i] = value
                else:
                    out[n, 1, i, :] = value
    return out


# ------------------------------------------------------------------ clusters

EMPTY_SEEN = {"keep": 0, "farthest": 0}


def distance(x, c, metric):
    if metric == "euclidean":
        return float(((x - c) ** 2).sum())
    return 1.0 - float(F.normalize(x, dim=0) @ F.normalize(c, dim=0))


def kmeans(points, cfg):
    """One image: points (p, d) -> labels, centroids. Plain Lloyd with loops."""
    k, metric, count = cfg["k"], cfg["km_metric"], len(points)
    if cfg["km_init"] == "first":
        seeds = list(range(k))
    elif cfg["km_init"] == "spread":
        seeds = [i * count // k for i in range(k)]
    else:
        centre = (F.normalize(points, dim=1) if metric == "cosine" else points).mean(0)
        first = [distance(p, centre, metric) for p in points]
        seeds = [first.index(min(first))]
        while len(seeds) < k:
            near = [min(distance(p, points[s], metric) for s in seeds) for p in points]
            seeds.append(near.index(max(near)))
    source = F.normalize(points, dim=1) if cfg["km_centroid"] == "unit" else points
    centroids = source[seeds].clone()
    for _ in range(cfg["km_iters"]):
        table = [[distance(p, c, metric) for c in centroids] for p in points]
        labels = [row.index(min(row)) for row in table]
        own = [row[label] for row, label in zip(table, labels)]
        for c in range(k):
            mine = [i for i, label in enumerate(labels) if label == c]
            if mine:
                centroids[c] = source[mine].mean(0)
            else:
                EMPTY_SEEN[cfg["km_empty"]] += 1
                if cfg["km_empty"] == "farthest":
                    i = own.index(max(own))
                    centroids[c], own[i] = source[i], -1.0
    return labels, centroids


# ------------------------------------------------------------------ loss


def attend(compared, values, cfg):
    """Equations 8 and 9, one image at a time."""
    out = []
    for r, v in zip(compared.flatten(2), values.flatten(2)):
        cos = F.cosine_similarity(r[:, :, None], r[:, None, :], dim=0)
        if cfg["attn_normalize_value"]:
            v = F.normalize(v, dim=0)
        out.append(torch.einsum("dj,ij->di", v, cos.clamp(min=cfg["attn_clamp"]) ** cfg["attn_gamma"]))
    return torch.stack(out).view_as(values)


def compare(q, target_map, cfg):
    """Equation 10 and its ablations: mean of -cos over cells and images."""
    if cfg["target"] == "pixel":
        return -F.cosine_similarity(q, target_map, dim=1).mean()
    losses = []
    for q_n, t_n in zip(q.flatten(2), target_map.flatten(2)):
        labels, centroids = kmeans(t_n.t(), cfg)
        for i, label in enumerate(labels):
            if cfg["target"] == "centroid":
                losses.append(-F.cosine_similarity(q_n[:, i], centroids[label], dim=0))
            else:
                mates = [j for j, other in enumerate(labels) if other == label]
                losses.append(-sum(F.cosine_similarity(q_n[:, i], t_n[:, j], dim=0) for j in mates) / len(mates))
    return torch.stack(losses).mean()


def direction(online, target, f, t, crop, other, flip, flip_other, cfg):
    q = online["predictor"](online["projector"](f.mean((2, 3))))
    with torch.no_grad():
        z = target["projector"](t.mean((2, 3)))
    loss_1d = -F.cosine_similarity(q, z, dim=1).mean()

    g = unflip(online["projector_2d"](f), flip)
    with torch.no_grad():
        g_target = unflip(target["projector_2d"](t), flip_other)
    r = compared = g
    if cfg["align"] == "roi":
        r = compared = roi(g, crop, other, cfg)
        g_target = roi(g_target, other, crop, cfg)
    elif cfg["align"] == "offset":
        r = torch.cat([g, offsets(crop, other, *g.shape[2:], cfg)], 1)
        compared = r if cfg["attn_input"] == "aligned" else g
    v = online["predictor_2d"](r)
    q2 = attend(compared, v, cfg) if cfg["attention"] else v
    return loss_1d, compare(q2, g_target, cfg)


def losses(online, target, inputs, cfg):
    f1, f2, t1, t2, c1, c2, m1, m2 = (inputs[k] for k in ("f1", "f2", "t1", "t2", "crop1", "crop2", "flip1", "flip2"))
    a1, a2 = direction(online, target, f1, t2, c1, c2, m1, m2, cfg)
    b1, b2 = direction(online, target, f2, t1, c2, c1, m2, m1, cfg)
    scale = cfg["cos_scale"] * (0.5 if cfg["symmetric"] == "mean" else 1.0)
    total = scale * (cfg["lambda"] * (a1 + b1) + (1 - cfg["lambda"]) * (a2 + b2))
    return total, (a1 + b1) / 2, (a2 + b2) / 2


SETS = dict(
    a=dict(n=4, c=4, hidden=7, d=5, h=5, w=4, seed=11),
    b=dict(n=3, c=4, hidden=6, d=5, h=7, w=7, seed=12),
    c=dict(n=5, c=5, hidden=6, d=4, h=2, w=3, seed=13),
)
WIDE_CASES = ("final", "roi", "offset_nonorm", "table3", "dense", "euclidean", "pixel", "k5")  # of set b


def set_inputs(s):
    gen = torch.Generator().manual_seed(s["seed"])
    maps = {k: torch.randn(s["n"], s["c"], s["h"], s["w"], generator=gen, dtype=torch.float64).relu() for k in ("f1", "f2", "t1", "t2")}
    draw = lambda low, high: torch.randint(low, high, (s["n"], 2), generator=gen).double()
    place, size = draw(100, 500), draw(500, 900)
    crop1 = torch.cat([place, size], 1)
    crop2 = torch.cat([place + draw(-90, 120), size + draw(-120, 140)], 1)
    flips = torch.rand(2, s["n"], generator=gen) < 0.5
    return dict(maps, crop1=crop1, crop2=crop2, flip1=flips[0], flip2=flips[1])


def write_method(out):
    arrays, cases, order = {}, [], {}
    for set_name, s in SETS.items():
        inputs = set_inputs(s)
        for key, value in inputs.items():
            arrays[f"{set_name}.in.{key}"] = value.double().numpy()
        for extra in (0, 2):
            online, target = networks(s["c"], s["hidden"], s["d"], extra, s["seed"])
            for prefix, net in (("online", online), ("target", target)):
                for name, value in net.named_parameters():
                    arrays[f"{set_name}.w{extra}.{prefix}.{name}"] = value.detach().numpy()
        for case, overrides in CASES.items():
            if set_name == "b" and case not in WIDE_CASES or set_name == "c" and overrides.get("k", 3) > 6:
                continue  # set c has maps of six cells
            cfg = {**DEFAULTS, **overrides}
            extra = 2 if cfg["align"] == "offset" else 0
            online, target = networks(s["c"], s["hidden"], s["d"], extra, s["seed"])
            live = {k: (v.clone().requires_grad_() if k in ("f1", "f2") else v) for k, v in inputs.items()}
            total, one, two = losses(online, target, live, cfg)
            total.backward()
            named = [("f1", live["f1"]), ("f2", live["f2"])] + list(online.named_parameters())
            grads = [torch.zeros_like(t) if t.grad is None else t.grad for _, t in named]
            arrays[f"{set_name}.{case}.loss"] = torch.stack([total, one, two]).detach().numpy()
            arrays[f"{set_name}.{case}.grad"] = torch.cat([g.flatten() for g in grads]).numpy()
            cases.append(dict(set=set_name, name=case, extra=extra, config=dict(cfg, name="multisiam")))
            order = [name for name, _ in named]
            if case == "final":
                for prefix, net in (("online", online), ("target", target)):
                    for name, value in net.named_buffers():
                        arrays[f"{set_name}.after.{prefix}.{name}"] = value.double().reshape(-1).numpy()
    assert EMPTY_SEEN["keep"] > 0 and EMPTY_SEEN["farthest"] > 0, "no case met an empty cluster"
    np.savez(out / "method.npz", **arrays)
    dims = {k: {f: s[f] for f in ("c", "hidden", "d")} for k, s in SETS.items()}
    (out / "method.json").write_text(json.dumps(dict(sets=dims, grad_order=order, cases=cases), indent=1) + "\n")


# ------------------------------------------------------------------ ResNet


class Block(nn.Module):
    def __init__(self, cin, width, stride, bottleneck):
        super().__init__()
        cout = width * (4 if bottleneck else 1)
        if bottleneck:
            shapes = [(cin, width, 1, 1), (width, width, 3, stride), (width, cout, 1, 1)]
        else:
            shapes = [(cin, width, 3, stride), (width, width, 3, 1)]
        for i, (a, b, size, s) in enumerate(shapes, 1):
            setattr(self, f"conv{i}", nn.Conv2d(a, b, size, s, size // 2, bias=False))
            setattr(self, f"bn{i}", nn.BatchNorm2d(b))
        self.depth = len(shapes)
        self.downsample = None
        if stride != 1 or cin != cout:
            self.downsample = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x):
        y = x
        for i in range(1, self.depth + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            if i < self.depth:
                y = F.relu(y)
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """torchvision's attribute names, without avgpool and fc."""

    def __init__(self, blocks, bottleneck, strides):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        cin = 64
        for stage, (count, stride) in enumerate(zip(blocks, strides), 1):
            layers = []
            for i in range(count):
                layers.append(Block(cin, 32 << stage, stride if i == 0 else 1, bottleneck))
                cin = (32 << stage) * (4 if bottleneck else 1)
            setattr(self, f"layer{stage}", nn.Sequential(*layers))

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
        return x


def formula(shape, salt):
    """Numbers in [-1/2, 1/2) that any language makes alike: exact integer arithmetic, one division by a power of two."""
    i = torch.arange(math.prod(shape), dtype=torch.int64)
    return (((i * 2654435761 + salt * 40503) % 2**32).double() / 2**32 - 0.5).view(shape)


def write_resnet(out):
    variants = dict(
        resnet18=((2, 2, 2, 2), False, (1, 2, 2, 2), 64),
        resnet50=((3, 4, 6, 3), True, (1, 2, 2, 2), 64),
        resnet18_dense=((2, 2, 2, 2), False, (1, 2, 1, 1), 40),
    )
    arrays, names = {}, {}
    for name, (blocks, bottleneck, strides, side) in variants.items():
        net = ResNet(blocks, bottleneck, strides).double().train()
        names[name] = [[k, list(v.shape)] for k, v in net.state_dict().items()]
        params = list(net.named_parameters())
        with torch.no_grad():
            for salt, (_, p) in enumerate(params):
                u = formula(p.shape, salt)
                if p.dim() == 4:
                    p.copy_(u * (24.0 / p[0].numel()) ** 0.5)
                else:
                    p.copy_(u * 0.4 + (1.0 if _.endswith("weight") else 0.0))
        y = net(formula((2, 3, side, side), 1000) * 4)
        (y * formula(y.shape, 2000)).sum().backward()
        arrays[f"{name}.c5"] = y[:, :64].detach().numpy()
        arrays[f"{name}.grad_norms"] = torch.stack([p.grad.norm() for _, p in params]).numpy()
        arrays[f"{name}.grad_heads"] = torch.cat([p.grad.flatten()[:3] for _, p in params]).numpy()
        arrays[f"{name}.bn1.running_mean"] = net.bn1.running_mean.numpy()
        arrays[f"{name}.bn1.running_var"] = net.bn1.running_var.numpy()
        net.eval()
        with torch.no_grad():
            arrays[f"{name}.c5_eval"] = net(formula((2, 3, side, side), 1000) * 4)[:, :64].numpy()
        print(name, sum(p.numel() for _, p in params), tuple(y.shape))
    np.savez(out / "resnet.npz", **arrays)
    lines = ",\n".join(f' "{k}": [\n  ' + ",\n  ".join(json.dumps(e) for e in v) + "\n ]" for k, v in names.items() if "_" not in k)
    (out / "resnet.json").write_text("{\n" + lines + "\n}\n")


# ------------------------------------------------------------------ optimisers and schedules


def norm(v):
    return math.sqrt(sum(x * x for x in v))


def lars(tensors, grads, rates, arithmetic, excluded, momentum, wd, eta, eps):
    """Plain Python floats; `grads[step][name]`. Returns the parameters after each step."""
    p = {k: list(v) for k, v in tensors.items()}
    b = {k: [0.0] * len(v) for k, v in tensors.items()}
    history = []
    for lr, grad in zip(rates, grads):
        for k in p:
            g = grad[k]
            if excluded[k]:
                d, trust = g, 1.0
            else:
                d = [gi + wd * pi for gi, pi in zip(g, p[k])]
                np_, ng, nd = norm(p[k]), norm(g), norm(d)
                if arithmetic == "openselfsup":
                    trust = eta * np_ / (ng + wd * np_ + eps) if np_ > 0 and ng > 0 else 1.0
                else:
                    trust = eta * np_ / (nd + (eps if arithmetic == "pixpro" else 0.0)) if np_ > 0 and nd > 0 else 1.0
            inside, outside = (lr, 1.0) if arithmetic == "openselfsup" else (1.0, lr)
            b[k] = [momentum * bi + inside * trust * di for bi, di in zip(b[k], d)]
            p[k] = [pi - outside * bi for pi, bi in zip(p[k], b[k])]
        history.append({k: list(v) for k, v in p.items()})
    return history


def sgd(tensors, grads, rates, momentum, wd):
    """torch.optim.SGD itself."""
    p = {k: torch.tensor(v, dtype=torch.float64, requires_grad=True) for k, v in tensors.items()}
    opt = torch.optim.SGD(p.values(), lr=1.0, momentum=momentum, weight_decay=wd)
    history = []
    for lr, grad in zip(rates, grads):
        opt.param_groups[0]["lr"] = lr
        for k, t in p.items():
            t.grad = torch.tensor(grad[k], dtype=torch.float64)
        opt.step()
        history.append({k: t.tolist() for k, t in p.items()})
    return history


def byol_rate(step, peak, warmup, total):
    if step < warmup:
        return peak * step / warmup
    return peak * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2


def openselfsup_rate(step, peak, warmup, total, per_epoch):
    regular = peak * (1 + math.cos(math.pi * (step // per_epoch) / (total // per_epoch))) / 2
    return regular * (1 - (1 - step / warmup) * (1 - 1e-4)) if step < warmup else regular


def pixpro_rate(step, peak, warmup, total):
    if step <= warmup:
        return peak / 100 * (99 * step / warmup + 1)
    return 1e-6 + (peak - 1e-6) * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2


def byol_tau(k, total, base):
    return 1 - (1 - base) * (math.cos(math.pi * k / total) + 1) / 2


def write_optim(out):
    gen = torch.Generator().manual_seed(5)
    draw = lambda n, scale: (torch.randn(n, generator=gen, dtype=torch.float64) * scale).tolist()
    shapes = {"conv1.weight": 12, "layer1.0.bn1.weight": 4, "layer1.0.downsample.1.weight": 3, "projector.0.bias": 4, "zero.weight": 6, "still.weight": 6}
    axes = {k: 2 if k in ("conv1.weight", "zero.weight", "still.weight") else 1 for k in shapes}
    tensors = {k: [0.0] * n if k == "zero.weight" else draw(n, 2.0) for k, n in shapes.items()}
    rates = [4.0, 2.0, 0.5, 3.0]
    grads = [{k: [0.0] * n if k == "still.weight" else draw(n, 0.1) for k, n in shapes.items()} for _ in rates]
    pattern = re.compile(r"(bn|gn)(\d+)?.(weight|bias)|bias")
    rules = {"one-axis": {k: axes[k] == 1 for k in shapes}, "name-pattern": {k: bool(pattern.search(k)) for k in shapes}}
    trajectories = []
    for arithmetic in ("openselfsup", "byol", "pixpro"):
        for rule, excluded in rules.items():
            for eps in (1e-8, 0.0):
                knobs = dict(momentum=0.9, weight_decay=1e-2, eta=1e-3, eps=eps)
                history = lars(tensors, grads, rates, arithmetic, excluded, 0.9, 1e-2, 1e-3, eps)
                trajectories.append(dict(config=dict(knobs, arithmetic=arithmetic, exclude=rule), after=history[-1]))
    peak, warmup, total, per_epoch = 4.0, 70, 700, 7
    steps = [0, 1, 6, 7, 35, 69, 70, 71, 350, 698, 699]
    (out / "optim.json").write_text(json.dumps(dict(
        axes=axes, tensors=tensors, grads=grads, rates=rates, lars=trajectories,
        sgd=dict(config=dict(momentum=0.9, weight_decay=1e-2), after=sgd(tensors, grads, rates, 0.9, 1e-2)[-1]),
        lr=dict(
            peak=peak, warmup_steps=warmup, total_steps=total, steps_per_epoch=per_epoch, steps=steps,
            byol=[byol_rate(s, peak, warmup, total) for s in steps],
            openselfsup=[openselfsup_rate(s, peak, warmup, total, per_epoch) for s in steps],
            pixpro=[pixpro_rate(s, peak, warmup, total) for s in steps],
        ),
        tau=dict(base=0.996, total=100, steps=[0, 1, 33, 50, 99, 100],
                 plain=[byol_tau(k, 100, 0.996) for k in (0, 1, 33, 50, 99, 100)],
                 by_four=[byol_tau(4 * k + 3, 400, 0.996) for k in (0, 1, 33, 50, 99)]),
    ), indent=1) + "\n")


def main():
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2] / "trainer/tests/fixtures"
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    write_method(out)
    write_resnet(out)
    write_optim(out)
    print("empty clusters met:", EMPTY_SEEN)
    for path in sorted(out.iterdir()):
        print(f"{path.stat().st_size:8d}  {path.name}")


if __name__ == "__main__":
    main()
