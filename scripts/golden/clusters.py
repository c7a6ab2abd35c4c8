"""K-means inside one image, in plain loops; shared by the golden scripts.

Random seeds follow the trainer's documented draw: a partial shuffle of 0, 1, ... by ChaCha8 (Bernstein, 2008), keyed by
the run's seed and the number of the draw.
"""

import struct

import torch.nn.functional as F

EMPTY_SEEN = {"keep": 0, "farthest": 0}


def chacha8(seed, number):
    """Yields 64-bit numbers: pairs of output words, the low one first."""
    mask = 0xFFFFFFFF
    key = struct.pack("<QQ16x", seed, number)
    counter = 0

    def quarter(x, a, b, c, d):
        for target, other, spin, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[target] = (x[target] + x[other]) & mask
            turned = x[spin] ^ x[target]
            x[spin] = ((turned << bits) | (turned >> (32 - bits))) & mask

    while True:
        start = struct.unpack("<16I", b"expand 32-byte k" + key + struct.pack("<QQ", counter, 0))
        x = list(start)
        for _ in range(4):
            for i in range(4):
                quarter(x, i, 4 + i, 8 + i, 12 + i)
            for i in range(4):
                quarter(x, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
        words = [(a + b) & mask for a, b in zip(x, start, strict=True)]
        yield from (words[i] | words[i + 1] << 32 for i in range(0, 16, 2))
        counter += 1


def random_seeds(draw, count, k):
    """`k` of `count` points; `draw` goes on from image to image."""
    points = list(range(count))
    for i in range(k):
        j = i + next(draw) % (count - i)
        points[i], points[j] = points[j], points[i]
    return points[:k]


def distance(x, c, metric):
    if metric == "euclidean":
        return float(((x - c) ** 2).sum())
    return 1.0 - float(F.normalize(x, dim=0) @ F.normalize(c, dim=0))


def rule_seeds(points, cfg):
    k, metric, count = cfg["k"], cfg["km_metric"], len(points)
    if cfg["km_init"] == "first":
        return list(range(k))
    if cfg["km_init"] == "spread":
        return [i * count // k for i in range(k)]
    centre = (F.normalize(points, dim=1) if metric == "cosine" else points).mean(0)
    first = [distance(p, centre, metric) for p in points]
    seeds = [first.index(min(first))]
    while len(seeds) < k:
        near = [min(distance(p, points[s], metric) for s in seeds) for p in points]
        seeds.append(near.index(max(near)))
    return seeds


def kmeans(points, cfg, draw):
    """One image: points (p, d) -> labels, centroids. Plain Lloyd with loops."""
    k, metric = cfg["k"], cfg["km_metric"]
    seeds = random_seeds(draw, len(points), k) if cfg["km_init"] == "random" else rule_seeds(points, cfg)
    source = F.normalize(points, dim=1) if cfg["km_centroid"] == "unit" else points
    centroids = source[seeds].clone()
    for _ in range(cfg["km_iters"]):
        table = [[distance(p, c, metric) for c in centroids] for p in points]
        labels = [row.index(min(row)) for row in table]
        own = [row[label] for row, label in zip(table, labels, strict=True)]
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
