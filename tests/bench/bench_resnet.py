"""What the shortcuts of our ResNet-18 save on a CPU in bfloat16: the whole, over it with each the other way.

    python -m tests.bench.bench_resnet [--widths 16 32 64] [--batch-size 256] [--rounds 9]

- *small maps*: convolutions of the last stage by `freqfast.compute.small_maps`; ours where the CPU has AMX.
- *apart*: activations and sums into memory of their own; torchvision's blocks change them in place.

A training step is forward, backward and SGD under autocast; inference is the network of `freqfast evaluate`, its
BatchNorm folded and its weights in bfloat16. Random images of CIFAR-10's shape, channels last, freed memory kept. About
ten minutes on one core.
"""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock

from freqfast.compute.memory import keep_freed_memory
from freqfast.compute.precision import cpu_has_amx
from freqfast.compute.small_maps import SmallMapConvolutions
from freqfast.models.build import build_model, channels_last
from freqfast.models.folding import fold_batch_norm
from freqfast.models.resnet import CifarResNet18
from tests.bench.common import Arguments, interleave, median, now, print_table, ratio

AMX = cpu_has_amx()
OTHER = "no small maps" if AMX else "small maps"
ARMS = {"ours": (AMX, False), OTHER: (not AMX, False), "in place": (AMX, True)}
OUR_BLOCK = type(CifarResNet18(width=8).layer1[0])


def training(width: int, images: Tensor, labels: Tensor) -> tuple[nn.Module, Callable[[], None]]:
    """A model, and a step of its training."""
    model = build_model("resnet18", width=width)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            output = model(images)
        F.cross_entropy(output.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    return model, step


def inference(width: int, images: Tensor) -> tuple[nn.Module, Callable[[], None]]:
    """A folded model in bfloat16, and its forward pass."""
    folded = fold_batch_norm(build_model("resnet18", width=width).eval())
    model = channels_last(folded.bfloat16())
    half = images.bfloat16()

    def forward() -> None:
        model(half)

    return model, forward


def milliseconds(model: nn.Module, work: Callable[[], None], small_maps: bool, in_place: bool) -> float:
    """How long it takes, once."""
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = in_place
        elif isinstance(module, BasicBlock | OUR_BLOCK):
            module.__class__ = BasicBlock if in_place else OUR_BLOCK
    with torch.inference_mode(not model.training), SmallMapConvolutions() if small_maps else nullcontext():
        start = now("cpu")
        work()
        return 1000 * (now("cpu") - start)


def main() -> None:
    args = Arguments(__doc__, widths=[16, 32, 64], batch_size=256, rounds=9).read()
    args.precision = "bfloat16"
    keep_freed_memory()
    images = torch.randn(args.batch_size, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(args.batch_size) % 10
    rows = []
    for width in args.widths:
        for what, made in (("step", training(width, images, labels)), ("inference", inference(width, images))):
            arms = {name: partial(milliseconds, *made, *arm) for name, arm in ARMS.items()}
            found = interleave(arms, args.rounds)
            ours = found.pop("ours")
            rows.append((f"{what}, width {width}", median(ours, 1), *(ratio(ms, ours) for ms in found.values())))
    note = "milliseconds with quartiles; how many times as fast as the other way, with 95 % intervals"
    print_table(args, ("", "ours", *(f"over {name}" for name in list(ARMS)[1:])), rows, note)


if __name__ == "__main__":
    main()
