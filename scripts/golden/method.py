#!/usr/bin/env python3
"""Writes method.npz and method.json of trainer/tests/fixtures: losses and gradients of every method and switch.

    .venv/bin/python scripts/golden/method.py [OUT_DIR]

An implementation of its own of what the trainer computes, from the papers' equations and RECIPE sections 3 and 5, in
the plainest words PyTorch has, in float64: nn.Module heads, F.grid_sample for RoI Align, Python loops for K-means and
attention, F.cross_entropy for InfoNCE. Keys of a case's `config` are those of the trainer's `[method]` table; weights
have the trainer's state names.

  method.npz   inputs of each set; weights of each structure as one vector; per case the losses, all gradients as one
               vector (the views' maps first), and MoCo's queue afterwards. Vectors join tensors in the order of
               their names
  method.json  the cases
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from clusters import EMPTY_SEEN, chacha8, kmeans
from torch import nn

# What the trainer's own defaults have to be; a case's `config` holds only what differs.
DEFAULTS = dict(
    name="multisiam",
    align="offset",
    offset_unit="view",
    coord_mode="center",
    roi_sampling=1,
    roi_aligned=True,
    share_projector=False,
    attention=True,
    attn_gamma=2.0,
    attn_clamp=0.0,
    attn_input="aligned",
    attn_normalize_value=False,
    target="centroid",
    k=3,
    km_iters=10,
    km_init="farthest",
    km_metric="cosine",
    km_centroid="raw",
    km_empty="keep",
    symmetric="sum",
    cos_scale=2.0,
    queue=65536,
    temperature=0.2,
    moco_dim=128,
    moco_head="mlp",
)
DEFAULTS["lambda"] = 0.5

CASES = dict(
    final={},
    roi=dict(align="roi"),
    none=dict(align="none"),
    offset_pixel=dict(offset_unit="pixel"),
    offset_image=dict(offset_unit="image"),
    coord_corner=dict(coord_mode="corner"),
    coord_edge=dict(coord_mode="edge"),
    roi_two_points=dict(align="roi", roi_sampling=2),
    roi_not_aligned=dict(align="roi", roi_aligned=False),
    shared=dict(share_projector=True),
    shared_roi=dict(share_projector=True, align="roi"),
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
    seeds_random=dict(km_init="random"),
    seeds_random_euclidean=dict(km_init="random", km_metric="euclidean", k=4),
    euclidean=dict(km_metric="euclidean"),
    spherical=dict(km_centroid="unit"),
    spherical_euclidean=dict(km_centroid="unit", km_metric="euclidean"),
    empty_keep=dict(k=8, km_init="first", km_metric="euclidean"),
    empty_farthest=dict(k=8, km_init="first", km_metric="euclidean", km_empty="farthest"),
    mean=dict(symmetric="mean"),
    one_way=dict(symmetric="one-way"),
    scale=dict(cos_scale=1.0),
    image_heavy={"lambda": 0.8},
    cells_only={"lambda": 0.0},
    image_only={"lambda": 1.0},
    table3=dict(align="roi", attention=False),
    byol=dict(name="byol"),
    byol_mean=dict(name="byol", symmetric="mean", cos_scale=1.0),
    byol_one_way=dict(name="byol", symmetric="one-way"),
    moco=dict(name="moco", symmetric="one-way", temperature=0.07),
    moco_both=dict(name="moco"),
    mocov2=dict(name="mocov2", symmetric="one-way"),
    mocov2_mean=dict(name="mocov2", symmetric="mean"),
    multisiam_moco=dict(name="multisiam-moco"),
    multisiam_moco_linear=dict(name="multisiam-moco", moco_head="linear", align="roi"),
    multisiam_moco_one_way={"name": "multisiam-moco", "symmetric": "one-way", "lambda": 0.3, "cos_scale": 1.0},
    multisiam_moco_random=dict(name="multisiam-moco", km_init="random", attention=False),
)

# ------------------------------------------------------------------ heads


def head(cin, hidden, cout, conv):
    """linear, batch norm, ReLU, linear; as 1x1 filters when `conv`."""
    if conv:
        return nn.Sequential(nn.Conv2d(cin, hidden, 1), nn.BatchNorm2d(hidden), nn.ReLU(), nn.Conv2d(hidden, cout, 1))
    return nn.Sequential(nn.Linear(cin, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, cout))


def moco_head(c, d, cfg):
    form = {"moco": "linear", "mocov2": "mlp"}.get(cfg["name"], cfg["moco_head"])
    return (
        nn.Sequential(nn.Linear(c, d))
        if form == "linear"
        else nn.Sequential(nn.Linear(c, c), nn.ReLU(), nn.Linear(c, d))
    )


def structure(cfg):
    """Cases of one structure have the same weights."""
    extra = 2 if cfg["align"] == "offset" else 0
    parts = {
        "byol": ["byol"],
        "moco": ["moco"],
        "mocov2": ["mocov2"],
        "multisiam": ["multisiam", str(extra), "shared" if cfg["share_projector"] else "apart"],
        "multisiam-moco": ["multisiam-moco", str(extra), cfg["moco_head"]],
    }
    return "-".join(parts[cfg["name"]])


def networks(s, cfg):
    """Online heads with predictors, target projectors; weights, scales and shifts all random."""
    torch.manual_seed(s["seed"])
    c, hidden, d, name = s["c"], s["hidden"], s["d"], cfg["name"]
    with_cells = name.startswith("multisiam")

    def projectors():
        heads = nn.ModuleDict()
        heads["projector"] = head(c, hidden, d, False) if name in ("multisiam", "byol") else moco_head(c, d, cfg)
        if with_cells and not cfg["share_projector"]:
            heads["projector_2d"] = head(c, hidden, d, True)
        return heads

    online, target = projectors(), projectors()
    if name in ("multisiam", "byol"):
        online["predictor"] = head(d, hidden, d, False)
    if with_cells:
        online["predictor_2d"] = head(d + (2 if cfg["align"] == "offset" else 0), hidden, d, True)
    for net in (online, target):
        net.double().train()
        with torch.no_grad():
            for p in net.parameters():
                p.copy_(
                    torch.randn(p.shape, dtype=torch.float64) * (0.3 if p.dim() == 1 else (2 / p[0].numel()) ** 0.5)
                )
            for m in net.modules():
                if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)):
                    m.weight.add_(1.0)
    target.requires_grad_(False)
    return online, target


def project_cells(net, maps):
    """The 2D projector; a shared one takes the cells as if they were so many vectors."""
    if "projector_2d" in net:
        return net["projector_2d"](maps)
    n, c, h, w = maps.shape
    return net["projector"](maps.permute(0, 2, 3, 1).reshape(-1, c)).reshape(n, h, w, -1).permute(0, 3, 1, 2)


# ------------------------------------------------------------------ geometry


def unflip(maps, flips):
    return torch.stack([m.flip(-1) if f else m for m, f in zip(maps, flips, strict=True)])


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
    for m, crop, other in zip(maps, crops, others, strict=True):
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


def offsets(crops, others, frames, h, w, cfg):
    """Equation 5, cell by cell."""
    place = dict(center=lambda i, n: (i + 0.5) / n, corner=lambda i, n: i / n, edge=lambda i, n: i / (n - 1))[
        cfg["coord_mode"]
    ]
    out = torch.zeros(len(crops), 2, h, w, dtype=torch.float64)
    pairs = zip(crops.tolist(), others.tolist(), frames.tolist(), strict=True)
    for n, (a, b, frame) in enumerate(pairs):
        for channel, size in ((0, w), (1, h)):
            a_at, b_at = ([crop[channel] + place(i, size) * crop[channel + 2] for i in range(size)] for crop in (a, b))
            extent = dict(view=a_at[-1] - a_at[0], image=frame[channel], pixel=1.0)[cfg["offset_unit"]]
            for i in range(size):
                value = (b_at[i] - a_at[i]) / extent
                if channel == 0:
                    out[n, 0, :, i] = value
                else:
                    out[n, 1, i, :] = value
    return out


# ------------------------------------------------------------------ loss


def attend(compared, values, cfg):
    """Equations 8 and 9, one image at a time."""
    out = []
    for r, v in zip(compared.flatten(2), values.flatten(2), strict=True):
        cos = F.cosine_similarity(r[:, :, None], r[:, None, :], dim=0)
        if cfg["attn_normalize_value"]:
            v = F.normalize(v, dim=0)
        out.append(torch.einsum("dj,ij->di", v, cos.clamp(min=cfg["attn_clamp"]) ** cfg["attn_gamma"]))
    return torch.stack(out).view_as(values)


def compare(q, target_map, cfg, draw):
    """Equation 10 and its ablations: mean of -cos over cells and images."""
    if cfg["target"] == "pixel":
        return -F.cosine_similarity(q, target_map, dim=1).mean()
    losses = []
    for q_n, t_n in zip(q.flatten(2), target_map.flatten(2), strict=True):
        labels, centroids = kmeans(t_n.t(), cfg, draw)
        for i, label in enumerate(labels):
            if cfg["target"] == "centroid":
                losses.append(-F.cosine_similarity(q_n[:, i], centroids[label], dim=0))
            else:
                mates = [j for j, other in enumerate(labels) if other == label]
                losses.append(-sum(F.cosine_similarity(q_n[:, i], t_n[:, j], dim=0) for j in mates) / len(mates))
    return torch.stack(losses).mean()


def byol_term(online, target, f, t):
    q = online["predictor"](online["projector"](f.mean((2, 3))))
    with torch.no_grad():
        z = target["projector"](t.mean((2, 3)))
    return -F.cosine_similarity(q, z, dim=1).mean()


def moco_term(online, target, f, t, queue, cfg):
    """InfoNCE as MoCo's own code words it; also the keys."""
    q = F.normalize(online["projector"](f.mean((2, 3))), dim=1)
    with torch.no_grad():
        k = F.normalize(target["projector"](t.mean((2, 3))), dim=1)
    logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.t()], 1) / cfg["temperature"]
    return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long)), k


def cell_term(online, target, f, t, crop, other, flip, flip_other, frames, cfg, draw):
    g = unflip(project_cells(online, f), flip)
    with torch.no_grad():
        g_target = unflip(project_cells(target, t), flip_other)
    r = compared = g
    if cfg["align"] == "roi":
        r = compared = roi(g, crop, other, cfg)
        g_target = roi(g_target, other, crop, cfg)
    elif cfg["align"] == "offset":
        r = torch.cat([g, offsets(crop, other, frames, *g.shape[2:], cfg)], 1)
        compared = r if cfg["attn_input"] == "aligned" else g
    v = online["predictor_2d"](r)
    return compare(attend(compared, v, cfg) if cfg["attention"] else v, g_target, cfg, draw)


QUEUE, POINTER = 11, 9  # keys in the queue, and where the first new one goes


def losses(online, target, x, cfg, seed, pointer=POINTER, draws=0):
    """Total, mean of the image branch, mean of the 2D branch (or None), and the queue afterwards (or None). `draws`
    random seeds were drawn before."""
    ways = [(1, 2)] if cfg["symmetric"] == "one-way" else [(1, 2), (2, 1)]
    has_queue, has_cells = "moco" in cfg["name"], cfg["name"].startswith("multisiam")
    images, cells, keys = [], [], []
    for number, (a, b) in enumerate(ways):
        f, t = x[f"f{a}"], x[f"t{b}"]
        if has_queue:
            image, k = moco_term(online, target, f, t, x["queue"], cfg)
            keys.append(k)
        else:
            image = byol_term(online, target, f, t)
        images.append(image)
        if has_cells:
            places = [x[f"{key}{view}"] for key in ("crop", "flip") for view in (a, b)]
            cells.append(cell_term(online, target, f, t, *places, x["frame"], cfg, chacha8(seed, draws + number)))
    weight_2d = cfg["cos_scale"] * (1 - cfg["lambda"])
    weight_1d = (1.0 if has_queue else cfg["cos_scale"]) * (cfg["lambda"] if has_cells else 1.0)
    total = weight_1d * sum(images) + weight_2d * sum(cells)
    if cfg["symmetric"] == "mean":
        total = total / 2
    queue = None
    if has_queue:
        queue = x["queue"].clone()
        for i, key in enumerate(torch.cat(keys)):
            queue[(pointer + i) % len(queue)] = key
    return total, sum(images) / len(ways), sum(cells) / len(ways) if has_cells else None, queue


# ------------------------------------------------------------------ fixtures

SETS = dict(
    a=dict(n=4, c=4, hidden=7, d=5, h=5, w=4, seed=11),
    b=dict(n=3, c=4, hidden=6, d=5, h=7, w=7, seed=12),
    c=dict(n=5, c=5, hidden=6, d=4, h=2, w=3, seed=13),
)


def set_inputs(s):
    gen = torch.Generator().manual_seed(s["seed"])
    maps = {
        k: torch.randn(s["n"], s["c"], s["h"], s["w"], generator=gen, dtype=torch.float64).relu()
        for k in ("f1", "f2", "t1", "t2")
    }

    def draw(low, high):
        return torch.randint(low, high, (s["n"], 2), generator=gen).double()

    place, size = draw(100, 500), draw(500, 900)
    crop1 = torch.cat([place, size], 1)
    crop2 = torch.cat([place + draw(-90, 120), size + draw(-120, 140)], 1)
    flips = torch.rand(2, s["n"], generator=gen) < 0.5
    queue = F.normalize(torch.randn(QUEUE, s["d"], generator=gen, dtype=torch.float64), dim=1)
    boxes = dict(crop1=crop1, crop2=crop2, flip1=flips[0], flip2=flips[1], frame=draw(1500, 2000))
    return dict(maps, **boxes, queue=queue)


def resolved(case, s):
    """A case's settings as the trainer would name them, without and with the defaults."""
    config = dict(CASES[case])
    if "moco" in config.get("name", ""):
        config.update(queue=QUEUE, moco_dim=s["d"])
    return config, {**DEFAULTS, **config}


def cases_of(s):
    """All that have at least as many cells as clusters."""
    return [case for case, overrides in CASES.items() if overrides.get("k", 3) <= s["h"] * s["w"]]


def by_name(named):
    """Tensors as one vector, in the order of their names."""
    return torch.cat([t.detach().double().flatten() for _, t in sorted(named, key=lambda pair: pair[0])]).numpy()


def write_method(out):
    arrays, cases = {}, []
    for set_name, s in SETS.items():
        inputs = set_inputs(s)
        for key, value in inputs.items():
            arrays[f"{set_name}.in.{key}"] = value.double().numpy()
        for case in cases_of(s):
            config, cfg = resolved(case, s)
            online, target = networks(s, cfg)
            weights = f"{set_name}.{structure(cfg)}"
            nets = dict(online=online, target=target)
            for prefix, net in nets.items():
                arrays[f"{weights}.{prefix}"] = by_name(net.named_parameters())
            live = {k: (v.clone().requires_grad_() if k in ("f1", "f2") else v) for k, v in inputs.items()}
            total, one, two, queue = losses(online, target, live, cfg, s["seed"])
            total.backward()
            grads = [torch.zeros_like(t) if t.grad is None else t.grad for t in (live["f1"], live["f2"])]
            terms = [total, one] + ([] if two is None else [two])
            arrays[f"{set_name}.{case}.loss"] = torch.stack(terms).detach().numpy()
            grads.append(torch.from_numpy(by_name((name, p.grad) for name, p in online.named_parameters())))
            arrays[f"{set_name}.{case}.grad"] = torch.cat([g.flatten() for g in grads]).numpy()
            if queue is not None:
                arrays[f"{set_name}.{case}.queue"] = queue.numpy()
            cases.append(dict(set=set_name, name=case, weights=weights, config=config))
            if case in ("final", "shared"):
                for prefix, net in nets.items():
                    arrays[f"{set_name}.{case}.after.{prefix}"] = by_name(net.named_buffers())
    assert EMPTY_SEEN["keep"] > 0 and EMPTY_SEEN["farthest"] > 0, "no case met an empty cluster"
    np.savez_compressed(out / "method.npz", **arrays)
    sets = {k: dict({f: s[f] for f in ("c", "hidden", "d", "seed")}) for k, s in SETS.items()}
    lines = ",\n".join("  " + json.dumps(case) for case in cases)
    head = f' "pointer": {POINTER},\n "sets": {json.dumps(sets)},\n "defaults": {json.dumps(DEFAULTS)},\n'
    (out / "method.json").write_text(f'{{\n{head} "cases": [\n{lines}\n ]\n}}\n')


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2] / "trainer/tests/fixtures"
    torch.set_num_threads(1)
    write_method(folder)
    print("empty clusters met:", EMPTY_SEEN)
