"""A command for each analysis, `freqfast heatmap` and so on, and for those that other packages register."""

import inspect
import warnings
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

import typer
from freqfast.cli.command import HELP_NAMES, Command, WithoutTypes, option
from freqfast.cli.errors import print_error
from freqfast.cli.files import FORMATS, check_data, check_exists, check_output, save_figure, write
from freqfast.cli.images import TestSet, choose_among
from freqfast.cli.interrupts import interruptible
from freqfast.cli.options import (
    AsJson,
    Force,
    Labels,
    Model,
    NetworkOptions,
    TestData,
    check_model,
    refuse,
    takes_network,
)
from freqfast.cli.output import CleanTable, console, progress_bar, say, typed_command
from typer.core import TyperGroup

from freqfast.analysis.registry import list_analyses
from freqfast.files import write_bytes, write_text
from freqfast.models import SOURCES

if TYPE_CHECKING:
    from freqfast.analysis.definition import Analysis, AnalysisResult, ImageResult, Summary
    from freqfast.models.classifier import Classifier
    from freqfast.models.network import Network
    from freqfast.runs.directory import RunDirectory

Limit = Annotated[int, option("N", "Test images to use, from the first on.", min=1)]
Out = Annotated[
    list[Path] | None,
    option(
        "FILE",
        "Draw the figure (.png, .svg, .pdf), or keep the result (.json; features: .h5); may be repeated.",
        "-o",
        "--out",
    ),
]
_FOR_IMAGES = ("data", "limit", "labels")


class Commands(WithoutTypes, TyperGroup):
    """The commands of freqfast. Those of other packages' analyses are looked for when they are listed or called."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all commands, ours first."""
        try:
            names = list_analyses()
        except ValueError as error:
            warnings.warn(str(error), stacklevel=2)
            names = {}
        return list(dict.fromkeys([*self.commands, *names]))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command by its name; None if there is none."""
        if cmd_name in self.commands:
            return self.commands[cmd_name]
        line = list_analyses().get(cmd_name)
        return None if line is None else AnalysisCommand(cmd_name, help=line)


class AnalysisCommand(Command):
    """The command of an analysis, whose module is imported when its words are parsed, not when commands are listed."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Parse the words as the analysis's own command does."""
        if args and not args[0].startswith("-") and ":" not in args[0]:  # else checked when all is parsed
            check_exists(args[0], SOURCES)
        with interruptible(), progress_bar():  # torch is imported
            command = _command(str(self.name), str(self.help))
        return command.make_context(info_name, args, parent, **extra)


def _command(name: str, line: str) -> Any:
    """The command of an analysis: the options of its function between those that all have."""
    from freqfast.analysis import find_analysis

    analysis = find_analysis(name)
    shared = dict(inspect.signature(_analyse).parameters)
    for key in ("analysis", "own", *(() if analysis.needs_images else _FOR_IMAGES)):
        del shared[key]
    first = [shared.pop(key) for key in ("context", "model", "network", "data", "limit") if key in shared]
    own = [_as_option(parameter) for parameter in analysis.options.values()]

    def command(**values: Any) -> None:
        _analyse(analysis, own={key: values.pop(key) for key in analysis.options}, **values)

    command.__signature__ = inspect.Signature([*first, *own, *shared.values()])  # type: ignore[attr-defined]
    kept = f"If MODEL is a run, the result is kept in it as analysis/{name}.json, and `freqfast report` shows it."
    examples = f"Examples:\n  freqfast {name} runs/first\n  freqfast {name} runs/first -o {name}.png"
    app = typer.Typer(add_completion=False, rich_markup_mode="rich")
    command.__doc__ = f"{line}\n\n{analysis.description} {kept}\n\n{examples}"
    app.command(name, cls=Command, context_settings=HELP_NAMES)(takes_network(command))
    return typer.main.get_command(app)


def _as_option(parameter: inspect.Parameter) -> inspect.Parameter:
    """A parameter of an analysis as an option; of several types it has that of its default value."""
    from pydantic.fields import FieldInfo

    kind, *metadata = get_args(parameter.annotation)
    if get_origin(kind) in (Union, UnionType) and parameter.default is not None:
        kind = type(parameter.default)
    field = next(item for item in metadata if isinstance(item, FieldInfo))
    limits = {key: getattr(item, key) for item in field.metadata for key in ("ge", "le") if hasattr(item, key)}
    value = {int: "N", float: "X"}.get(kind, "NAME")
    told = option(value, field.description or "", min=limits.get("ge"), max=limits.get("le"))
    return parameter.replace(annotation=Annotated[kind, told], kind=inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _analyse(
    analysis: "Analysis",
    context: typer.Context,
    model: Model,
    own: dict[str, Any],
    network: NetworkOptions,
    data: TestData = None,
    limit: Limit = 1000,
    labels: Labels = None,
    out: Out = None,
    as_json: AsJson = False,
    force: Force = False,
) -> None:
    """Run an analysis on a model, keep what it finds if the model is a run's, draw it, and print it in any case."""
    from freqfast.models.classifier import hash_weights
    from freqfast.runs.directory import find_run
    from freqfast.spectral.surgery import find_conv

    analysis.check_options(own)
    formats = ("json", *FORMATS, *(("h5",) if hasattr(analysis.result, "to_hdf5") else ()))
    for path in out or ():
        check_output(path, formats, [model, data, labels, network.weights, network.class_list], force)
    check_model(model)
    check_data(data)
    source = network.load(model, analysis.needs_images)
    if (run := find_run(model)) is not None:
        refuse(context, f"what is kept in {run.path} must be of its own normalisation", {"mean", "std"})
    if "layer" in own:
        find_conv(source.module, own["layer"])
    lead: list[str] = []
    notes: list[str] = []
    if analysis.needs_images:  # all but the data has been checked before the data is sought
        classifier = network.classifier(source, analysis.precision)
        test = TestSet(data or source.data, limit, labels, scaling=network.scaling)
        found, notes = _measure(analysis, source, classifier, run, test, own)
        counted = f"{found.images:,} image{'' if found.images == 1 else 's'}"
        lead = [f"{source.name} on {found.data}, {counted}, {classifier.precision}"]
    else:
        found = analysis.run(model=source.module, **own)
    for note in notes:
        print_error(note)
    found = replace(found, weights_sha256=hash_weights(source.module), command=typed_command())
    kept = None if run is None else _keep(run, found)
    label = (run.path if run else Path(model)).resolve().name
    try:
        for path in out or ():
            if path.suffix == ".json":
                write(path, lambda path: write_text(path, found.to_json()))
            elif path.suffix == ".h5":
                write(path, lambda path: write_bytes(path, found.to_hdf5()))  # type: ignore[attr-defined]
            else:
                save_figure(path, analysis.figure({label: found}, None))
    finally:
        if as_json:
            print(found.to_json(), end="")
        else:
            _print([*lead, *analysis.summarise(found)])
    if not as_json:
        for path in filter(None, (kept, *(out or ()))):
            say(f"written: {path}")


def _measure(
    analysis: "Analysis",
    source: "Network",
    classifier: "Classifier",
    run: "RunDirectory | None",
    test: TestSet,
    own: dict[str, Any],
) -> tuple["ImageResult", list[str]]:
    """What an analysis finds on the data that is named, else that of the model's run, else CIFAR-10; and notes."""
    import numpy as np

    from freqfast.data.images import data_hash
    from freqfast.robustness.evaluation import check_fit
    from freqfast.runs.run import load_run_data

    with interruptible(), progress_bar() as progress:
        if test.in_files(source):
            sample, notes = test.load(source, run, progress)
            sha256 = sample.fingerprint()
        else:
            loaded, notes = load_run_data(run, test.data, progress), test.unscaled_notes(source)
            sha256 = data_hash(loaded)
            held_out = run.read_recipe().holdout if run and _data_of(run) in (None, sha256) else 0
            sample = loaded.hold_out(held_out).test[: test.limit]
        [classifier] = choose_among([classifier], sample.classes, test.data or sample.name)
        images = np.asarray(sample.pixels)
        check_fit(classifier, images[:2], sample.labels, test.data or sample.name, sample.classes)
        found: ImageResult = analysis.run(
            classifier=classifier, images=images, labels=sample.labels, progress=progress, **own
        )
    return replace(found, data=sample.name, data_sha256=sha256), notes


def _print(parts: "Summary") -> None:
    """Print lines, and tables with their numbers to the right."""
    for part in parts:
        if isinstance(part, str):
            say(part)
            continue
        table = CleanTable(part.title)
        for name, *cells in zip(part.header, *part.rows, strict=True):
            numbers = all(cell.replace(".", "", 1).isdigit() for cell in cells)
            table.add_column(name, justify="right" if numbers else "left")
        for row in part.rows:
            table.add_row(*row)
        console.print(table)


def _data_of(run: "RunDirectory") -> str | None:
    """Hash of the data that a run was made on; None where the record of it is gone or corrupt."""
    with suppress(OSError, ValueError):
        return run.read_environment().data.sha256
    return None


def _keep(run: "RunDirectory", found: "AnalysisResult") -> Path | None:
    """Write what was found into a run, unless on other data than the run's; where it is not kept a line says why."""
    from freqfast.analysis import ImageResult

    own = _data_of(run)
    if isinstance(found, ImageResult) and own is not None and found.data_sha256 != own:
        hashes = f"SHA-256 {str(found.data_sha256)[:12]}..., the run's {str(own)[:12]}..."
        print_error(f"not kept in the run: {found.data} is other data than that of {run.path} ({hashes})")
        return None
    path = run.analysis(found.analysis)
    try:
        path.parent.mkdir(exist_ok=True)
        write_text(path, found.to_json())
    except OSError as error:  # what was found is worth more than the file
        print_error(f"not kept in the run: {error}")
        return None
    return path
