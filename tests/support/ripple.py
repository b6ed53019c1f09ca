"""An analysis as another package may have it: one module, and one entry point."""

from dataclasses import dataclass
from typing import Annotated, Literal

from matplotlib.figure import Figure
from pydantic import Field

from freqfast.analysis import Analysis, ImageResult


@dataclass(frozen=True, eq=False, kw_only=True)
class Ripple(ImageResult):
    analysis: Literal["ripple"] = "ripple"
    share: float


def measure(classifier, images, labels, progress, depth: Annotated[int, Field(ge=1, description="How deep.")] = 3):
    return Ripple(share=1 / depth, images=len(images))


def draw(found, bands):
    figure = Figure(figsize=(3, 2))
    figure.subplots().bar(list(found), [one.share for one in found.values()])
    return figure


ripple = Analysis(
    run=measure,
    result=Ripple,
    figure=draw,
    title="Ripples",
    caption="Share of ripples.",
    describe=lambda label, found: f"{label}: {found.share:.2f} ripples",
    summarise=lambda found: [f"ripples: {found.share:.2f}"],
)
