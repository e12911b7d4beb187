"""The progress bar: on a terminal, and where tqdm is installed."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

__all__ = ["NoBar", "bar"]


def bar(steps: int, done: int, shown: bool) -> Any:
    """Return a context manager that gives a bar with `update` and `set_postfix_str`, as tqdm has them."""
    try:
        from tqdm import tqdm
    except ImportError:
        return NoBar()
    # None: silent unless it is a terminal.
    return tqdm(total=steps, initial=done, unit="step", disable=None if shown else True)


class NoBar(nullcontext):  # type: ignore[type-arg]
    """Shows nothing."""

    def __enter__(self) -> NoBar:
        return self

    def update(self) -> None:
        """Show nothing."""

    def set_postfix_str(self, text: str, refresh: bool) -> None:
        """Show nothing."""
