"""Kernels by what they are for, from their names: one rule for every program.

On a GPU these are the kernels of a Chrome trace; on a CPU, the operations, each without those inside it. Filters of
heads on maps are filters; those on vectors, attention and K-means are products.
"""

import re

# The first that fits. Names are those of cuDNN, cuBLAS, ATen, Triton (torch.compile), ours (kernels.cu), and ATen's
# operations.
RULES = [
    ("optimizer", r"multi_tensor_apply|_foreach_|lerp|restore_words|linalg_vector_norm|lpnorm"),
    # torch.compile's: templates of products and filters, then what it fuses, whose names list all of it.
    ("heads (GEMM)", r"^triton_tem_fused.*mm"),
    ("batch norm", r"^(triton_(poi|red|per)|graph_\d+_cpp)_fused.*batch_norm"),
    ("copies", r"^(triton_poi|graph_\d+_cpp)_fused_(_to_copy_|convolution_|clone_|backward_)*\d*$"),
    ("elementwise", r"^(triton_(poi|red|per)|graph_\d+_cpp)_fused"),
    (
        "convolution",
        r"^convolution: |convolution|fprop|dgrad|wgrad|implicit_?gemm|implicit_convolve|winograd|cudnn::cnn",
    ),
    (
        "copies",
        r"memcpy|memset|direct_copy|copy_kernel|copy_device|nchwtonhwc|nhwctonchw|CatArray|FillFunctor|^normalise_|"
        r"aten::(copy_|cat|_to_copy|contiguous|clone|fill_|zero_)",
    ),
    ("batch norm", r"^norm_(moments|apply|reduce|input|statistics|parameters)|batch_?norm|bn_(fw|bw)|welford"),
    ("heads (GEMM)", r"gemm|gemv|nvjet|cublas|cutlass|splitkreduce|aten::(mm|addmm|bmm|baddbmm|linear|addmv|mv)\b"),
    ("pooling", r"max_?pool|avg_?pool"),
    (
        "elementwise",
        r"elementwise|reduce_kernel|relu|threshold|aten::(add|mul|sub|div|neg|sum|mean|"
        r"clamp|sqrt|pow|argm|eq|gt|lt|max|min|index|gather|scatter|one_hot|flip|norm|where)",
    ),
]
OTHER = "other"
NAMES = list(dict.fromkeys([name for name, _ in RULES] + [OTHER]))
PATTERNS = [(name, re.compile(pattern, re.IGNORECASE)) for name, pattern in RULES]
# Stands before the names of kernels that belong to a filter.
FILTER = "convolution: "
KERNELS = {"kernel", "gpu_memcpy", "gpu_memset"}


def classify(name):
    """The class of a kernel or operation."""
    return next((kind for kind, pattern in PATTERNS if pattern.search(name)), OTHER)


def events(trace):
    """Names and microseconds: of kernels, or where there are none of operations, each without those inside it."""
    whole = [event for event in trace["traceEvents"] if event.get("ph") == "X"]
    operations = [event for event in whole if event.get("cat") == "cpu_op"]
    # What started a kernel. cuDNN runs many filters as matrix products, whose names do not tell.
    origin = {event.get("args", {}).get("External id"): event["name"] for event in operations}
    kernels = [event for event in whole if event.get("cat") in KERNELS]

    def of_filters(event):
        return "convolution" in origin.get(event.get("args", {}).get("External id"), "")

    found = [(FILTER * of_filters(event) + event["name"], event["dur"]) for event in kernels]
    return found or own_times(operations)


def own_times(operations):
    """Operations with their own time: that of the operations inside them is taken away."""
    threads = {}
    for event in operations:
        threads.setdefault(event["tid"], []).append(event)
    found = []
    for thread in threads.values():
        # Outer ones first; what is still open lies around the next.
        thread.sort(key=lambda event: (event["ts"], -event["dur"]))
        opened = []
        for event in thread:
            begin, end = event["ts"], event["ts"] + event["dur"]
            while opened and opened[-1]["end"] <= begin:
                opened.pop()
            if opened:
                opened[-1]["own"] -= event["dur"]
            entry = {"name": event["name"], "own": event["dur"], "end": end}
            opened.append(entry)
            found.append(entry)
    return [(entry["name"], max(entry["own"], 0)) for entry in found]


def by_class(found, steps):
    """Milliseconds a step of every class."""
    spent = dict.fromkeys(NAMES, 0.0)
    for name, microseconds in found:
        spent[classify(name)] += microseconds / 1e3 / steps
    return spent


def longest(found, steps, number=25):
    """The kernels that take longest, with milliseconds a step, how many a step, and class."""
    spent = {}
    for name, microseconds in found:
        time, count = spent.get(name, (0.0, 0))
        spent[name] = (time + microseconds / 1e3 / steps, count + 1)
    ranked = sorted(spent.items(), key=lambda entry: -entry[1][0])[:number]
    return [[name[:120], round(time, 3), round(count / steps, 1), classify(name)] for name, (time, count) in ranked]
