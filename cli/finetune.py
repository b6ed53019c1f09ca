"""`freqfast finetune`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from freqfast.cli.command import complete_recipe, option
from freqfast.cli.evaluation_report import present
from freqfast.cli.files import check_data, check_output, write
from freqfast.cli.images import TestSet, check_order, choose_among, is_folder, scaling_notes
from freqfast.cli.interrupts import interruptible
from freqfast.cli.options import AsJson, Force, Model, NetworkOptions, Settings, check_model, takes_network
from freqfast.cli.output import command_text, print_json, progress_bar, say, typed_command
from freqfast.cli.run import parse_settings

from freqfast.files import of_user

if TYPE_CHECKING:
    from freqfast.data import ImageData, Images
    from freqfast.models.network import Network
    from freqfast.progress import Progress
    from freqfast.robustness import CorruptionResult
    from freqfast.runs.recipe import Recipe

_DEFAULTS = ("robust", "robust_photographs")  # the second for images as large as ImageNet-C's
_MEASURED = 1000
_UNUSED = {"data", "model", "model_options", "image_size", "holdout", "test_images"}  # of a recipe


Out = Annotated[
    Path,
    option(
        "FILE.safetensors",
        "The file to write: a model file if MODEL is freqfast's own, else a state dict, with FILE.toml beside it.",
        "-o",
        "--out",
    ),
]
RecipeName = Annotated[
    str | None,
    option(
        "RECIPE",
        "Recipe whose schedule and callbacks are used: a name, or package.module:recipe. By default robust, or "
        "robust_photographs for images of at least 112 pixels a side.",
        "--recipe",
        autocompletion=complete_recipe,
    ),
]
TrainingData = Annotated[
    str | None,
    option(
        "PATH",
        "As for `evaluate`; by default the run's, then FREQFAST_DATA, then the cache. With --pretrained, or --resize "
        "and --crop, a folder of train/ and val/ may hold images of any number and size.",
    ),
]
Unlabelled = Annotated[
    str | None,
    option(
        "FOLDER",
        "Train on all images in this folder and below it, without classes; a tenth of them is held out, and --data is "
        "for --evaluate alone.",
    ),
]
ByLabels = Annotated[
    bool,
    typer.Option("--labels", help="Train by the images' labels, not towards the outputs of the network as it was."),
]
Keep = Annotated[float, option("X", "Share of the old weights in the average that is written, below 1.", min=0)]
Measure = Annotated[
    bool,
    typer.Option(
        "--evaluate",
        help=f"Measure both networks under corruption, on {_MEASURED:,} test images at most: accuracy; where no labels "
        "are known, agreement with MODEL on images that are held out.",
    ),
]


@takes_network
def finetune(
    model: Model,
    network: NetworkOptions,
    out: Out,
    recipe: RecipeName = None,
    data: TrainingData = None,
    unlabelled: Unlabelled = None,
    by_labels: ByLabels = False,
    keep: Keep = 0.5,
    settings: Settings = None,
    measure: Measure = False,
    as_json: AsJson = False,
    force: Force = False,
) -> None:
    """Fine-tune an existing network, by default to make it robust at little cost in clean accuracy.

    It learns to say of a perturbed image what it says of the image itself, so labels are not needed. The new weights
    are averaged with the old ones. The last line names the command that measures the result.

    Examples:
        freqfast finetune runs/first -o robust.safetensors
        freqfast finetune timm:resnet18 --weights net.pth -o robust.safetensors
        freqfast finetune net.toml --unlabelled photographs -o new.safetensors
    """
    from freqfast.corruptions import find_table

    recipes = _load_recipes(recipe, settings or ())
    if by_labels and unlabelled:
        raise ValueError("--labels needs images with labels, which --unlabelled has not; leave one of them out")
    if by_labels:
        recipes = {name: _by_labels(each) for name, each in recipes.items()}
    if keep >= 1:
        raise ValueError(f"--keep {keep:g} leaves nothing of the training; give less than 1")
    reads = [model, data, unlabelled, network.weights, network.class_list]
    check_output(out, ("safetensors",), reads, force)
    check_model(model)
    check_data(data)

    with interruptible("interrupted; nothing is written"), progress_bar() as progress:
        from freqfast.training import build_callbacks, fine_tune  # imports fastai: only once the paths exist

        for each in recipes.values():
            build_callbacks(each)

        from freqfast.models.state_dicts import require_savable
        from freqfast.runs.directory import find_run

        source = network.load(model)
        require_savable(source.module.state_dict())
        described = out if source.spec else out.with_suffix(".toml")
        if source.spec is None:
            check_output(described, (), reads, force)
        data = data or source.data
        judged = None
        if unlabelled is None:
            images = _read(source, data, network, progress)
        else:
            images = _read_unlabelled(source, unlabelled, network)
            if measure and (data or find_run(source.name)):
                test = TestSet(data, _MEASURED, scaling=network.scaling)
                judged, notes = test.load(source, find_run(source.name), progress)
                for note in notes:
                    say(note)
        are_large = find_table("auto", *images.train.pixels.shape[1:3]) == "imagenet"
        name = recipe or _DEFAULTS[are_large]
        chosen = recipes[name]
        tuned = fine_tune(source, chosen, images, keep, network.device, progress, say)
        if source.spec is None:
            classes = source.classes or (None if unlabelled else images.classes)
            tuned = replace(tuned, weights=out, classes=classes, data=data)
        _store(tuned, out, described)
        if judged is None:
            name_of_test = f"{images.name} labelled by {source.name}" if unlabelled else images.name
            judged = replace(images.test[:_MEASURED], name=name_of_test)
        results = _judge(source, replace(tuned, name=str(described)), judged, network, progress) if measure else ()
    kept = f", with {100 * keep:g} % of the old weights" if keep else ""
    budget = f"epochs: {chosen.epochs}, images: {len(images.train):,}"
    towards = " towards its own outputs" if "distillation" in chosen.callbacks else ""
    say(f"written: {out}, trained by {name} on {images.name}{towards} ({budget}){kept}")
    if described != out:
        say(f"written: {described}, which names it to every command")
    if results:
        present(results[0], results[1], source.name, None, (), as_json)
        return
    if as_json:
        print_json({"model": str(described), "recipe": name, "epochs": chosen.epochs, "images": len(images.train)})
    where = ("--data", data) if data else ()
    is_whole = not any((network.weights, network.mean, network.pretrained, *network.scaling))
    against = ("--baseline", model) if is_whole else ()
    say(f"measure it: {command_text('evaluate', described, *where, *against)}")


def _load_recipes(recipe: str | None, settings: Sequence[str]) -> "dict[str, Recipe]":
    """The recipe that is named, else those for small and large images, with what is set."""
    from freqfast.runs.recipe import apply_overrides
    from freqfast.runs.registry import load_recipe

    changes = parse_settings(settings)
    if unused := [key for key in changes if key.partition(".")[0] in _UNUSED]:
        raise ValueError(
            f"--set {unused[0]} changes nothing here: the network is MODEL, the images are --data, and nothing is held "
            "out or evaluated; leave it out"
        )
    return {name: apply_overrides(load_recipe(name), changes) for name in ((recipe,) if recipe else _DEFAULTS)}


def _by_labels(recipe: "Recipe") -> "Recipe":
    """A recipe that trains by labels."""
    return replace(recipe, callbacks={key: value for key, value in recipe.callbacks.items() if key != "distillation"})


def _store(network: "Network", out: Path, described: Path) -> None:
    """Write a model file, or a state dict and the file that describes it."""
    from freqfast.models.file import write_model
    from freqfast.models.sources import write_network
    from freqfast.models.state_dicts import save_state

    if network.spec is not None:
        write(out, lambda path: write_model(path, network))
        return
    write(out, lambda path: save_state(path, network.module))
    write(described, lambda path: write_network(path, network))


def _judge(
    source: "Network", tuned: "Network", images: "Images", options: NetworkOptions, progress: "Progress"
) -> "list[CorruptionResult]":
    """The results of the new network and of the old one on images, corrupted on the fly."""
    from freqfast.corruptions import CORRUPTIONS, runnable
    from freqfast.robustness import corrupted_source, evaluate_source

    names, _ = runnable(CORRUPTIONS)
    cells = corrupted_source(images, names, name=images.name, classes=images.classes, progress=progress)
    classifiers = choose_among([options.classifier(each) for each in (tuned, source)], images.classes, images.name)
    return evaluate_source(classifiers, cells, (1, 1), progress, command=typed_command())


def _read_unlabelled(source: "Network", folder: str, options: NetworkOptions) -> "ImageData":
    """The images of a folder, scaled for the network and labelled by it; the last tenth is held out to be judged."""
    from freqfast.data import ImageData, find_images
    from freqfast.training import own_labels

    for note in scaling_notes(source):
        say(note)
    images = find_images(of_user(folder), source.preprocessing)
    if len(images) < 2:
        raise ValueError(f"{folder} has one image; training needs one, and one is held out")
    images = own_labels(source, images, options.device)
    count = min(max(len(images) // 10, 1), _MEASURED)
    return ImageData(images.name, images.classes or (), images[:-count], images[-count:])


def _read(source: "Network", data: str | None, options: NetworkOptions, progress: "Progress") -> "ImageData":
    """The training and test images: of a folder, scaled for the network, or a data set's; tells which scale."""
    from freqfast.data import load_tree
    from freqfast.runs.directory import find_run
    from freqfast.runs.run import load_run_data

    test = TestSet(data, scaling=options.scaling)
    if not (test.in_files(source) or options.class_list):
        images = load_run_data(find_run(source.name), data, progress)
        for note in test.unscaled_notes(source):
            say(note)
    elif data is None or not is_folder(data) or not (source.preprocessing.resize and source.preprocessing.crop):
        raise ValueError("images in files need their folder, --data, and a size, --resize and --crop")
    else:
        for note in scaling_notes(source):
            say(note)
        images = load_tree(of_user(data), source.preprocessing, None if source.spec else source.classes)
    if source.classes is None:
        check_order(images.classes, data or images.name)
    return images
