"""Files of weights as the libraries themselves write them: `written.py LIBRARY FOLDER`.

Each file has a companion: `NAME.expected` is a safetensors file of the backbone with torchvision's names;
`NAME.refused` holds the first tensor's name that a refusal has to give. Weights are random, also those of the
batch norms, so that no two tensors can be taken for each other.
"""

import copy
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

FOLDER = Path(sys.argv[2])


def drawn(model, seed):
    """The same module with other values in every tensor."""
    torch.manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.1 if name.endswith("running_var") else torch.randn_like(tensor))
        else:
            tensor.fill_(seed)
    return model


def backbone(model):
    """A copy of the tensors that count."""
    return {name: tensor.clone() for name, tensor in model.state_dict().items() if not name.startswith("fc.")}


def expect(path, model):
    save_file(backbone(model), f"{path}.expected")


def torchvision():
    from torchvision import models

    for arch, half in [
        ("resnet18", False),
        ("resnet34", True),
        ("resnet50", True),
        ("resnet101", True),
        ("wide_resnet50_2", True),
    ]:
        model = drawn(getattr(models, arch)(), 1)
        model = model.half() if half else model
        path = FOLDER / f"{arch}.pth"
        torch.save(model.state_dict(), path)
        expect(path, model)
    model = drawn(models.resnet18(), 2).half()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    parallel = torch.nn.DataParallel(model)
    training = {"epoch": 3, "arch": "resnet18", "best": torch.tensor(0.5), "state_dict": parallel.state_dict()}
    for name, content, is_zip in [
        ("legacy.pth", model.state_dict(), False),
        ("checkpoint.pth.tar", training | {"optimizer": optimizer.state_dict()}, True),
        ("legacy_checkpoint.pth.tar", training | {"optimizer": optimizer.state_dict()}, False),
    ]:
        path = FOLDER / name
        torch.save(content, path, _use_new_zipfile_serialization=is_zip)
        expect(path, model)
    # Others' networks of the same library.
    for arch, tensor in [("resnext50_32x4d", "layer1.0.conv2.weight"), ("densenet121", "conv1.weight")]:
        path = FOLDER / f"{arch}.pth"
        torch.save(getattr(models, arch)().half().state_dict(), path)
        Path(f"{path}.refused").write_text(tensor)


def timm():
    import timm

    for arch, ending in [("resnet18", "pth"), ("resnet18", "safetensors"), ("resnet50", "safetensors")]:
        model = drawn(timm.create_model(arch), 3)
        path = FOLDER / f"{arch}.{ending}"
        torch.save(model.state_dict(), path) if ending == "pth" else save_file(model.state_dict(), path)
        expect(path, model)
    for arch, tensor in [
        ("resnet18d", "conv1.0.weight"),
        ("resnet50d", "conv1.0.weight"),
        ("seresnet18", "layer1.0.se.fc1.bias"),
        ("seresnet50", "layer1.0.se.fc1.bias"),
        ("resnext50_32x4d", "layer1.0.conv2.weight"),
        ("resnetv2_50", "stem.conv.weight"),
        ("resnet26", "layer"),
        ("resnet50_gn", "running_mean"),
    ]:
        path = FOLDER / f"{arch}.safetensors"
        save_file(timm.create_model(arch).half().state_dict(), path)
        Path(f"{path}.refused").write_text(tensor)


def lightly():
    from lightly.models import modules
    from lightly.models.utils import deactivate_requires_grad
    from torch import nn
    from torchvision.models import resnet18

    class Method(nn.Module):
        """A method of lightly's examples: a sequence of the ResNet's children, and heads."""

        def __init__(self, **parts):
            super().__init__()
            for name, part in parts.items():
                setattr(self, name, part)

    def sequence(model):
        return nn.Sequential(*list(model.children())[:-1])

    def follower(module):
        follower = copy.deepcopy(module)
        deactivate_requires_grad(follower)
        return follower

    def write(name, trunk, second=None, **parts):
        path = FOLDER / f"{name}.ckpt"
        method = Method(**parts)
        # As Lightning's checkpoints.
        torch.save({"epoch": 1, "global_step": 7, "state_dict": method.state_dict(), "hyper_parameters": {}}, path)
        expect(path, trunk)
        if second is not None:
            save_file(backbone(second), f"{path}.target")

    one, two = drawn(resnet18(), 4).half(), drawn(resnet18(), 5).half()
    moco = modules.MoCoProjectionHead(512, 512, 128)
    byol = {"projection_head": modules.BYOLProjectionHead(512, 64, 32)}
    write(
        "moco", one, two, backbone=sequence(one), projection_head=moco,
        backbone_momentum=follower(sequence(two)), projection_head_momentum=follower(moco),
    )  # fmt: skip
    write(
        "byol", one, two, backbone=sequence(one), **byol, prediction_head=modules.BYOLPredictionHead(32, 64, 32),
        backbone_momentum=follower(sequence(two)), projection_head_momentum=follower(byol["projection_head"]),
    )  # fmt: skip
    write(
        "simsiam", one, backbone=sequence(one), projection_head=modules.SimSiamProjectionHead(512, 64, 32),
        prediction_head=modules.SimSiamPredictionHead(32, 16, 32),
    )  # fmt: skip
    write(
        "swav", one, backbone=sequence(one), projection_head=modules.SwaVProjectionHead(512, 64, 32),
        prototypes=modules.SwaVPrototypes(32, 16),
    )  # fmt: skip
    write("simclr", one, backbone=one, projection_head=modules.SimCLRProjectionHead(512, 64, 32))
    # The student is `online`, its teacher `target`; the teacher is what everybody evaluates.
    write(
        "dino", two, two, student_backbone=sequence(one), student_head=modules.DINOProjectionHead(512, 64, 32, 128),
        teacher_backbone=follower(sequence(two)), teacher_head=modules.DINOProjectionHead(512, 64, 32, 128),
    )  # fmt: skip
    save_file(backbone(one), FOLDER / "dino.ckpt.online")


{"torchvision": torchvision, "timm": timm, "lightly": lightly}[sys.argv[1]]()
