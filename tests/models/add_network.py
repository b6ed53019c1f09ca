"""Add trained networks to the zoo: ``python -m tests.models.add_network --commit COMMIT NAME=RUN [NAME=RUN ...]``.

Of each run this writes the model in half precision into ``freqfast/models/zoo/``, judges that file on all test images
of the run's data, clean and under the main corruptions of CIFAR-10-C and C-bar, and writes its card. Whatever is
committed of both is in the next release. Networks that are added together meet the same images, which are made once.
"""

import argparse
import shlex
import sys
from pathlib import Path

from freqfast.cli.output import progress_bar

from freqfast.corruptions import C_BAR, MAIN, MEANS
from freqfast.files import file_sha256
from freqfast.models import zoo
from freqfast.models.classifier import Classifier
from freqfast.models.file import read_model, write_model
from freqfast.models.zoo import Accuracy, Card
from freqfast.records import write_record
from freqfast.robustness import CLEAN, CorruptionResult, corrupted_source, evaluate_source
from freqfast.runs.directory import RunDirectory
from freqfast.runs.run import load_run_data

FOLDER = Path(zoo.__file__).parent


def accuracies(result: CorruptionResult) -> dict[str, Accuracy]:
    """What a card tells of an evaluation."""
    clean = result.outcomes[CLEAN]
    found = {"clean": Accuracy(clean.accuracy, *clean.interval)}
    for name in ("mean15", "mean7", "mean_bar"):
        found[name] = Accuracy(result.mean(MEANS[name]), *result.interval(MEANS[name]))
    return found


def add(runs: dict[str, RunDirectory], commit: str) -> None:
    """Write the files and cards of these networks."""
    data = load_run_data(next(iter(runs.values())))
    source = corrupted_source(data.test, (*MAIN, *C_BAR), name=data.name, classes=data.classes)
    classifiers = []
    for name, run in runs.items():
        path = FOLDER / f"{name}.safetensors"
        write_model(path, read_model(run.model), half=True)
        classifiers.append(Classifier(read_model(path)))
    with progress_bar() as progress:
        results = evaluate_source(classifiers, source, progress=progress, command=shlex.join(sys.argv))
    for (name, run), result in zip(runs.items(), results, strict=True):
        recipe = run.read_recipe()
        card = Card(
            description=recipe.description,
            recipe=recipe.name,
            width=read_model(run.model).module.conv1.out_channels,
            epochs=recipe.epochs,
            seed=recipe.seed,
            commit=commit,
            training=f"CIFAR-10, its {len(data.train) - recipe.holdout:,} training images",
            test=f"CIFAR-10, its {len(data.test):,} test images; corruptions by freqfast, seed 0",
            precision=result.provenance.precision,
            accuracy=accuracies(result),
            sha256=file_sha256(FOLDER / f"{name}.safetensors"),
        )
        write_record(FOLDER / f"{name}.toml", card)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", metavar="NAME=RUN", nargs="+")
    parser.add_argument("--commit", required=True, help="the commit that trained them, in full")
    options = parser.parse_args()
    named = (text.split("=", 1) for text in options.runs)
    add({name: RunDirectory(path) for name, path in named}, options.commit)
