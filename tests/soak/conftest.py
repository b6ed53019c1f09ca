from pathlib import Path

import pytest

from tests.support import compose
from tests.support.learners import make_loaders, striped_rows

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("soak")


def pytest_terminal_summary(terminalreporter):
    if compose.outcomes:
        told = ", ".join(f"{count} {what}" for what, count in sorted(compose.outcomes.items()))
        terminalreporter.write_line(f"composed Learners: {sum(compose.outcomes.values())} ({told})")


@pytest.fixture(scope="session")
def dls():
    """24 images to train (3 batches), 8 to validate."""
    return make_loaders(striped_rows(32, 32), 8, 8)
