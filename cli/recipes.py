"""`freqfast recipes`."""

from freqfast.cli.output import console
from rich.table import Table

__all__ = ["recipes"]


def recipes() -> None:
    """List the recipes that `freqfast run` knows, those of other packages included.

    An entry point that cannot be imported is named on stderr.
    """
    from freqfast.recipe import list_recipes

    table = Table()
    table.add_column("recipe", no_wrap=True)
    table.add_column("data", no_wrap=True)
    table.add_column("what it is for")
    for name, recipe in list_recipes().items():
        table.add_row(name, recipe.data, recipe.description)
    console.print(table)
