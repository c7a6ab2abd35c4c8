#!/usr/bin/env python3
"""Compares method.py with a second implementation from another hand, case by case: losses and gradients, in float64.

    .venv/bin/python scripts/golden/cross_check.py FOLDER

FOLDER holds that implementation as reference.py; it is not part of this repository.

So what the trainer is tested against has itself been computed twice, independently. Fails above 1e-9.
"""

import dataclasses
import sys
from functools import partial
from pathlib import Path

import torch
from clusters import chacha8, random_seeds
from method import CASES, SETS, cases_of, losses, networks, resolved, set_inputs

TOLERANCE = 1e-9
NAMES = dict(k="K", **{"lambda": "lam"})  # what the oracle calls differently
INPUTS = dict(aligned="R", projected="G")


def oracle_config(oracle, cfg):
    renamed = {NAMES.get(key, key): value for key, value in cfg.items()}
    renamed["attn_input"] = INPUTS[cfg["attn_input"]]
    renamed["offset_normalize"] = cfg["offset_unit"] == "view"
    known = {field.name for field in dataclasses.fields(oracle.Cfg)}
    return oracle.Cfg(**{key: value for key, value in renamed.items() if key in known})


def weights(sequential):
    first, norm, last = sequential[0], sequential[1], sequential[3]
    return dict(
        w1=first.weight.flatten(1),
        b1=first.bias,
        bn_w=norm.weight,
        bn_b=norm.bias,
        w2=last.weight.flatten(1),
        b2=last.bias,
    )


def multisiam_terms(oracle, online, target, x, cfg, s, way, number):
    """Both branches of one direction. Where ours has MoCo's image branch, any head stands in for it: (unused, 2D)."""
    a, b = way
    cells = "projector" if cfg["share_projector"] else "projector_2d"
    image = "projector" if cfg["name"] == "multisiam" else "projector_2d"
    po = dict(proj1=weights(online[image]), proj2=weights(online[cells]), pred2=weights(online["predictor_2d"]))
    unused = dict(weights(online[cells]), w1=torch.zeros(s["hidden"], s["d"], dtype=torch.float64))
    po["pred1"] = weights(online["predictor"]) if "predictor" in online else unused
    pt = dict(proj1=weights(target[image]), proj2=weights(target[cells]))
    seeds = None
    if cfg["km_init"] == "random":
        draw = chacha8(s["seed"], number)
        seeds = torch.tensor([random_seeds(draw, s["h"] * s["w"], cfg["k"]) for _ in range(s["n"])])
    places = [x[f"{key}{view}"] for key in ("crop", "flip") for view in way]
    maps = (x[f"f{a}"], x[f"t{b}"])
    return oracle.direction(*maps, *places, po, pt, oracle_config(oracle, cfg), seeds)[:2]


def image_term(oracle, online, target, x, cfg, way):
    f, t = x[f"f{way[0]}"].mean((2, 3)), x[f"t{way[1]}"].mean((2, 3))
    if "moco" in cfg["name"]:
        return oracle.info_nce(online["projector"](f), target["projector"](t), x["queue"].t(), cfg["temperature"])
    q = oracle.head(oracle.head(f, weights(online["projector"])), weights(online["predictor"]))
    return oracle.loss_1d(q, oracle.head(t, weights(target["projector"])))


def own_total(online, target, x, cfg, s):
    return losses(online, target, x, cfg, s["seed"])[0]


def oracle_total(oracle, online, target, x, cfg, s):
    """The loss put together from the oracle's parts."""
    has_queue, has_cells = "moco" in cfg["name"], cfg["name"].startswith("multisiam")
    ways = [(1, 2)] if cfg["symmetric"] == "one-way" else [(1, 2), (2, 1)]
    original = oracle.offset_map
    if cfg["offset_unit"] == "image":
        oracle.offset_map = partial(original, image_wh=x["frame"])
    images, cells = 0.0, 0.0
    for number, way in enumerate(ways):
        if has_cells:
            image, cell = multisiam_terms(oracle, online, target, x, cfg, s, way, number)
            cells += cell
        images += image if cfg["name"] == "multisiam" else image_term(oracle, online, target, x, cfg, way)
    oracle.offset_map = original
    scale = 0.5 if cfg["symmetric"] == "mean" else 1.0
    weight_1d = (cfg["lambda"] if has_cells else 1.0) * (1.0 if has_queue else cfg["cos_scale"])
    return scale * (weight_1d * images + (1 - cfg["lambda"]) * cfg["cos_scale"] * cells)


def gap(a, b):
    """Largest difference over the largest value, which counts as 1e-3 when below."""
    return float((a - b).abs().max()) / max(float(b.abs().max()), 1e-3)


def main(folder):
    sys.path.insert(0, str(Path(folder).resolve()))
    import reference as oracle

    torch.set_num_threads(1)
    worst, num = 0.0, 0
    for set_name, s in SETS.items():
        for case in cases_of(s):
            _, cfg = resolved(case, s)
            results = []
            for total_of in (partial(own_total, s=s), partial(oracle_total, oracle, s=s)):
                online, target = networks(s, cfg)
                x = {k: v.clone().requires_grad_() if k in ("f1", "f2") else v for k, v in set_inputs(s).items()}
                total = total_of(online, target, x, cfg)
                inputs = [x["f1"], x["f2"], *online.parameters()]
                grads = torch.autograd.grad(total, inputs, allow_unused=True)
                pairs = zip(inputs, grads, strict=True)
                results.append([total.detach()] + [torch.zeros_like(i) if g is None else g for i, g in pairs])
            gaps = [gap(a, b) for a, b in zip(*results, strict=True)]
            worst, num = max(worst, *gaps), num + 1
            if max(gaps) > TOLERANCE:
                print(f"{set_name}.{case}: {max(gaps):.1e}")
    print(f"{num} cases of {len(CASES)} settings; the largest relative difference is {worst:.1e}")
    sys.exit(worst > TOLERANCE)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip())
    main(sys.argv[1])
