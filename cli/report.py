"""`freqfast report`."""

from pathlib import Path
from typing import Annotated

import typer
from freqfast.cli.files import check_output, write
from freqfast.cli.interrupts import interruptible
from freqfast.cli.output import progress_bar, say

from freqfast.files import write_text

__all__ = ["report"]


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Finished run directories; differences are to the first.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The HTML page to write.")] = Path(
        "report.html"
    ),
) -> None:
    """Compare runs on one HTML page that needs nothing else: tables with intervals, figures, commands.

    Shows the analyses that `freqfast heatmap`, `reliance`, `ablation` and `quality` keep in the runs. Differences are
    paired, image by image, by the outcomes in RUN/evaluation.json; `freqfast evaluate --out` puts others there.
    """
    check_output(output)

    from freqfast.report.entries import load_entries
    from freqfast.report.page import render_page

    with interruptible(), progress_bar() as progress:
        page = render_page(load_entries(runs), progress, str(output))
        write(output, lambda path: write_text(path, page))
    count = f"{len(runs)} runs" if len(runs) > 1 else "one run"
    say(f"{output}: {count}, {output.stat().st_size / 2**20:.1f} MiB")
