import importlib.util
import sys
from pathlib import Path

import pytest
import torch

# The tests are no package, so what they share is loaded by its path.
_spec = importlib.util.spec_from_file_location("compose", Path(__file__).with_name("compose.py"))
compose = sys.modules["compose"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(compose)
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("soak")


def pytest_terminal_summary(terminalreporter):
    if compose.outcomes:
        told = ", ".join(f"{count} {what}" for what, count in sorted(compose.outcomes.items()))
        terminalreporter.write_line(f"composed Learners: {sum(compose.outcomes.values())} ({told})")


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Tiny models are faster on one thread, and the same from run to run."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def dls():
    return compose.make_dls(compose.make_rows())
