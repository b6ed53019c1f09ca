"""Fine-tune a trained network from any source."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from freqfast.callbacks.distillation import Distillation
from freqfast.callbacks.proportion import FrequencyProportion
from freqfast.compute.ranks import check_alone
from freqfast.data import ImageData, Images
from freqfast.models.build import channels_last
from freqfast.models.classifier import Classifier
from freqfast.models.network import Network
from freqfast.models.state_dicts import require_tensors
from freqfast.progress import Log, Progress, notebook_progress
from freqfast.runs.recipe import Recipe
from freqfast.spectral.surgery import copy_model
from freqfast.training.learner import build_learner, fit_watched
from freqfast.training.state import generators_kept


@generators_kept()
def fine_tune(
    network: Network,
    recipe: Recipe,
    data: ImageData,
    keep: float = 0.5,
    device: torch.device | str | None = None,
    progress: Progress | None = None,
    log: Log | None = None,
) -> Network:
    """Train a network further by a recipe's schedule and callbacks, and average its new weights with the old ones.

    The recipe ``robust`` makes an existing network more robust and adds nothing to it, so its architecture stays; it
    trains towards the network's own outputs for the unchanged images, and uses no labels. Further training costs clean
    accuracy; averaging recovers much of that cost and loses little of the robustness (Wortsman et al., 2022,
    arXiv:2109.01903). The caller's random number generators stay as they were.

    Args:
        network: The network; it is copied, not changed. See `freqfast.load_network`.
        recipe: Schedule, callbacks and seed; its model and its data are not used.
        data: Training data, with the classes that the network was trained on, in the same order; see `own_labels` for
            images without labels.
        keep: The share of the old weights in the average, in [0, 1); BatchNorm's statistics are averaged too, but not
            what callbacks add to the network.
        device: Where to train; a CUDA GPU if there is one, else the CPU, if None.
        progress: Called as ``progress(done, total, message)``.
        log: Called with a line about each epoch; None for no log.

    Returns:
        The network in eval mode, on the CPU, its weights in float32.

    Raises:
        ValueError: If `keep` lies outside [0, 1); if the network has nothing to train, has a state dict of more than
            tensors, or does not give as many logits as the data has classes; if a callback does not fit; or if the
            training diverges.

    Examples:
        >>> from freqfast import find_recipe
        >>> from freqfast.data import load_data
        >>> from freqfast.models import Preprocessing
        >>> data, model = load_data("photos").hold_out(5110), torch.nn.Sequential(
        ...     torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 10)
        ... )
        >>> recipe = replace(find_recipe("robust"), epochs=1, batch_size=5)
        >>> network = Network("mine", model, Preprocessing(data.mean, data.std))
        >>> fine_tune(network, recipe, data, device="cpu").name
        'mine'
    """
    check_alone()
    if not 0 <= keep < 1:
        raise ValueError(f"keep must lie in [0, 1), got {keep}")
    if not any(parameter.requires_grad for parameter in network.module.parameters()):
        raise ValueError(f"{network.name} has no parameter that is trained; set requires_grad of those to be trained")
    before = network.module.state_dict()
    require_tensors(before)
    start = replace(network, module=channels_last(copy_model(network.module).float()))
    learn = build_learner(recipe, data, device, start=start)
    for callback in learn.cbs:
        if isinstance(callback, Distillation) and callback.teacher is None:  # without what other callbacks put in
            callback.teacher = copy_model(network.module).float()
    try:
        fit_watched(learn, recipe, progress or notebook_progress(), log)
    except FloatingPointError as error:
        raise ValueError(f"the training diverged {error}; lower lr ({recipe.lr:g})") from None
    model = learn.model.cpu()
    model.load_state_dict(average_weights(model.state_dict(), before, keep))
    for callback in learn.cbs:
        if isinstance(callback, FrequencyProportion):  # the average of two filters of a band may leave it
            callback.enforce()
    return replace(network, module=model.eval())


def own_labels(network: Network, images: Images, device: torch.device | str | None = None) -> Images:
    """The same images, labelled by what a network says of them, so that accuracy is agreement with it.

    Args:
        network: The network, whose normalisation must be known.
        images: Images of the size that it takes; their labels are not used.
        device: Where to run it; by default where it is.

    Examples:
        >>> from freqfast.models import Preprocessing
        >>> brightest = torch.nn.Sequential(torch.nn.AvgPool2d(8), torch.nn.Flatten())
        >>> network = Network("brightest", brightest, Preprocessing((0.5,) * 3, (0.25,) * 3), ("red", "green", "blue"))
        >>> blue = Images(np.full((2, 8, 8, 3), (10, 20, 30), np.uint8), np.zeros(2, np.int64))
        >>> own_labels(network, blue).labels
        array([2, 2])
    """
    classifier = Classifier(network, device)
    labels = classifier.predict(images.pixels).astype(np.int64)
    outputs = classifier.logits(np.array(images.pixels[:1])).shape[1]
    return replace(images, labels=labels, classes=network.classes or tuple(map(str, range(outputs))))


def average_weights(after: Mapping[str, Tensor], before: Mapping[str, Tensor], keep: float) -> dict[str, Tensor]:
    """A state dict, moved by a share towards an older one where both have a name.

    Examples:
        >>> average_weights({"w": torch.tensor(1.0)}, {"w": torch.tensor(3.0)}, keep=0.25)
        {'w': tensor(1.5000)}
    """

    def average(name: str, value: Tensor) -> Tensor:
        is_number = value.is_floating_point() or value.is_complex()
        if name not in before or not is_number or torch.equal(value, old := before[name].to(value)):
            return value  # what did not change may be infinite, as masks are
        return torch.lerp(value, old, keep)

    return {name: average(name, value) for name, value in after.items()}
