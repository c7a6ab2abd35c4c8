#!/usr/bin/env python3
"""What bf16 costs on this CPU, operation by operation, beside fp32: CPU ms on one core, medians of five.

Shapes are those of a small ResNet's step, channels-last. Prints Markdown.
"""

import statistics
import time

import torch
import torch.nn.functional as F

SAMPLES = 8
REPEATS = 5
aten = torch.ops.aten


def map_of(channels, side, dtype, samples=SAMPLES):
    return torch.randn(samples, channels, side, side, dtype=dtype).to(memory_format=torch.channels_last)


def filters(size, part):
    """A convolution of 128 channels, or its gradient by the map or the filters."""

    def make(dtype):
        x, w = map_of(128, 8, dtype), torch.randn(128, 128, size, size, dtype=dtype)
        w = w.to(memory_format=torch.channels_last)
        y = F.conv2d(x, w, None, 1, size // 2)
        if part == "forward":
            return lambda: F.conv2d(x, w, None, 1, size // 2)
        wanted = [part == "gradient of the map", part == "gradient of the filters", False]
        shape = [0], [1, 1], [size // 2] * 2, [1, 1], False, [0, 0], 1
        return lambda: aten.convolution_backward(y, x, w, *shape, wanted)

    return make


def norm(is_backward):
    def make(dtype):
        x, ones, zeros = map_of(64, 16, dtype, 48), torch.ones(64), torch.zeros(64)

        def forward():
            return aten.native_batch_norm(x, ones, zeros, None, None, True, 0.1, 1e-5)

        y, mean, invstd = forward()
        backward = y, x, ones, None, None, mean, invstd, True, 1e-5, [True] * 3
        return (lambda: aten.native_batch_norm_backward(*backward)) if is_backward else forward

    return make


def each_value(operation):
    def make(dtype):
        x = map_of(64, 16, dtype, 48)
        return lambda: operation(x)

    return make


def linear(dtype):
    x, w = torch.randn(48, 512, dtype=dtype), torch.randn(4096, 512, dtype=dtype)
    return lambda: F.linear(x, w)


def cpu_ms(work):
    work()
    times = []
    for _ in range(REPEATS):
        begin = time.thread_time()
        work()
        times.append(time.thread_time() - begin)
    return 1e3 * statistics.median(times)


OPERATIONS = {
    **{
        f"convolution {size}×{size}, {part}": filters(size, part)
        for size in (3, 1)
        for part in ("forward", "gradient of the map", "gradient of the filters")
    },
    "linear": linear,
    "batch norm, forward": norm(False),
    "batch norm, backward": norm(True),
    "ReLU": each_value(torch.relu),
    "ReLU, backward": each_value(lambda x: aten.threshold_backward(x, x, 0)),
    "addition": each_value(lambda x: x + x),
    "max-pool": each_value(lambda x: F.max_pool2d(x, 3, 2, 1)),
}


def main():
    torch.set_num_threads(1)
    has_bf16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    print(f"{torch.backends.cpu.get_cpu_capability()}; oneDNN computes in bf16: {'yes' if has_bf16 else 'no'}\n")
    print("| | fp32 | bf16 | bf16 takes |\n| --- | ---: | ---: | ---: |")
    for name, make in OPERATIONS.items():
        fp32, bf16 = (cpu_ms(make(dtype)) for dtype in (torch.float32, torch.bfloat16))
        print(f"| {name} | {fp32:.2f} | {bf16:.2f} | {bf16 / fp32:.1f} × |", flush=True)


if __name__ == "__main__":
    main()
