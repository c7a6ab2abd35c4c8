"""SPDL: FFmpeg decodes once, one graph of its filters cuts and resizes both crops, threads run it.

SPDL brings no augmentation, so it is that of `opencv_augment.py`. --lowres decodes at a half or a quarter where the
crops allow it, with boxes rounded to its pixels.
"""

from importlib.metadata import version

import measure
import numpy as np
import spdl.io
from opencv_augment import augment, finish
from pairs import BATCH, FILES, SIDE, pair, reduction
from spdl.pipeline import PipelineBuilder

# Pairs in one task of a thread.
TASK = 4
# FFmpeg's name of each reduction.
LOWRES = {1: 0, 2: 1, 4: 2}


def decoding(lowres):
    wanted = {"lowres": str(lowres)} if lowres else {}
    return spdl.io.decode_config(decoder_options={**wanted, "threads": "1"})


DECODING = {by: decoding(lowres) for by, lowres in LOWRES.items()}


def cut(path, boxes, flips):
    """Both views, one above the other in one picture."""
    by = reduction(boxes) if options.lowres else 1
    graph = "split=2[a][b];"
    for source, end, (top, left, height, width), flip in zip("ab", "xy", boxes, flips, strict=True):
        graph += f"[{source}]crop={width // by}:{height // by}:{left // by}:{top // by}:exact=1,"
        graph += f"scale={SIDE}:{SIDE}:flags=bicubic+accurate_rnd+full_chroma_int{',hflip' if flip else ''}[{end}];"
    graph += "[x][y]vstack,format=rgb24"
    packets = spdl.io.demux_image(path)
    frames = spdl.io.decode_packets(packets, filter_desc=graph, decode_config=DECODING[by])
    return spdl.io.to_numpy(spdl.io.convert_frames(frames)).reshape(2, SIDE, SIDE, 3)


def slot():
    """Memory of one batch."""
    if options.mode == "full":
        views = [np.zeros((BATCH, 3, SIDE, SIDE), np.float32) for _ in range(2)]
    else:
        views = [np.zeros((BATCH, SIDE, SIDE, 3), np.uint8) for _ in range(2)]
    return *views, np.zeros((BATCH, 2, 4), np.int32), np.zeros((BATCH, 2), bool)


def fill(task):
    """Makes the pairs of one task in their batch's slot; returns the number of the batch."""
    batch, begin = task
    *views, boxes, flips = SLOTS[batch % len(SLOTS)]
    for place in range(begin, begin + TASK):
        image, boxes[place], flips[place], augmentations = pair(batch * BATCH + place)
        cuts = cut(FILES[image], boxes[place].tolist(), flips[place].tolist())
        for view, augmentation, out in zip(cuts, augmentations, views, strict=True):
            if options.mode == "full":
                finish(augment(np.ascontiguousarray(view), augmentation), augmentation, out[place])
            else:
                out[place] = view
    return batch


def epoch(number):
    tasks = [(batch, begin) for batch in range(number) for begin in range(0, BATCH, TASK)]
    builder = PipelineBuilder().add_source(tasks).pipe(fill, concurrency=options.workers, output_order="input")
    pipeline = builder.aggregate(BATCH // TASK).add_sink(1).build(num_threads=options.workers)
    with pipeline.auto_stop():
        for done in pipeline:
            yield SLOTS[done[0] % len(SLOTS)]


options = measure.parse(lambda parser: parser.add_argument("--lowres", action="store_true"))
SLOTS = [slot() for _ in range(4)]
if __name__ == "__main__":
    measure.bench(options, f"spdl {version('spdl')}", epoch)
