"""The Typer application and the one place where exceptions become exit codes."""

import os
import re
import sys
from typing import Annotated, Any

import typer
from freqfast.cli.analyses import AnalysisCommand, Commands
from freqfast.cli.command import HELP_NAMES, Command
from freqfast.cli.corrupt import corrupt
from freqfast.cli.errors import environment_fails, one_line_warnings, print_error
from freqfast.cli.evaluate import evaluate
from freqfast.cli.finetune import finetune
from freqfast.cli.interrupts import lasting_streams
from freqfast.cli.models import models
from freqfast.cli.ranks import first_rank_prints, refuse_ranks
from freqfast.cli.recipes import recipes
from freqfast.cli.report import report
from freqfast.cli.rerun import rerun
from freqfast.cli.run import run
from freqfast.cli.show import show
from freqfast.cli.spectra import spectra
from freqfast.cli.study import study

from freqfast import __version__
from freqfast.analysis.registry import OURS
from freqfast.compute.memory import keep_freed_memory
from freqfast.progress import RunStoppedError

_COMPLETION = {"_FREQFAST_COMPLETE", "--show-completion", "--install-completion"}

app = typer.Typer(
    name="freqfast",
    cls=Commands,
    help="Train and evaluate CNNs, and measure the spatial frequencies that their first layer passes on.\n\n"
    "To see it work: freqfast run quickstart",
    no_args_is_help=True,
    context_settings=HELP_NAMES,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for command in (recipes, models, run, rerun, finetune, evaluate, corrupt, spectra, show, study):
    app.command(cls=Command)(command)
for name, (_, line) in OURS.items():
    app.command(name, cls=AnalysisCommand, help=line)(lambda: None)  # the analysis has the function
app.command(cls=Command)(report)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"freqfast {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    refuse_ranks(context.invoked_subcommand)


def main() -> None:
    """Run the command line. Bad input, wrong usage too, is one line on stderr and exit code 2; no memory or disk, 1."""
    keep_freed_memory()
    with first_rank_prints(), lasting_streams() as lost:
        code = _run()
        sys.stdout.flush()
        if lost:
            print_error(f"what was printed is not whole ({lost[0].strerror}); free some space")
            code = code or 1
    sys.exit(code)


def _run() -> Any:
    try:
        _check_words()
        with one_line_warnings():
            return app(prog_name="freqfast", standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        return 130
    except SystemExit as error:
        if _COMPLETION & {*os.environ, *sys.argv}:  # Typer ends so too
            raise
        print_error(f"code of another package ended the program with {error.code!r}")
        return 1
    except Exception as error:
        if hasattr(error, "format_message"):  # of Click, which Typer has brought along in several places
            _print_usage_error(error)
            return error.exit_code  # type: ignore[attr-defined]
        if environment_fails(error):
            print_error(str(error) or "out of memory; end other programs or use a smaller model or fewer images")
            return 1
        if isinstance(error, (ValueError, OSError, ImportError, RunStoppedError)):
            print_error(error)
            return 2
        raise


def _check_words() -> None:
    """Refuse, before any work, empty words, numbers in words of their own, and names that are not UTF-8."""
    for before, word in zip(sys.argv, sys.argv[1:], strict=False):
        if not word or re.fullmatch("--[a-z0-9-]+=", word):
            raise ValueError(f"the value after {word[:-1] or before} is empty; was a variable of the shell not set?")
        if all(re.fullmatch(r"\d*\.\d+", each) and not os.path.exists(each) for each in (before, word)):
            raise ValueError(f"{before} {word}: write several numbers as one word, as in --mean 0.49,0.48,0.45")
    places = {name: os.environ.get(name, "") for name in ("FREQFAST_DATA", "FREQFAST_CACHE")}
    try:
        places |= {"the working directory": os.getcwd()}
    except FileNotFoundError:
        raise FileNotFoundError("the working directory was removed; change to another") from None
    for name, text in [*(("", word) for word in sys.argv[1:]), *places.items()]:
        try:
            text.encode()
        except UnicodeEncodeError:
            try:
                told = os.fsencode(text).decode()
            except UnicodeDecodeError:
                raise ValueError(f"{name} {text!r} is not UTF-8; rename it, or use another place".lstrip()) from None
            raise ValueError(f"{name} {told!a}: the locale is not UTF-8; set LC_ALL=C.UTF-8".lstrip()) from None


def _print_usage_error(error: Any) -> None:
    text = error.format_message().strip()
    if type(error).__name__ == "NoArgsIsHelpError":  # Rich has printed the help by then, plain Click makes it the text
        print(text, file=sys.stderr, end="\n" if text else "")
        return
    context = getattr(error, "ctx", None)
    reasons: list[Any] = getattr(error.__cause__, "errors", list)()  # of Pydantic
    got = f", got {reasons[0]['input']!r}" if reasons else ""
    hint = f"; see `{context.command_path} --help`" if context is not None else ""
    print_error(text.rstrip(".") + got + hint)
