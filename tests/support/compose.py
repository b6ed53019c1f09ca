"""Learners composed at random: model, layer, callbacks and their ways of adding, optimizer, precision, actions."""

import random
from collections import Counter
from dataclasses import dataclass
from functools import partial

import timm
import torch
from fastai.callback import schedule  # noqa: F401  (gives Learner fit_one_cycle, fine_tune and lr_find)
from fastai.callback.mixup import MixUp
from fastai.callback.progress import ProgressCallback
from fastai.callback.training import GradientAccumulation, GradientClip
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.optimizer import SGD, Adam, OptimWrapper
from fastai.torch_core import set_seed
from torch import nn
from torchvision import models

from freqfast.callbacks import (
    Antialiasing,
    AutoPrecision,
    FrequencyProportion,
    SpectralModulation,
    SpectrumEqualization,
    SpectrumPerturbation,
    SpectrumRecorder,
)
from freqfast.models.resnet import CifarResNet18
from freqfast.spectral.bands import Bands
from freqfast.spectral.surgery import find_conv
from tests.support.learners import CLASSES, silent

SMALL = [
    "timm:test_resnet", "timm:test_efficientnet", "timm:test_convnext", "timm:test_byobnet", "timm:test_mambaout",
    "timm:test_vit", "timm:test_nfnet", "ours",
]  # fmt: skip
LARGER = [
    "timm:resnet10t", "timm:mobilenetv3_small_050", "timm:tf_mobilenetv3_small_075", "timm:lcnet_050",
    "timm:mobilenetv4_conv_small", "timm:ghostnet_050", "timm:regnetx_002", "timm:regnety_002", "timm:convnext_atto",
    "timm:vit_tiny_patch16_224", "timm:mobilevit_xxs", "timm:edgenext_xx_small", "timm:dla46x_c", "timm:tinynet_e",
    "timm:mnasnet_small", "timm:semnasnet_075", "timm:efficientnet_lite0", "timm:starnet_s1", "timm:nf_regnet_b0",
    "timm:rexnet_100", "timm:hardcorenas_a", "timm:levit_128s",
    "torchvision:squeezenet1_1", "torchvision:shufflenet_v2_x0_5", "torchvision:mobilenet_v3_small",
    "torchvision:mobilenet_v2", "torchvision:mnasnet0_5", "torchvision:regnet_y_400mf", "torchvision:resnet18",
]  # fmt: skip
outcomes: Counter = Counter()


def build_model(name, seed):
    """The model of a name, with random weights."""
    torch.manual_seed(seed)
    kind, _, what = name.partition(":")
    if kind == "ours":
        return CifarResNet18(CLASSES, width=8, kernel_size=(3, 5)[seed % 2])
    if kind == "torchvision":
        return models.get_model(what, weights=None, num_classes=CLASSES)
    sized = {"img_size": 32} if "vit_" in what and "mobile" not in what else {}
    return timm.create_model(what, num_classes=CLASSES, **sized)


@dataclass
class Composition:
    """A Learner that is to be made, and what is done with it."""

    seed: int
    model: str
    layer: int | None  # the convolution that the callbacks work on; None for the first
    ways: list  # how each callback is added, in the order of adding: pairs of name and "Learner", "add_cb" or "fit"
    others: list  # fastai's own callbacks beside them
    optimizer: str
    precision: str | None  # for AutoPrecision; None without it
    actions: list  # one after another


OPTIMIZERS = {
    "Adam": (Adam, 0.003),
    "SGD": (partial(SGD, mom=0.9), 0.01),
    "Nesterov": (partial(OptimWrapper, opt=torch.optim.SGD, momentum=0.9, nesterov=True), 0.01),
    "AdamW": (partial(OptimWrapper, opt=torch.optim.AdamW), 0.003),
}
OTHERS = {"MixUp": MixUp, "GradientClip": GradientClip, "GradientAccumulation": partial(GradientAccumulation, 16)}
NAMES = ["proportion", "modulation", "perturbation", "equalization", "antialiasing", "recorder"]
FITS = ["fit", "fit", "fit_one_cycle", "fit_flat_cos", "fine_tune", "reset"]
BETWEEN = ["lr_find", "validate", "get_preds", "save_load", "fresh", "export", "take_off_for_a_while"]


def compose(seed, small=False):
    """The composition of a seed."""
    rng = random.Random(seed)
    model = rng.choice(SMALL if small or rng.random() < 0.4 else LARGER)
    names = rng.sample(NAMES, rng.choice([1, 2, 3, 3, 4, 5, 5]))
    actions = []
    for _ in range(rng.choice([1, 1, 2, 3])):
        actions += rng.sample(BETWEEN, rng.choice([0, 1, 1, 2]))
        actions.append(rng.choice(FITS))
    actions += rng.sample(BETWEEN, rng.choice([0, 1, 2]))
    return Composition(
        seed=seed,
        model=model,
        layer=rng.choice([None, None, None, 1, 2]),
        ways=[(name, rng.choice(["Learner", "add_cb", "fit"])) for name in names],
        others=rng.sample(sorted(OTHERS), rng.choice([0, 0, 1])),
        optimizer=rng.choice(sorted(OPTIMIZERS)),
        precision=rng.choice([None, "float32", "bfloat16", "bfloat16", "auto"]),
        actions=actions,
    )


def layer_name(model, number):
    """Name of one of the plain spatial convolutions with several input channels; None for the first."""
    if number is None:
        return None
    plain = [n for n, m in model.named_modules() if type(m) is nn.Conv2d and min(m.kernel_size) > 1 and m.groups == 1]
    return plain[number % len(plain)] if plain else None


def make_callback(name, composition, model, layer):
    """A callback of a name with arguments drawn at random."""
    rng = random.Random(f"{composition.seed}-{name}")
    edges = {"edges": [0, 0.25, 2**-0.5], "names": ["low", "high"]}
    bands = Bands.of(random.Random(composition.seed).choice([2, 2, 3, edges]))  # one choice for all callbacks
    if name == "modulation":
        seed = rng.choice([None, 3])
        return SpectralModulation(rng.random() < 0.6, rng.choice([0.0, 0.3, 1.0]), layer=layer, seed=seed)
    if name == "perturbation":
        return SpectrumPerturbation(
            rng.choice([0.25, 1.0]), jitter=rng.choice([0.0, 0.2]), noise=rng.choice([0.0, 0.1])
        )
    if name == "equalization":
        return SpectrumEqualization(rng.choice([1, 4, 12]), rng.choice([0.5, 1.0]), layer=layer)
    if name == "antialiasing":
        strided = [n for n, m in model.named_modules() if isinstance(m, nn.Conv2d) and max(m.stride) > 1]
        return Antialiasing(None if set(strided) - {find_conv(model)[0]} else strided)
    if name == "recorder":
        return SpectrumRecorder(bands, n=32, layer=layer)
    kernel = find_conv(model, layer)[1].kernel_size
    if min(bands.reachable((kernel[0], kernel[1]))) < 0.53:  # no 2x2 kernel resolves three bands
        bands = Bands.of(2)
    limit = min(bands.reachable((kernel[0], kernel[1])))
    parts = [rng.randrange(1, 5) for _ in bands.names]
    proportions = {band: part / sum(parts) for band, part in zip(bands.names, parts, strict=True)}
    return FrequencyProportion(
        proportions, bands, 0.5 + rng.uniform(0.05, 0.9) * (limit - 0.5), layer, rng.random() < 0.7
    )


def make_learner(composition, model, dls, folder, cbs):
    """A quiet Learner."""
    opt_func, lr = OPTIMIZERS[composition.optimizer]
    extra = [OTHERS[name]() for name in composition.others]
    if composition.precision:
        extra.append(AutoPrecision(composition.precision))
    learn = Learner(
        dls, model, loss_func=CrossEntropyLossFlat(), opt_func=opt_func, lr=lr, path=folder, cbs=[*extra, *cbs]
    )
    learn.remove_cb(ProgressCallback)
    learn.logger = silent
    set_seed(composition.seed, reproducible=False)
    return learn
