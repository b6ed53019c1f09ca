"""Parts of run directories that tests write by hand."""

from freqfast.runs.environment import DataOrigin, Environment
from freqfast.runs.report import Proportions, RunReport, Seconds

ENVIRONMENT = Environment(
    freqfast="0.1.0",
    python="3.11.7",
    platform="Linux",
    processor="a processor",
    instructions="AVX2",
    device="cpu",
    threads=1,
    precision="float32",
    packages={},
    data=DataOrigin("photos", "0" * 64),
)
"""Where a run may have run."""

REPORT = RunReport(
    recipe="größer",
    seed=0,
    epochs=1,
    precision="float32",
    clean=0.5,
    corrupted=0.25,
    accuracy={"fog": {1: 0.25}},
    images=4,
    bands=("low", "high"),
    proportion=Proportions((0.5, 0.5), (1.0, 0.0)),
    seconds=Seconds(fit=1.0, evaluate=2.0),
)
"""What a run may have found."""
