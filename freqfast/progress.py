"""How long work tells what it has done, without knowing who shows it."""

from collections.abc import Callable

__all__ = ["Progress"]

Progress = Callable[[int, int, str], None]
"""Called as ``progress(done, total, message)``."""
