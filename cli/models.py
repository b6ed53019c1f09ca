"""`freqfast models`."""

from typing import TYPE_CHECKING

from freqfast.cli.options import AsJson
from freqfast.cli.output import CleanTable, console, percent, print_json, say

from freqfast.records import plain

if TYPE_CHECKING:
    from freqfast.models.zoo import Accuracy

_COLUMNS = ("clean", "mean15", "mean7", "mean_bar")
_WIDE = 80  # characters, which all columns need


def models(as_json: AsJson = False) -> None:
    """List the trained ResNet-18s that come with freqfast: their names as MODEL, and their accuracy.

    Columns: clean accuracy on CIFAR-10; mean15, over the 15 main corruptions of CIFAR-10-C; mean7, over the seven of
    them that nothing in freqfast trains on directly; mean_bar, over the ten of CIFAR-10-C-bar.

    Examples:
        freqfast models
    """
    from freqfast.models.zoo import PREFIX, read_cards

    cards = read_cards()
    if as_json:
        print_json({PREFIX + name: plain(card) for name, card in cards.items()})
        return
    table = CleanTable("trained networks, accuracy in percent")
    table.add_column("MODEL", no_wrap=True)
    shown = _COLUMNS if console.width >= _WIDE else _COLUMNS[:1]
    for name in shown:
        table.add_column(name, justify="right")
    for name, card in cards.items():
        table.add_row(PREFIX + name, *(_text(card.accuracy[column]) for column in shown))
    console.print(table)
    say("each was trained once; ± is half of a 95 % confidence interval over the test images, not over seeds")
    for name, card in cards.items():
        say(
            f"{PREFIX}{name}: {card.recipe}, width {card.width}, {card.epochs} epochs, seed {card.seed}; {card.licence}"
        )


def _text(accuracy: "Accuracy") -> str:
    return f"{percent(accuracy.value)} ± {percent((accuracy.high - accuracy.low) / 2)}"
