"""`freqfast finetune`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from freqfast.cli.command import complete_recipe, complete_run, option
from freqfast.cli.files import check_data, check_output, write
from freqfast.cli.image_files import ClassList, Crop, FileOptions, Interpolation, Resize, check_order
from freqfast.cli.interrupts import interruptible
from freqfast.cli.options import KINDS, Mean, ModelOptions, Pretrained, Std, Weights, check_model
from freqfast.cli.output import progress_bar, say
from freqfast.cli.run import parse_settings

_DEFAULTS = ("robust", "robust_photographs")  # the second for images as large as ImageNet-C's
_UNUSED = {"data", "model", "model_options", "image_size", "holdout", "test_images"}  # of a recipe


def finetune(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help=KINDS, autocompletion=complete_run)],
    out: Annotated[
        Path,
        option(
            "FILE.safetensors",
            "The file to write: a model file if MODEL is freqfast's own, else a state dict, to name by --weights.",
            "-o",
            "--out",
        ),
    ],
    recipe: Annotated[
        str | None,
        option(
            "RECIPE",
            "Recipe whose schedule and callbacks are used: a name, or package.module:recipe. By default robust, or "
            "robust_photographs for images of at least 112 pixels a side.",
            autocompletion=complete_recipe,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="As for `evaluate`; by default the run's, then FREQFAST_DATA, then the cache. With --pretrained, or "
            "--resize and --crop, a folder of train/ and val/ may hold images of any number and size.",
        ),
    ] = None,
    keep: Annotated[
        float,
        typer.Option(min=0, metavar="X", help="Share of the old weights in the average that is written, below 1."),
    ] = 0.3,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a value of the recipe (TOML), as in epochs=2."),
    ] = None,
    weights: Weights = None,
    pretrained: Pretrained = False,
    mean: Mean = None,
    std: Std = None,
    device: Annotated[str | None, option("NAME", "Where to train, such as cpu or cuda:0.")] = None,
    resize: Resize = None,
    crop: Crop = None,
    interpolation: Interpolation = None,
    class_list: ClassList = None,
) -> None:
    """Fine-tune an existing network, by default to make it robust at little cost in clean accuracy.

    The new weights are averaged with the old ones. Measure the result with `freqfast evaluate`.

    Examples:
        freqfast finetune runs/first -o robust.safetensors
        freqfast finetune timm:resnet18 --weights net.pth -o robust.safetensors
        freqfast finetune timm:resnet18 --pretrained --data images -o new.safetensors
    """
    from freqfast.corruptions import find_table
    from freqfast.models import MODEL_FILE
    from freqfast.runs.directory import RunDirectory, find_run
    from freqfast.runs.recipe import apply_overrides
    from freqfast.runs.registry import load_recipe

    changes = parse_settings(settings or [])
    if unused := [key for key in changes if key.partition(".")[0] in _UNUSED]:
        raise ValueError(
            f"--set {unused[0]} changes nothing here: the network is MODEL, the images are --data, and nothing is held "
            "out or evaluated; leave it out"
        )
    recipes = {name: apply_overrides(load_recipe(name), changes) for name in ((recipe,) if recipe else _DEFAULTS)}
    if keep >= 1:
        raise ValueError(f"--keep {keep:g} leaves nothing of the training; give less than 1")
    check_output(out, ("safetensors",))
    if out.resolve().name == MODEL_FILE and RunDirectory(out.resolve().parent).is_started:
        raise FileExistsError(f"{out} is the model of a run, whose report is of it; choose another path")
    check_model(model)
    check_data(data)

    with interruptible("interrupted; nothing is written"), progress_bar() as progress:
        from freqfast.training import build_callbacks, fine_tune  # imports fastai: only once the paths exist

        for each in recipes.values():
            build_callbacks(each)

        from freqfast.models.file import write_model
        from freqfast.models.state_dicts import require_savable, save_state
        from freqfast.runs.run import load_run_data

        source = ModelOptions(weights, pretrained, mean, std).load(model)
        require_savable(source.module.state_dict())
        files, notes = FileOptions(resize, crop, interpolation).for_network(source, data)
        for note in notes:
            say(note)

        in_files = files or class_list is not None
        stated = None if source.spec else source.classes
        if in_files:
            images = files.read_both(data, class_list, stated)
        else:
            images = load_run_data(find_run(model), data, progress)
        if source.classes is None and class_list is None:
            check_order(images.classes, data or images.name)
        are_large = find_table("auto", *images.train.pixels.shape[1:3]) == "imagenet"
        name = recipe or _DEFAULTS[are_large]
        chosen = recipes[name]
        tuned = fine_tune(source, chosen, images, keep, device, progress, say)
    if tuned.spec is not None:
        if files.crop is not None:
            tuned = replace(tuned, preprocessing=replace(tuned.preprocessing, resize=files.resize, crop=files.crop))
        write(out, lambda path: write_model(path, tuned))
    else:
        write(out, lambda path: save_state(path, tuned.module))
    kept = f", with {100 * keep:g} % of the old weights" if keep else ""
    budget = f"epochs: {chosen.epochs}, images: {len(images.train):,}"
    say(f"written: {out}, trained by {name} on {images.name} ({budget}){kept}")
