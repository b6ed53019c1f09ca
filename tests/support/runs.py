"""Parts of run directories that tests write by hand."""

from freqfast.runs.environment import DataOrigin, Environment

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
