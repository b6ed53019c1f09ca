"""`freqfast evaluate`."""

import json
from pathlib import Path
from typing import Annotated

import typer
from freqfast.cli.output import console, corruption_table, percent, progress_bar

__all__ = ["evaluate"]


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN_OR_CHECKPOINT", help="A run directory or a model.safetensors.")],
    cifar10c: Annotated[
        Path, typer.Option("--cifar10c", help="Folder in the CIFAR-10-C layout: labels.npy and <corruption>.npy.")
    ],
    limit: Annotated[int | None, typer.Option(help="Images of each severity to use, from its start.")] = None,
    device: Annotated[str, typer.Option(help="Where to run, such as cpu or cuda:0.")] = "cpu",
    precision: Annotated[str, typer.Option(help="auto, bfloat16 or float32.")] = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as JSON; accuracies are fractions.")
    ] = False,
) -> None:
    """Accuracy of a model on corrupted images: mean15, mean19, by corruption and severity."""
    from freqfast.robustness import Classifier, evaluate_cells, stored_cells
    from freqfast.run import load_checkpoint

    cells = list(stored_cells(cifar10c, limit)[1])  # views of memory-mapped files, read when their turn comes
    checkpoint = load_checkpoint(run)
    classifier = Classifier(checkpoint.model, checkpoint.mean, checkpoint.std, device, precision)
    with progress_bar() as progress:
        report = evaluate_cells(classifier, cells, len(cells), progress=progress)
    if as_json:
        print(json.dumps(report.to_dict(), indent=2))
        return
    console.print(corruption_table(report.accuracy))
    for label, value in (("mean15", report.mean15), ("mean19", report.mean19), ("all measured", report.mean())):
        console.print(f"{label}: {percent(value)}{'' if value is None else ' %'}")
    if report.missing:
        console.print(f"not in {cifar10c}: {', '.join(report.missing)}", soft_wrap=True)
