"""A ResNet-18's training step and its forward pass with `freqfast.small_maps`, over the same without.

    python tests/bench/bench_small_maps.py [--widths 32 64] [--batch-size 256] [--rounds 9]

One model, random images of CIFAR-10's shape, bfloat16 autocast, channels last, freed memory kept; the step is forward,
backward and SGD. Some three minutes on one core.
"""

import argparse
from contextlib import nullcontext

import torch
from common import interleave, median, now, print_setting, print_table, ratio
from torch.nn import functional as F

from freqfast.memory import keep_freed_memory
from freqfast.models import build_model
from freqfast.small_maps import small_map_convolutions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="+", default=[32, 64], help="filters of the first layer")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=9, help="steps and passes of each arm that are measured")
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error("at least 1 round")

    keep_freed_memory()
    images = torch.randn(args.batch_size, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(args.batch_size) % 10
    rows = []
    for width in args.widths:
        model = build_model("resnet18", width=width)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True)

        def forward(small_maps: bool, model: torch.nn.Module = model) -> torch.Tensor:
            context = small_map_convolutions(images.device) if small_maps else nullcontext()
            with torch.autocast("cpu", torch.bfloat16), context:
                return model(images).float()

        def step(small_maps: bool, optimizer: torch.optim.Optimizer = optimizer) -> float:
            start = now("cpu")
            F.cross_entropy(forward(small_maps), labels).backward()
            optimizer.step()
            optimizer.zero_grad()
            return now("cpu") - start

        @torch.inference_mode()
        def inference(small_maps: bool) -> float:
            start = now("cpu")
            forward(small_maps)
            return now("cpu") - start

        for what, measure in (("step", step), ("forward pass", inference)):
            model.train(measure is step)
            seconds = interleave(
                {name: lambda name=name: measure(name == "ours") for name in ("ours", "plain")}, args.rounds
            )
            ours, plain = 1000 * seconds["ours"], 1000 * seconds["plain"]
            rows.append((f"{what}, width {width}", median(ours), median(plain), ratio(plain, ours)))
    print_setting("cpu", "bfloat16", batch_size=args.batch_size, rounds=args.rounds)
    print("milliseconds with quartiles; times as fast, with 95 % intervals")
    print_table(("", "small maps", "plain", "ratio"), rows)


if __name__ == "__main__":
    main()
