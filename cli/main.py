"""The Typer application and the one place where exceptions become exit codes."""

import sys
from typing import Annotated

import typer
from freqfast.cli.analyses import ablation, heatmap, quality, reliance
from freqfast.cli.corrupt import corrupt
from freqfast.cli.evaluate import evaluate
from freqfast.cli.recipes import recipes
from freqfast.cli.report import report
from freqfast.cli.rerun import rerun
from freqfast.cli.run import run
from freqfast.cli.show import show
from freqfast.cli.spectra import spectra
from freqfast.cli.study import study

from freqfast._version import __version__

__all__ = ["app", "main"]

app = typer.Typer(
    name="freqfast",
    help="The frequency content of a CNN's first layer: run recipes, evaluate robustness, export filter spectra.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for command in (
    recipes,
    run,
    rerun,
    evaluate,
    corrupt,
    spectra,
    show,
    study,
    heatmap,
    reliance,
    ablation,
    quality,
    report,
):
    app.command()(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"freqfast {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; bad input is one line on stderr and exit code 2."""
    try:
        app()
    except (ValueError, OSError, ImportError) as error:
        print(f"freqfast: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
