"""`freqfast recipes`."""

from freqfast.cli.errors import one_line
from freqfast.cli.options import AsJson
from freqfast.cli.output import console, print_json, say
from rich.padding import Padding
from rich.text import Text


def recipes(as_json: AsJson = False) -> None:
    """List the recipes that `freqfast run` knows, including those of other packages.

    An entry point that cannot be imported is named on stderr.

    Examples:
        freqfast recipes
    """
    from freqfast.runs.registry import list_recipes

    found = list_recipes()
    if as_json:
        print_json({name: {"data": recipe.data, "description": recipe.description} for name, recipe in found.items()})
        return
    for name, recipe in found.items():
        say(Text.assemble((one_line(name), "bold"), f"  {one_line(recipe.data)}"))
        console.print(Padding(one_line(recipe.description), (0, 0, 0, 4), expand=False))
