"""`freqfast recipes`."""

from freqfast.cli.errors import one_line
from freqfast.cli.output import console, say
from rich.padding import Padding
from rich.text import Text


def recipes() -> None:
    """List the recipes that `freqfast run` knows, including those of other packages.

    An entry point that cannot be imported is named on stderr.

    Examples:
        freqfast recipes
    """
    from freqfast.runs.registry import list_recipes

    for name, recipe in list_recipes().items():
        say(Text.assemble((one_line(name), "bold"), f"  {one_line(recipe.data)}"))
        console.print(Padding(one_line(recipe.description), (0, 0, 0, 4), expand=False))
