"""How the cells of an evaluation are named."""

__all__ = ["CLEAN", "Key", "key_text"]

Key = tuple[str, int]
"""A corruption and a severity."""

CLEAN: Key = ("clean", 0)
"""The cell of uncorrupted images."""


def key_text(key: Key) -> str:
    """A cell's name in messages, such as ``fog 3``."""
    return key[0] if key == CLEAN else f"{key[0]} {key[1]}"
