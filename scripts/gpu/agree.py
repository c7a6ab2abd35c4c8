"""Do both programs do the same work? Same weights, same views: losses and gradients are compared before any clock runs.

In fp32 every gradient has to point where the peer's does. In bf16 rounding alone turns the gradients of 50 layers by
more than that, whoever computes them; so ours have to be as close to fp32's as the peer's own bf16 gradients are.
"""

import importlib.util
import statistics

from machine import PEER, fail, say

# How far losses may lie apart.
LOSS_LIMITS = {"fp32": 1e-4, "bf16": 5e-3}
# How alike gradients have to be in fp32; how much less than the peer's ours may be like fp32's in bf16, in the middle.
LEAST_COSINE = 0.99
BF16_SLACK = 0.02
# Shorter gradients than this share of the longest are zero but for rounding: those of a bias that a batch norm takes
# away.
ZERO = 1e-6
# Of each residual block's last batch norm: small steps, as in a trained network. At 1, a random network of 50 layers
# amplifies rounding until bf16 has nothing to do with fp32.
LAST_SCALE = 0.2
# Pairs; enough for batch norms of vectors to have statistics.
BATCH = 8
FRAME = (1920.0, 1280.0)

# The peer's modules and ours.
TRUNK = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
HEADS = {"proj1": "projector", "proj2": "projector_2d", "pred1": "predictor", "pred2": "predictor_2d"}


def our_name(name):
    """Name of a tensor of the peer's model in our states."""
    parts = name.split(".")
    if parts[0] in HEADS:
        return ".".join(["online", HEADS[parts[0]], *parts[1:]])
    network, part, *rest = parts
    if part == "trunk":
        return ".".join([network, "backbone", TRUNK[rest[0]], *rest[1:]])
    return ".".join([network, HEADS[part], *rest])


def load_peer():
    """The peer's script as a module, not run."""
    spec = importlib.util.spec_from_file_location("peer", PEER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_model(peer, arch):
    """The peer's model, its target another network than its online one, no scale and no shift at its usual start."""
    import torch

    torch.manual_seed(0)
    model = peer.MultiSiam(arch)
    model.target.load_state_dict(peer.Encoder(arch).state_dict())
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
        for block in (module for module in model.modules() if hasattr(module, "downsample")):
            getattr(block, "bn3", block.bn2).weight.mul_(LAST_SCALE)
    return model


def make_inputs(size):
    """Views whose cells differ: clouds, and noise on them. Boxes and flips are drawn as the peer draws them."""
    import torch

    clouds = torch.nn.functional.interpolate(torch.rand(2 * BATCH, 3, 6, 6), size=(size, size), mode="bicubic")
    pixels = 255 * clouds + 20 * torch.randn(2 * BATCH, 3, size, size)
    views = pixels.clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).reshape(2, BATCH, size, size, 3).contiguous()
    crop = torch.tensor([[200.0, 100.0, 900.0, 800.0]]).repeat(BATCH, 1)
    return {
        "views": views,
        "crops": torch.stack([crop, crop + 80 * torch.rand(BATCH, 4)]),
        "frames": torch.tensor([FRAME]).repeat(BATCH, 1),
        "flips": (torch.rand(2, BATCH) < 0.5).to(torch.uint8),
    }


def run_peer(peer, model, inputs, device, precision):
    """Loss and gradients under our names."""
    import torch

    low = torch.bfloat16 if precision == "bf16" and device.type == "cuda" else torch.float32
    mean, std = (values.to(device).view(1, 3, 1, 1) for values in (peer.MEAN, peer.STD))
    views = [
        ((view.to(device).permute(0, 3, 1, 2).float() - mean) / std)
        .to(low)
        .contiguous(memory_format=torch.channels_last)
        for view in inputs["views"]
    ]
    crops, flips = inputs["crops"].to(device), inputs["flips"].to(device).bool()
    model.zero_grad(set_to_none=True)
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        loss = model(*views, *crops, *flips)
    loss.backward()
    gradients = {our_name(name): p.grad.cpu() for name, p in model.named_parameters() if p.grad is not None}
    return float(loss.detach()), gradients


def cosines(left, right, names):
    """Cosine and name of every gradient, worst first."""
    found = []
    for name in names:
        a, b = (gradients[name].double().flatten() for gradients in (left, right))
        found.append((float(a @ b / (a.norm() * b.norm())), name))
    return sorted(found)


def not_zero(gradients):
    """Names of the gradients that are more than rounding."""
    norms = {name: float(gradient.double().norm()) for name, gradient in gradients.items()}
    return sorted(name for name, norm in norms.items() if norm > ZERO * max(norms.values()))


def compare(exact, theirs, ours):
    """How alike the gradients of both programs are, and each side's and the peer's in fp32 (`exact`)."""
    names = not_zero(exact)
    alike = cosines(theirs, ours, names)
    middle, their_middle = (statistics.median(c for c, _ in cosines(exact, side, names)) for side in (ours, theirs))
    worst, name = alike[0]
    return {
        "least_cosine": worst,
        "of": name,
        "median_cosine": statistics.median(c for c, _ in alike),
        "gradients": len(names),
        "like_fp32": middle,
        "peer_like_fp32": their_middle,
    }


def judge(precision, apart, found):
    """What says that the programs do different work, or None. A NaN is within no limit."""
    limit, worst = LOSS_LIMITS[precision], found["least_cosine"]
    if not apart <= limit:
        return f"{precision} losses lie {apart:.1e} apart, {limit:.0e} is allowed: the programs do different work"
    if precision == "fp32" and not worst >= LEAST_COSINE:
        return f"gradients of {found['of']} have cosine {worst:.4f}, {LEAST_COSINE} is asked for: different work"
    middle, their_middle = found["like_fp32"], found["peer_like_fp32"]
    if not middle >= their_middle - BF16_SLACK:
        return f"{precision} gradients have cosine {middle:.4f} with fp32's, the peer's have {their_middle:.4f}"
    return None


def run(machine):
    import torch
    from safetensors.torch import load_file, save_file

    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    device = torch.device(machine.options.device)
    peer = load_peer()
    model = make_model(peer, machine.options.arch)
    inputs = make_inputs(machine.options.size)
    folder = machine.scratch() / "agree"
    folder.mkdir(exist_ok=True)
    save_file({our_name(name): t.contiguous() for name, t in model.state_dict().items()}, folder / "state.safetensors")
    save_file(inputs, folder / "inputs.safetensors")
    model = model.to(device, memory_format=torch.channels_last).train()

    exact, complaints = None, []
    for precision, limit in LOSS_LIMITS.items():
        loss, theirs = run_peer(peer, model, inputs, device, precision)
        machine.trainer(BATCH, "--agree", folder, precision=precision)
        ours = load_file(folder / "ours.safetensors")
        our_loss = float(ours.pop("loss"))
        if set(theirs) != set(ours):
            fail(f"gradients that only one program has: {sorted(set(theirs) ^ set(ours))[:3]}")
        exact = exact or theirs
        apart, found = abs(our_loss - loss), compare(exact, theirs, ours)
        say(
            f"agree, {precision}: loss {loss:.6f} and {our_loss:.6f}, {apart:.1e} apart (at most {limit:.0e}); "
            f"cosines of {found['gradients']} gradients from {found['least_cosine']:.5f} ({found['of']}), median "
            f"{found['median_cosine']:.5f}; with fp32's of the peer, median {found['like_fp32']:.5f}, the peer's "
            f"{found['peer_like_fp32']:.5f}"
        )
        complaint = judge(precision, apart, found)
        complaints += filter(None, [complaint])
        machine.record("agree", side=precision, agreed=complaint is None, loss_apart=apart, **found)
    if complaints:
        fail("; ".join(complaints))
