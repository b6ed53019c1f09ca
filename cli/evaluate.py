"""`freqfast evaluate`."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from freqfast.cli.command import complete_run, option
from freqfast.cli.errors import print_error
from freqfast.cli.evaluation_report import present
from freqfast.cli.files import FORMATS, check_data, check_exists, check_output, write
from freqfast.cli.images import PUBLISHED, Choice, TestSet, choose_among, corrupted_on_the_fly, stored
from freqfast.cli.interrupts import interruptible
from freqfast.cli.options import (
    KINDS,
    SELDOM,
    AsJson,
    Corruptions,
    CorruptionSeed,
    Force,
    FrostDir,
    Labels,
    Limit,
    NetworkOptions,
    Parameters,
    SkipBad,
    TestData,
    check_model,
    refuse,
    takes_network,
)
from freqfast.cli.output import progress_bar, say, typed_command

if TYPE_CHECKING:
    from freqfast.robustness import CellSource, CorruptionResult

_FORMATS = ("json", "csv", *FORMATS)
_FOR_RESULTS = {"models", "baseline", "out", "as_json", "force"}


Words = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL",
        autocompletion=complete_run,
        help=f"{KINDS} Or results (-o FILE.json) to report on: one, or those of all shards.",
    ),
]
Corrupted = Annotated[
    str | None,
    option(
        f"PATH|{PUBLISHED}",
        "Images that are stored corrupted: a folder of labels.npy and <corruption>.npy, a tree of image files as "
        f"ImageNet-C's, the published CIFAR-10-C.tar, or {PUBLISHED} (2.7 GiB, downloaded once). By default the test "
        "images are corrupted on the fly.",
    ),
]
Baseline = Annotated[
    str | None,
    option(
        "MODEL|FILE.json",
        "Compare with another network on the same images (a foreign one in a .toml file), or with its result.",
    ),
]
Out = Annotated[
    list[Path] | None,
    option(
        "FILE",
        "Write the outcome of every image (.json), a row for each cell (.csv), or a figure of accuracy by severity "
        "(.png, .svg, .pdf); may be repeated.",
        "-o",
        "--out",
    ),
]
Shard = Annotated[str | None, option("I/N", "Evaluate the I-th of N parts into -o, for a job array.", **SELDOM)]


@partial(takes_network, listed=True)
def evaluate(
    context: typer.Context,
    models: Words,
    network: NetworkOptions,
    corrupted: Corrupted = None,
    data: TestData = None,
    corruptions: Corruptions = None,
    parameters: Parameters = "auto",
    limit: Limit = None,
    seed: CorruptionSeed = 0,
    frost_dir: FrostDir = None,
    labels: Labels = None,
    skip_bad: SkipBad = False,
    baseline: Baseline = None,
    out: Out = None,
    shard: Shard = None,
    as_json: AsJson = False,
    force: Force = False,
) -> None:
    """Accuracy of a network on corrupted images: mean15, mean7, by corruption and severity, with 95 % intervals.

    A job array splits an evaluation by --shard; its result files in place of MODEL are put together, exactly.

    Examples:
        freqfast evaluate net.py:Net --weights net.pth --mean 0,0,0 --std 1,1,1
        freqfast evaluate net.toml --baseline zoo:baseline-w32 -o result.json
        freqfast evaluate runs/first --corrupted cifar10c --corruptions c-bar
    """
    reads = [*models, baseline, network.weights, network.class_list, data, corrupted, labels]
    if is_result(models[0]):
        refuse(context, f"{models[0]} is a result, which is reported on", context.params.keys() - _FOR_RESULTS)
        _report(models, baseline, out or (), reads, as_json, force)
        return
    _check_words(context, models, corrupted, baseline, shard, out)
    check_data(data)
    part = _parse_shard(shard)
    for path in out or ():
        check_output(path, _FORMATS, reads, force, models[0])
        if path.name == "evaluation.json" and (path.parent / "recipe.toml").exists():
            refuse(context, f"{path} is the record of a run, of its own normalisation", {"mean", "std"})
    choice = Choice.parse(corruptions, frost_dir, makes=corrupted is None)
    test = TestSet(data, limit, labels, skip_bad, network.scaling)
    with interruptible("interrupted; no results are kept"), progress_bar() as progress:
        from freqfast.models.parts import find_parts
        from freqfast.robustness import CorruptionResult, evaluate_source
        from freqfast.runs.directory import find_run

        rival = CorruptionResult.load(baseline) if baseline is not None and is_result(baseline) else None
        networks = [network.load(models[0])]
        if baseline is not None and rival is None:
            networks.append(NetworkOptions().load(baseline, is_baseline=True))
        classifiers = [network.classifier(each) for each in networks]
        test = replace(test, data=data or networks[0].data)
        if corrupted is None:
            run = find_run(models[0])
            images, notes = corrupted_on_the_fly(test, networks, run, choice, seed, frost_dir, parameters, progress)
        else:
            images, notes = stored(corrupted, test, networks[0], choice, progress)
        classifiers = choose_among(classifiers, images.classes, str(test.data or images.name))
        if rival is not None:
            _check_same(images, rival, str(baseline))
        result, *others = evaluate_source(classifiers, images, part, progress, command=typed_command())
    if shard is not None and out:
        write(out[0], result.save)
        say(f"{out[0]}: shard {shard}, {len(result.outcomes)} cells; put all together with `freqfast evaluate FILE...`")
    else:
        rival, called = (others[0], networks[1].name) if others else (rival, baseline or "")
        present(result, rival, called, choice, out or (), as_json)
    parts = {each.name: find_parts(each.module) for each in networks if each.spec is None}
    for note in notes + [f"{name} has {found}" for name, found in parts.items() if found]:
        print_error(note)


def _report(
    results: Sequence[str],
    baseline: str | None,
    out: Sequence[Path],
    reads: Sequence[object],
    as_json: bool,
    force: bool,
) -> None:
    """Report on result files, those of all shards together."""
    if baseline is not None and not is_result(baseline):
        raise ValueError(f"{results[0]} is a result, so --baseline {baseline} must be one too (-o FILE.json)")
    for path in results:
        check_exists(path, "a result file (-o FILE.json)")
    for file in out:
        check_output(file, _FORMATS, reads, force)

    from freqfast.robustness import CorruptionResult

    result = CorruptionResult.merge([(path, CorruptionResult.load(path)) for path in results])
    present(result, None if baseline is None else CorruptionResult.load(baseline), baseline or "", None, out, as_json)


def is_result(text: str) -> bool:
    """Whether a word names a result file."""
    return Path(text).suffix == ".json"


def _check_words(
    context: typer.Context,
    models: Sequence[str],
    corrupted: str | None,
    baseline: str | None,
    shard: str | None,
    out: Sequence[Path] | None,
) -> None:
    """Raise unless there is one model, with options that go together."""
    if len(models) > 1:
        raise ValueError(f"one model at a time, got {', '.join(models)}; compare two with --baseline {models[1]}")
    for model in (models[0], baseline):
        if model is not None and not is_result(model):
            check_model(model)
    if corrupted is not None:
        refuse(context, "stored images have been corrupted already", {"seed", "frost_dir", "parameters"})
        if corrupted != PUBLISHED:
            check_exists(corrupted, f"a folder of corrupted images, the published archive or {PUBLISHED}")
    if shard is not None:
        refuse(context, "a shard leaves its part in -o; report on all parts together", {"baseline", "as_json"})
        if len(out or ()) != 1 or not is_result(str(out[0])):  # type: ignore[index]
            raise ValueError("--shard needs -o FILE.json, the one file to leave its part in")


def _check_same(images: "CellSource", rival: "CorruptionResult", baseline: str) -> None:
    """Refuse, before anything is measured, a baseline's result on other images."""
    from freqfast.robustness.evaluation import labels_hash

    common = [key for key in images.keys if key in rival.outcomes and key[1]]
    if not common:
        raise ValueError(f"{baseline} was measured on none of these corruptions, so there is nothing to compare")
    ours, theirs = len(images.labels), rival.outcomes[common[0]].images
    of = rival.provenance
    seeds = [seed for seed in (images.seed, of.seed if of else None) if seed is not None]
    if ours != theirs or len(set(seeds)) > 1 or (of and of.labels_sha256 != labels_hash(images.labels)):
        raise ValueError(
            f"{baseline} was measured on other images ({theirs} a cell, seed {of and of.seed}) than are evaluated here "
            f"({ours}, seed {images.seed}); evaluate both on the same source, seed and limit"
        )


def _parse_shard(text: str | None) -> tuple[int, int]:
    """``i/n`` as numbers; whether they make sense is known once the cells are."""
    number, slash, count = (text or "1/1").partition("/")
    if not slash or not number.isdecimal() or not count.isdecimal():
        raise ValueError(f"--shard {text}: write I/N, such as 1/4")
    return int(number), int(count)
