"""Training throughput of the Learner, over a hand-written PyTorch loop and over stock fastai.

    python -m tests.bench.bench_training [--width 16] [--batch-size 256] [--rounds 7] [--steps 16]

- *freqfast*: `build_learner` of the recipe ``resnet18_cifar10.baseline``.
- *PyTorch loop*: the same model, initial weights, optimizer, schedule, precision, memory format, uint8 array, crops,
  flips and normalisation, written out below with nothing of freqfast or fastai.
- *stock fastai*: the same images as PNG files through `ImageDataLoaders.from_folder` with its default number of
  workers, the same model in the default memory format, fastai's SGD, float32.

An arm's round is one epoch of ``--steps`` batches without validation, timed from the end of its first step. About two
and a half minutes on two cores.
"""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from fastai.data.transforms import Normalize
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy
from fastai.optimizer import SGD
from fastai.vision.augment import CropPad, Flip, PadMode, RandomCrop
from fastai.vision.data import ImageDataLoaders
from PIL import Image
from torch.nn import functional as F

from freqfast.compute.precision import resolve_precision
from freqfast.data import ImageData
from freqfast.models.resnet import CifarResNet18
from freqfast.runs.recipe import Recipe
from freqfast.runs.registry import find_recipe
from tests.bench.common import (
    Arguments,
    freqfast_arm,
    interleave,
    median,
    now,
    photo_data,
    print_table,
    ratio,
    training_arm,
)


def loop_arm(recipe: Recipe, data: ImageData, device: str) -> Callable[[], float]:
    """Images per second of a training loop as one writes it by hand."""
    torch.manual_seed(recipe.seed)
    model = CifarResNet18(len(data.classes), **recipe.model_options).to(device, memory_format=torch.channels_last)
    images = torch.from_numpy(data.train.pixels).to(device)
    labels = torch.from_numpy(data.train.labels).to(device)
    mean = torch.tensor(data.mean, device=device).view(1, 3, 1, 1)
    std = torch.tensor(data.std, device=device).view(1, 3, 1, 1)
    optimizer = torch.optim.SGD(
        model.parameters(), recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay, nesterov=True
    )
    half = resolve_precision(recipe.precision, device) == "bfloat16"
    batch = recipe.batch_size
    steps = len(images) // batch

    def window(size: int) -> torch.Tensor:
        """Rows or columns ``(batch, size)`` of a random crop from an image reflected by 4 pixels."""
        place = (torch.randint(-4, 5, (batch, 1), device=device) + torch.arange(size, device=device)).abs()
        return torch.where(place >= size, 2 * (size - 1) - place, place)

    def images_per_second() -> float:
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, recipe.lr, total_steps=steps, pct_start=recipe.pct_start, cycle_momentum=False
        )
        model.train()
        start = 0.0
        for step, rows in enumerate(torch.randperm(len(images), device=device)[: steps * batch].split(batch)):
            ys, xs = window(32), window(32)
            xs = torch.where(torch.rand(batch, 1, device=device) < 0.5, xs.flip(1), xs)
            pixels = images[rows[:, None, None], ys[:, :, None], xs[:, None, :]].permute(0, 3, 1, 2)
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=half):
                logits = model(pixels.float().div_(255).sub_(mean).div_(std))
            F.cross_entropy(logits.float(), labels[rows]).backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            if step == 0:
                start = now(device)
        return (steps - 1) * batch / (now(device) - start)

    return images_per_second


def stock_arm(recipe: Recipe, data: ImageData, device: str, folder: Path) -> Callable[[], float]:
    """Images per second of fastai as its documentation uses it."""
    for name, part in (("train", data.train), ("valid", data.test)):
        for label in data.classes:
            (folder / name / label).mkdir(parents=True)
        for row, (image, label) in enumerate(zip(part.pixels, part.labels, strict=True)):
            Image.fromarray(image).save(folder / name / data.classes[label] / f"{row}.png")
    dls = ImageDataLoaders.from_folder(
        folder,
        bs=recipe.batch_size,
        item_tfms=[CropPad(40, pad_mode=PadMode.Reflection), RandomCrop(32)],
        batch_tfms=[Flip(), Normalize.from_stats(data.mean, data.std, cuda=torch.device(device).type == "cuda")],
        device=torch.device(device),
    )
    torch.manual_seed(recipe.seed)
    model = CifarResNet18(len(data.classes), **recipe.model_options)
    learn = Learner(dls, model, loss_func=CrossEntropyLossFlat(), opt_func=SGD, metrics=accuracy)
    return training_arm(learn, recipe, device)


def main() -> None:
    args = Arguments(__doc__, device=True, width=16, batch_size=256, rounds=7, steps=16).read()
    recipe = replace(
        find_recipe("resnet18_cifar10.baseline"),
        model_options={"width": args.width},
        batch_size=args.batch_size,
        precision=args.precision,
        epochs=1,
        lr=0.05,  # a cycle of few steps does not survive the recipe's 0.4
    )
    data = photo_data(args.batch_size * args.steps)
    with tempfile.TemporaryDirectory() as folder:
        arms = {
            "freqfast": freqfast_arm(recipe, data, args.device),
            "PyTorch loop": loop_arm(recipe, data, args.device),
            "stock fastai": stock_arm(recipe, data, args.device, Path(folder)),
        }
        speed = interleave(arms, args.rounds)
    aims = {"PyTorch loop": ">= 0.97", "stock fastai": ">= 2.4 at width 16"}
    rows = [
        (name, median(values), ratio(speed["freqfast"], values) if name in aims else "", aims.get(name, ""))
        for name, values in speed.items()
    ]
    print_table(args, ("training", "images/s (quartiles)", "freqfast over it (95 %)", "aim"), rows)


if __name__ == "__main__":
    main()
