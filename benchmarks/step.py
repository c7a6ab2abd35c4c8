#!/usr/bin/env python3
"""One step of MultiSiam's pre-training in PyTorch, as a good PyTorch engineer would write it.

    step.py --batch 256 --steps 30 [--compile default|max-autotune-no-cudagraphs] [--trace FILE]
    step.py --batch 8 --steps 2 --device cpu --amp off

Synthetic views, uint8 in NHWC, lie in host memory. A step uploads and normalises them, runs torchvision's ResNet and
both branches (offset alignment, attention, K-means) of the online and target network in both directions, and updates
with LARS and the moving average, both with foreach kernels. Memory is channels-last, arithmetic bf16 under autocast;
the next batch is uploaded on a stream of its own.

Prints one JSON line: the median over three blocks of the mean step, and pairs/s. With --trace the three blocks are
recorded as a Chrome trace, which takes time of its own. Share TORCHINDUCTOR_CACHE_DIR between compiled runs.
"""

import argparse
import contextlib
import copy
import json
import statistics
import time

import torch
import torch.nn.functional as F
import torchvision
from torch import nn

MEAN = torch.tensor([123.675, 116.28, 103.53])
STD = torch.tensor([58.395, 57.12, 57.375])
HIDDEN, DIM = 4096, 256
# A vector of the map with its offset.
PLACED_DIM = DIM + 2
CLUSTERS, KMEANS_ITERATIONS = 3, 10
TARGET_DECAY = 0.996
BLOCKS = 3
COMPILE_MODES = ["off", "default", "max-autotune-no-cudagraphs"]


def mlp(inputs, hidden, outputs, is_map=False):
    """Two layers on vectors, or on every cell of a map."""
    if is_map:
        layers = nn.Conv2d(inputs, hidden, 1), nn.BatchNorm2d(hidden)
        return nn.Sequential(*layers, nn.ReLU(inplace=True), nn.Conv2d(hidden, outputs, 1))
    layers = nn.Linear(inputs, hidden), nn.BatchNorm1d(hidden)
    return nn.Sequential(*layers, nn.ReLU(inplace=True), nn.Linear(hidden, outputs))


class Encoder(nn.Module):
    """Backbone, the projector of the pooled vector and that of the map."""

    def __init__(self, arch):
        super().__init__()
        network = getattr(torchvision.models, arch)(weights=None)
        channels = network.fc.in_features
        self.trunk = nn.Sequential(*list(network.children())[:-2])
        self.proj1 = mlp(channels, HIDDEN, DIM)
        self.proj2 = mlp(channels, HIDDEN, DIM, is_map=True)

    def forward(self, x):
        features = self.trunk(x)
        return self.proj1(features.mean((2, 3))), self.proj2(features)


def unit(x, dim):
    return F.normalize(x.float(), dim=dim)


def centres(crop, n):
    """Centres in the frame of a crop's n x n cells."""
    steps = (torch.arange(n, device=crop.device) + 0.5) / n
    x = crop[:, 0, None] + steps * crop[:, 2, None]
    y = crop[:, 1, None] + steps * crop[:, 3, None]
    return torch.stack([x[:, None, :].expand(-1, n, n), y[:, :, None].expand(-1, n, n)], 1)


def offsets(online, target, n):
    """From each online cell to the target's, in online crops."""
    start = centres(online, n)
    return (centres(target, n) - start) / (start[:, :, -1:, -1:] - start[:, :, :1, :1])


@torch.no_grad()
def kmeans_target(features):
    """Every cell's cluster centre, by cosine K-means inside each map; seeds lie far apart."""
    n, c, h, w = features.shape
    cells = features.float().flatten(2).transpose(1, 2)
    units = unit(cells, -1)
    middle = unit(units.mean(1, keepdim=True), -1)
    seeds = [(units @ middle.transpose(1, 2))[..., 0].argmax(1)]
    nearest = None
    for _ in range(CLUSTERS - 1):
        last = units[torch.arange(n, device=features.device), seeds[-1]].unsqueeze(-1)
        distance = 1 - (units @ last)[..., 0]
        nearest = distance if nearest is None else torch.minimum(nearest, distance)
        seeds.append(nearest.argmax(1))
    means = torch.gather(cells, 1, torch.stack(seeds, 1)[..., None].expand(-1, -1, c))
    for _ in range(KMEANS_ITERATIONS):
        labels = (units @ unit(means, -1).transpose(1, 2)).argmax(-1)
        members = F.one_hot(labels, CLUSTERS).float()
        counts = members.sum(1)
        sums = members.transpose(1, 2) @ cells
        means = torch.where((counts > 0)[..., None], sums / counts.clamp(min=1)[..., None], means)
    return torch.gather(means, 1, labels[..., None].expand(-1, -1, c)).transpose(1, 2).reshape(n, c, h, w)


def flip_back(features, flips):
    return torch.where(flips.view(-1, 1, 1, 1), features.flip(-1), features)


class MultiSiam(nn.Module):
    def __init__(self, arch):
        super().__init__()
        self.online = Encoder(arch)
        self.target = copy.deepcopy(self.online).requires_grad_(False)
        self.pred1 = mlp(DIM, HIDDEN, DIM)
        self.pred2 = mlp(PLACED_DIM, HIDDEN, DIM, is_map=True)

    def direction(self, online, target, online_crop, target_crop, online_flip, target_flip):
        (online_vector, online_map), (target_vector, target_map) = online, target
        loss_1d = -(unit(self.pred1(online_vector), 1) * unit(target_vector, 1)).sum(1).mean()
        online_map, target_map = flip_back(online_map, online_flip), flip_back(target_map, target_flip)
        offset = offsets(online_crop, target_crop, online_map.shape[-1]).to(online_map.dtype)
        placed = torch.cat([online_map, offset], 1)
        predicted = self.pred2(placed)
        # Norms, cosines, attention and K-means in float32.
        with torch.autocast(online_map.device.type, enabled=False):
            units = unit(placed.flatten(2), 1)
            attention = (units.transpose(1, 2) @ units).clamp(min=0) ** 2
            attended = predicted.float().flatten(2) @ attention
            loss_2d = -(unit(attended, 1) * unit(kmeans_target(target_map).flatten(2), 1)).sum(1).mean()
        return loss_1d + loss_2d

    def forward(self, a, b, crop_a, crop_b, flip_a, flip_b):
        """-2 cos in both directions, both branches weighed alike."""
        online_a, online_b = self.online(a), self.online(b)
        with torch.no_grad():
            target_a, target_b = self.target(a), self.target(b)
        forth = self.direction(online_a, target_b, crop_a, crop_b, flip_a, flip_b)
        return forth + self.direction(online_b, target_a, crop_b, crop_a, flip_b, flip_a)


class Lars:
    """Parameters of one dimension are neither decayed nor adapted."""

    def __init__(self, parameters, lr, decay=1e-5, momentum=0.9, trust=1e-3):
        parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self.adapted = [parameter for parameter in parameters if parameter.ndim > 1]
        self.plain = [parameter for parameter in parameters if parameter.ndim <= 1]
        self.adapted_velocity, self.plain_velocity = (
            [torch.zeros_like(parameter) for parameter in group] for group in (self.adapted, self.plain)
        )
        self.lr, self.decay, self.momentum, self.trust = lr, decay, momentum, trust

    @torch.no_grad()
    def step(self):
        gradients = [p.grad for p in self.adapted]
        norms = torch.stack(torch._foreach_norm(self.adapted))
        gradient_norms = torch.stack(torch._foreach_norm(gradients))
        ratio = self.trust * norms / (gradient_norms + self.decay * norms + 1e-8)
        rates = torch.where((norms > 0) & (gradient_norms > 0), ratio, torch.ones_like(norms)) * self.lr
        steps = torch._foreach_add(gradients, self.adapted, alpha=self.decay)
        torch._foreach_mul_(steps, list(rates.unbind()))
        self.move(self.adapted, self.adapted_velocity, steps)
        self.move(self.plain, self.plain_velocity, torch._foreach_mul([p.grad for p in self.plain], self.lr))

    def move(self, parameters, velocity, steps):
        torch._foreach_mul_(velocity, self.momentum)
        torch._foreach_add_(velocity, steps)
        torch._foreach_sub_(parameters, velocity)

    def zero(self):
        for parameter in (*self.adapted, *self.plain):
            parameter.grad = None


class Uploads:
    """Normalised views on the device, each batch uploaded on a stream of its own while the last one is used."""

    def __init__(self, options, device):
        self.device, self.is_cuda = device, device.type == "cuda"
        shape = (2, options.batch, options.size, options.size, 3)
        self.host = [torch.randint(0, 256, shape, dtype=torch.uint8) for _ in range(3)]
        if self.is_cuda:
            self.host = [views.pin_memory() for views in self.host]
        self.stream = torch.cuda.Stream() if self.is_cuda else None
        self.dtype = torch.bfloat16 if options.amp == "bf16" and self.is_cuda else torch.float32
        self.mean, self.std = (values.to(device).view(1, 3, 1, 1) for values in (MEAN, STD))
        self.number = 0
        self.following = self.upload()

    def upload(self):
        """Both views and the event that says they are ready."""
        with torch.cuda.stream(self.stream) if self.is_cuda else contextlib.nullcontext():
            bytes_nchw = self.host[self.number % 3].to(self.device, non_blocking=True).permute(0, 1, 4, 2, 3)
            views = [
                ((view.float() - self.mean) / self.std).to(self.dtype).contiguous(memory_format=torch.channels_last)
                for view in bytes_nchw
            ]
            self.number += 1
            return views, self.stream.record_event() if self.is_cuda else None

    def next(self):
        (views, ready), self.following = self.following, self.upload()
        if self.is_cuda:
            current = torch.cuda.current_stream()
            current.wait_event(ready)
            for view in views:
                view.record_stream(current)
        return views


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--batch", type=int, default=256, help="pairs in a step (256)")
    add("--steps", type=int, default=30, help="steps in each of three blocks (30)")
    add("--warmup", type=int, default=8, help="steps before them (8)")
    add("--arch", default="resnet50")
    add("--size", type=int, default=224, help="side of a view (224)")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--amp", choices=["bf16", "off"], default="bf16")
    add("--compile", choices=COMPILE_MODES, default="off")
    add("--trace", metavar="FILE", help="write a Chrome trace of the three blocks")
    return parser.parse_args()


def recorded(device, path):
    """Records what runs inside, if there is a path to write it to."""
    if path is None:
        return contextlib.nullcontext()
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    return torch.profiler.profile(activities=activities, on_trace_ready=lambda p: p.export_chrome_trace(path))


def main():
    options = parse()
    device = torch.device(options.device)
    is_cuda = device.type == "cuda"
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")

    model = MultiSiam(options.arch).to(device, memory_format=torch.channels_last).train()
    trained = [*model.online.parameters(), *model.pred1.parameters(), *model.pred2.parameters()]
    optimizer = Lars(trained, options.batch / 256)
    online, target = list(model.online.parameters()), list(model.target.parameters())
    forward = model
    if options.compile != "off":
        forward = torch.compile(model, mode=None if options.compile == "default" else options.compile)
    uploads = Uploads(options, device)
    crop_a = torch.tensor([[200.0, 100.0, 900.0, 800.0]]).repeat(options.batch, 1)
    crop_b = crop_a + torch.rand(options.batch, 4) * 80
    flips = torch.rand(2, options.batch) < 0.5
    crop_a, crop_b, flips = crop_a.to(device), crop_b.to(device), flips.to(device)

    def step():
        a, b = uploads.next()
        with torch.autocast(device.type, torch.bfloat16, enabled=options.amp == "bf16"):
            loss = forward(a, b, crop_a, crop_b, flips[0], flips[1])
        optimizer.zero()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(target, online, 1 - TARGET_DECAY)
        return loss

    def run(steps):
        """Seconds of so many steps, between two synchronisations, and the last loss."""
        started, loss = time.perf_counter(), None
        for _ in range(steps):
            loss = step()
        if is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - started, loss

    warmup_secs, _ = run(options.warmup)
    with recorded(device, options.trace):
        blocks = [run(options.steps) for _ in range(BLOCKS)]
    step_secs = statistics.median(seconds / options.steps for seconds, _ in blocks)
    result = {
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if is_cuda else "cpu",
        "compile": options.compile,
        "amp": options.amp,
        "warmup_s": round(warmup_secs, 1),
        "step_ms": round(step_secs * 1e3, 2),
        "pairs_per_s": round(options.batch / step_secs, 1),
        "loss": round(float(blocks[-1][1].detach()), 4),
        "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2) if is_cuda else None,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
