"""Training and evaluation with freed memory kept (`freqfast.compute.memory`), over the C library's default.

    python -m tests.bench.bench_memory [--widths 16 64] [--batch-size 256] [--rounds 5] [--steps 8]

Each measurement is a process of its own, since the C library remembers: the Learner of ``resnet18_cifar10.baseline``
for one epoch of ``--steps`` batches, timed from the end of its first step, and then `Classifier.predict` on as many
batches. *peak* is the most memory that the process had. Some minutes on two cores, much of it to start up.
"""

import sys
from dataclasses import replace
from functools import partial

from freqfast.compute.memory import keep_freed_memory
from freqfast.models.build import build_model
from freqfast.runs.registry import find_recipe
from tests.bench.common import (
    Arguments,
    freqfast_arm,
    in_a_process,
    interleave,
    median,
    now,
    peak_mib,
    photo_data,
    print_table,
    ratio,
)
from tests.support.networks import classifier_of


def measure(keep: bool, width: int, batch_size: int, steps: int) -> tuple[float, float, float]:
    """Images per second in training and in evaluation, and the peak in MiB."""
    if keep and not keep_freed_memory():
        sys.exit("this machine's C library is not glibc: there is nothing to measure")
    recipe = replace(
        find_recipe("resnet18_cifar10.baseline"), model_options={"width": width}, batch_size=batch_size, epochs=1
    )
    data = photo_data(batch_size * steps, batch_size * steps)
    training = freqfast_arm(recipe, data, "cpu")()
    model = build_model("resnet18", classes=len(data.classes), width=width)
    classifier = classifier_of(model, data.mean, data.std, precision="auto", batch_size=batch_size)
    classifier.predict(data.test.pixels[: 2 * batch_size])
    start = now("cpu")
    classifier.predict(data.test.pixels)
    evaluation = len(data.test) / (now("cpu") - start)
    return training, evaluation, peak_mib()


def main() -> None:
    args = Arguments(__doc__, widths=[16, 64], batch_size=256, rounds=5, steps=8).read()
    rows = []
    for width in args.widths:
        words = (width, args.batch_size, args.steps)
        arms = {name: partial(in_a_process, measure, name == "kept", *words) for name in ("kept", "default")}
        kept, default = (values.T for values in interleave(arms, args.rounds).values())
        for what, ours, theirs in zip(("training", "evaluation", "peak MiB"), kept, default, strict=True):
            rows.append((f"{what}, width {width}", median(ours), median(theirs), ratio(ours, theirs)))
    print_table(args, ("", "kept", "default", "ratio"), rows, "images/s with quartiles, ratios with 95 % intervals")


if __name__ == "__main__":
    main()
