"""What all commands have in common: help that fits any terminal, examples in it, and completion by the shell."""

import glob
import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import typer
from freqfast.cli.errors import one_line
from typer.core import TyperCommand

HELP_NAMES = {"help_option_names": ["-h", "--help"]}


class WithoutTypes:
    """Leaves Python's types out of a command's help: options have metavars, and flags and arguments need none."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, --help included."""
        parameters: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for parameter in parameters:
            if parameter.param_type_name == "argument":
                parameter.display_type_rich = lambda ctx: None  # of newer versions of Typer
            elif parameter.is_flag:
                parameter.metavar = ""
        return parameters


class Command(WithoutTypes, TyperCommand):
    """A command whose help is its docstring; the lines below "Examples:" come last, as they are."""

    def __init__(self, *words: Any, **options: Any) -> None:
        super().__init__(*words, **options)
        text, _, examples = inspect.cleandoc(self.help or "").partition("Examples:\n")
        common = {"--json": "prints JSON", "--force": "replaces files that are there"}
        named = [f"{each.opts[0]} {common[each.opts[0]]}" for each in self.params if each.opts[0] in common]
        text = f"{text.strip()}\n\nAlso: {', '.join(named)}." if named else text
        self.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))
        if examples:
            self.epilog = "Examples:\n\n" + "\n".join(f"  {line.strip()}" for line in examples.splitlines())

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words; an option of one value that is given twice is refused, where the last would count."""
        order: list[Any] = self.make_parser(ctx).parse_args(list(args))[2]
        once = [each for each in order if each.param_type_name == "option" and not (each.multiple or each.is_flag)]
        if twice := next((each for each in once if once.count(each) > 1), None):
            raise ValueError(f"{twice.opts[0]} was given twice, and takes one value; leave one out")
        return super().parse_args(ctx, args)


def option(metavar: str, text: str, *names: str, **options: Any) -> Any:
    """An option that takes a value, which its help calls so."""
    return typer.Option(*names, metavar=metavar, help=text, **options)


def complete_recipe(incomplete: str) -> list[str]:
    """Recipes whose names begin so."""
    from freqfast.runs.registry import list_recipes

    return _beginning(incomplete, list_recipes())


def complete_corruption(incomplete: str) -> list[str]:
    """Benchmarks and corruptions whose names begin so, the last of those that commas separate."""
    from freqfast.corruptions.registry import known_names

    before, comma, last = incomplete.rpartition(",")
    names = known_names() if comma else ("c", "c-bar", *known_names())
    return [before + comma + name for name in _beginning(last, names)]


def complete_run(incomplete: str) -> list[str]:
    """Run directories whose paths begin so, or that lie one folder deeper, as in runs/."""
    start = glob.escape(incomplete)
    recipes = [path for end in ("*", "*/*") for path in glob.glob(f"{start}{end}/recipe.toml")]
    return _beginning(incomplete, (str(Path(path).parent) for path in sorted(recipes)))


def _beginning(start: str, names: Iterable[str]) -> list[str]:
    """Those of the names that begin so and say nothing to the terminal."""
    return [name for name in names if name.startswith(start) and one_line(name) == name]
