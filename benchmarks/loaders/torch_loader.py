"""PyTorch's DataLoader over the pairs, for every loader that makes views with worker processes."""

import torch
from measure import bench
from pairs import BATCH, FILES, pair


class Pairs(torch.utils.data.Dataset):
    """`make(path, boxes, flips, augmentations)` gives both views as tensors."""

    def __init__(self, make):
        self.make = make

    def __getitem__(self, i):
        image, boxes, flips, augmentations = pair(i)
        first, second = self.make(FILES[image], boxes, flips, augmentations)
        return first, second, torch.tensor(boxes, dtype=torch.int32), torch.tensor(flips)


class Batches:
    """Numbers of the pairs of each batch; how many batches there are may change between two passes."""

    number = 0

    def __iter__(self):
        return iter(range(batch * BATCH, (batch + 1) * BATCH) for batch in range(self.number))


def bench_loader(options, version, make, start_worker=None):
    """Measures a DataLoader. Its workers live as long as it does."""
    batches = Batches()
    loader = torch.utils.data.DataLoader(
        Pairs(make),
        batch_sampler=batches,
        num_workers=options.workers,
        persistent_workers=True,
        prefetch_factor=2,
        worker_init_fn=start_worker,
    )

    def epoch(number):
        batches.number = number
        return loader

    bench(options, version, epoch)
