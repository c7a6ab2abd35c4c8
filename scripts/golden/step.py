#!/usr/bin/env python3
"""Writes step.npz and step.json of trainer/tests/fixtures: whole optimizer steps of every method, from images on.

    .venv/bin/python scripts/golden/step.py [OUT_DIR]

What method.py leaves out, in float64: which network sees which view, in which order batch norms see batches, how keys
are shuffled, how batches add up to a step, and what a step does to weights, target, momentum, statistics and queue.
The backbone is torchvision's ResNet-18; heads and losses are those of method.py. Two steps of several batches follow
each other. A case's `config` is the trainer's own, every key that matters written out.

  step.npz    in.boxes, [batch, view, n, 7]: x, y, w, h of the crop, width and height of the frame, 1 where mirrored.
              CASE.losses, [batch, terms]: total, image branch, and 2D branch if there is one.
              CASE.after, [step, tensors, 4]: a sketch of each gradient (`grad.*`, mean over the batches), of the change
              of each tensor of the state since the start (`online.*`, `target.*`, `memory.*`), and of the momentum
              (`momentum.*`), in the order of these names
  step.json   the cases

Weights and images come from `scattered`, so that nothing large is stored.
"""

import copy
import json
import math
import re
import sys
from pathlib import Path

import method
import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from networks import keep_resolution, trunk
from optim import byol_rate, byol_tau, step_rate
from torch import nn

STEPS, MOST_BATCHES, NUM, SIDE = 2, 3, 6, 35
QUEUE = 13  # two views of a batch fill it almost: it wraps in every batch
COUNTERS = {"memory.queue_pointer": 7, "memory.kmeans_draws": 3}  # how they start

OPTIM = dict(momentum=0.9, weight_decay=1e-2, eta=1e-2, eps=1e-8, precision="fp32")
LARS = dict(OPTIM, name="lars", base_lr=16.0, arithmetic="openselfsup", exclude="one-axis")
SGD = dict(OPTIM, name="sgd", base_lr=0.5)
RISING = dict(total_steps=4, warmup_steps=0, lr_shape="byol", tau=0.9, tau_shape="cosine")
STAIRS = dict(total_steps=4, warmup_steps=0, lr_shape="step", lr_drops=[0.2, 0.8], tau=0.9, tau_shape="constant")


def case(optim, schedule, accumulate=2, bn_splits=1, **switches):
    model = dict(arch="resnet18", layer4_stride=1, bn_splits=bn_splits, hidden=10, dim=6)
    data = dict(batch=NUM, accumulate=accumulate)
    own = dict(switches, queue=QUEUE, moco_dim=6)
    return dict(seed=9, data=data, model=model, method=own, optim=optim, schedule=schedule)


CASES = dict(
    multisiam=case(LARS, RISING, name="multisiam"),
    multisiam_roi_mean=case(
        dict(LARS, exclude="name-pattern"), RISING, name="multisiam", align="roi", symmetric="mean"
    ),
    multisiam_one_way=case(LARS, RISING, 3, name="multisiam", symmetric="one-way", km_init="random"),
    multisiam_shared=case(LARS, RISING, name="multisiam", share_projector=True, km_init="random", cos_scale=1.0),
    multisiam_split=case(LARS, RISING, 1, 2, name="multisiam", align="none"),
    multisiam_moco=case(SGD, STAIRS, 2, 3, name="multisiam-moco"),
    multisiam_moco_one_way=case(
        SGD, RISING, name="multisiam-moco", symmetric="one-way", align="roi", moco_head="linear"
    ),
    byol=case(LARS, RISING, name="byol"),
    byol_mean=case(dict(LARS, arithmetic="byol"), RISING, 3, name="byol", symmetric="mean"),
    byol_one_way=case(dict(LARS, arithmetic="pixpro"), RISING, 1, name="byol", symmetric="one-way"),
    moco_one_way=case(SGD, STAIRS, 2, 2, name="moco", symmetric="one-way", temperature=0.07),
    moco_both=case(SGD, STAIRS, 3, name="moco", temperature=0.07),
    mocov2_one_way=case(SGD, STAIRS, 2, 3, name="mocov2", symmetric="one-way"),
    mocov2_mean=case(SGD, RISING, 2, 3, name="mocov2", symmetric="mean"),
)

# ------------------------------------------------------------------ numbers that any language makes alike


def scattered(shape, salt):
    """Numbers in [-1/2, 1/2) without a pattern: integers, mixed, and one division by a power of two."""
    i = torch.arange(math.prod(shape), dtype=torch.int64)
    mixed = (i * 2654435761 + salt * 40503) % 2**32
    mixed = ((mixed ^ (mixed >> 15)) * 1540483477) % 2**32
    mixed = mixed ^ (mixed >> 13)
    return (mixed.double() / 2**32 - 0.5).view(shape)


PROBE = scattered((2_359_296,), 77)  # as long as the largest tensor


def sketch(tensor):
    """Norm, product with a fixed vector, first and last value."""
    flat = tensor.detach().double().flatten()
    return torch.stack([flat.norm(), flat @ PROBE[: len(flat)], flat[0], flat[-1]])


def start(name, tensor, salt):
    """The first value of a tensor of the state."""
    u, last = scattered(tensor.shape, salt), name.split(".")[-1]
    if name in COUNTERS or last == "num_batches_tracked":
        return torch.tensor(COUNTERS.get(name, 0))
    if name == "memory.queue":
        return F.normalize(u, dim=1)
    if tensor.dim() > 1:
        return u * (24.0 / tensor[0].numel()) ** 0.5
    if last == "running_var":
        return 1.0 + u
    return u * 0.4 + (1.0 if last == "weight" else 0.0)


def image(batch, view):
    """Coarse patches under noise."""
    salt = 100_000 + 10 * (2 * batch + view)
    coarse = scattered((NUM, 3, 5, 5), salt) * 4
    coarse = coarse.repeat_interleave(SIDE // 5, 2).repeat_interleave(SIDE // 5, 3)
    return coarse + scattered((NUM, 3, SIDE, SIDE), salt + 1) * 2


def draw_boxes():
    gen = torch.Generator().manual_seed(21)

    def draw(low, high):
        return torch.randint(low, high, (STEPS * MOST_BATCHES, NUM, 2), generator=gen).double()

    place, size, frame = draw(100, 500), draw(500, 900), draw(1500, 2000)
    crops = [torch.cat([place, size], 2), torch.cat([place + draw(-90, 120), size + draw(-120, 140)], 2)]
    return torch.stack([torch.cat([crop, frame, draw(0, 2)[..., :1]], 2) for crop in crops], 1)


# ------------------------------------------------------------------ networks


class SplitNorm(nn.BatchNorm2d):
    """As many batch norms as parts, started alike; the running statistics are the mean of theirs."""

    parts = 1

    def forward(self, x):
        outputs, means, variances = [], [], []
        for part in x.chunk(self.parts):
            mean, variance = self.running_mean.clone(), self.running_var.clone()
            outputs.append(F.batch_norm(part, mean, variance, self.weight, self.bias, True, self.momentum, self.eps))
            means.append(mean)
            variances.append(variance)
        self.running_mean.copy_(torch.stack(means).mean(0))
        self.running_var.copy_(torch.stack(variances).mean(0))
        self.num_batches_tracked.add_(1)
        return torch.cat(outputs)


def backbone(parts):
    net = torchvision.models.resnet18(weights=None, norm_layer=SplitNorm).double().train()
    del net.fc
    keep_resolution(net.layer4)
    for module in net.modules():
        if isinstance(module, SplitNorm):
            module.parts = parts
    return net


def shuffled(net, x, parts):
    """The map of a batch whose samples are dealt out like cards: the first of each part, the second of each, ..."""
    per_part = len(x) // parts
    order = [part * per_part + i for i in range(per_part) for part in range(parts)]
    maps = trunk(net, x[order])
    return torch.stack([maps[order.index(n)] for n in range(len(x))])


class Run:
    """Both networks, what belongs to neither, and momentum."""

    def __init__(self, config):
        self.config, self.cfg = config, {**method.DEFAULTS, **config["method"]}
        model = config["model"]
        dims = dict(c=512, hidden=model["hidden"], d=model["dim"], seed=0)
        self.nets = dict(zip(("online", "target"), method.networks(dims, self.cfg), strict=True))
        for net in self.nets.values():
            net["backbone"] = backbone(model["bn_splits"])
        self.nets["target"].requires_grad_(False)
        self.memory = {}
        if "moco" in self.cfg["name"]:
            self.memory["memory.queue"] = torch.zeros(QUEUE, self.cfg["moco_dim"], dtype=torch.float64)
            self.memory["memory.queue_pointer"] = torch.tensor(0)
        if self.cfg["name"].startswith("multisiam") and self.cfg["km_init"] == "random":
            self.memory["memory.kmeans_draws"] = torch.tensor(0)
        with torch.no_grad():
            for salt, (name, tensor) in enumerate(sorted(self.state().items())):
                tensor.copy_(start(name, tensor, salt))
        self.online = dict(self.nets["online"].named_parameters())
        self.momentum = {name: torch.zeros_like(p) for name, p in self.online.items()}
        self.start = {name: tensor.clone() for name, tensor in self.state().items()}

    def state(self):
        nets = {f"{prefix}.{k}": t for prefix, net in self.nets.items() for k, t in net.state_dict().items()}
        return {**nets, **self.memory}

    def losses(self, batch, boxes):
        """Of one batch. Each view is a batch of its own to both networks; the target sees the other one."""
        one_way, parts = self.cfg["symmetric"] == "one-way", self.config["model"]["bn_splits"]
        online, target = (self.nets[name]["backbone"] for name in ("online", "target"))
        target_map = shuffled if "moco" in self.cfg["name"] else lambda net, images, _: trunk(net, images)
        x = dict(frame=boxes[0, :, 4:6])
        for view in (1, 2):
            x[f"crop{view}"], x[f"flip{view}"] = boxes[view - 1, :, :4], boxes[view - 1, :, 6].bool()
        for seen, other in ((1, 2),) if one_way else ((1, 2), (2, 1)):
            x[f"f{seen}"] = trunk(online, image(batch, seen))
            with torch.no_grad():
                x[f"t{other}"] = target_map(target, image(batch, other), parts)
        has_queue, draws = "memory.queue" in self.memory, "memory.kmeans_draws" in self.memory
        if has_queue:
            x["queue"] = self.memory["memory.queue"].clone()
        total, one, two, queue = method.losses(
            self.nets["online"],
            self.nets["target"],
            x,
            self.cfg,
            self.config["seed"],
            pointer=int(self.memory.get("memory.queue_pointer", 0)),
            draws=int(self.memory.get("memory.kmeans_draws", 0)),
        )
        ways = 1 if one_way else 2
        if has_queue:
            self.memory["memory.queue"].copy_(queue)
            pointer = self.memory["memory.queue_pointer"]
            pointer.copy_((pointer + ways * NUM) % QUEUE)
        if draws:
            self.memory["memory.kmeans_draws"].add_(ways)
        return total, [total, one] + ([] if two is None else [two])

    def step(self, step, boxes):
        """One optimizer step: the losses of its batches, and sketches of gradients and state after it."""
        k = self.config["data"]["accumulate"]
        terms, grads = [], {name: torch.zeros_like(p) for name, p in self.online.items()}
        for batch in range(step * k, (step + 1) * k):
            total, values = self.losses(batch, boxes[batch])
            terms.append(torch.stack(values).detach())
            for name, grad in zip(grads, torch.autograd.grad(total, list(self.online.values())), strict=True):
                grads[name] += grad / k
        self.update(grads, *rates(self.config, step))
        found = {f"grad.{name}": grad for name, grad in grads.items()}
        found |= {f"momentum.{name}": momentum for name, momentum in self.momentum.items()}
        found |= {name: tensor - self.start[name] for name, tensor in self.state().items()}
        return terms, torch.stack([sketch(tensor) for _, tensor in sorted(found.items())])

    @torch.no_grad()
    def update(self, grads, lr, tau):
        """The optimizer moves the online network; then the target's parameters follow, its statistics do not."""
        rule = sgd if self.config["optim"]["name"] == "sgd" else lars
        for name, p in self.online.items():
            rule(name, p, grads[name], self.momentum[name], lr, self.config["optim"])
        for name, p in self.nets["target"].named_parameters():
            p.copy_(tau * p + (1 - tau) * self.online[name])


# ------------------------------------------------------------------ optimizer


def rates(config, step):
    """Learning rate and EMA coefficient of a step."""
    schedule, k = config["schedule"], config["data"]["accumulate"]
    peak, total = config["optim"]["base_lr"] * NUM * k / 256, schedule["total_steps"]
    if schedule["lr_shape"] == "step":
        lr = step_rate(step, peak, 0, total, schedule["lr_drops"])
    else:
        lr = byol_rate(step, peak, 0, total)
    tau = schedule["tau"]
    return lr, byol_tau(k * step + k - 1, k * total, tau) if schedule["tau_shape"] == "cosine" else tau


def sgd(name, p, g, b, lr, optim):
    b.copy_(optim["momentum"] * b + g + optim["weight_decay"] * p)
    p.sub_(lr * b)


def is_excluded(name, p, rule):
    """From decay and trust ratio."""
    return p.dim() == 1 if rule == "one-axis" else bool(re.search(r"(bn|gn)(\d+)?.(weight|bias)|bias", name))


def lars(name, p, g, b, lr, optim):
    arithmetic, wd, trust, d = optim["arithmetic"], optim["weight_decay"], 1.0, g
    if not is_excluded(name, p, optim["exclude"]):
        d = g + wd * p
        below = {
            "openselfsup": g.norm() + wd * p.norm() + optim["eps"],
            "byol": d.norm(),
            "pixpro": d.norm() + optim["eps"],
        }
        trust = optim["eta"] * p.norm() / below[arithmetic]
    inside, outside = (lr, 1.0) if arithmetic == "openselfsup" else (1.0, lr)
    b.copy_(optim["momentum"] * b + inside * trust * d)
    p.sub_(outside * b)


# ------------------------------------------------------------------ fixtures


def write_steps(out):
    boxes = draw_boxes()
    arrays = {"in.boxes": boxes.numpy()}
    for name, config in CASES.items():
        run, terms, after = Run(copy.deepcopy(config)), [], []
        for step in range(STEPS):
            losses, sketches = run.step(step, boxes)
            terms += losses
            after.append(sketches)
        arrays[f"{name}.losses"] = torch.stack(terms).numpy()
        arrays[f"{name}.after"] = torch.stack(after).numpy()
        print(name, arrays[f"{name}.after"].shape, arrays[f"{name}.losses"][:, 0].round(4))
    np.savez_compressed(out / "step.npz", **arrays)
    lines = ",\n".join("  " + json.dumps(dict(name=name, config=config)) for name, config in CASES.items())
    head = f' "counters": {json.dumps(COUNTERS)},\n'
    (out / "step.json").write_text(f'{{\n{head} "cases": [\n{lines}\n ]\n}}\n')


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2] / "trainer/tests/fixtures"
    torch.set_num_threads(1)
    write_steps(folder)
