"""A long list in parts that fit into memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

__all__ = ["parts"]

# So many letters of notebooks are held at a time, however many there are.
MOST = 32 * 2**20
T = TypeVar("T")


def parts(sized: Iterable[tuple[T, int]], most: int = MOST) -> Iterator[list[T]]:
    """Yield things in lists, a new one whenever the sizes of the last have exceeded `most`.

    Parameters
    ----------
    sized
        Things with their sizes; they are asked for one by one.
    most
        What a list may hold, short of its last thing.
    """
    part: list[T] = []
    total = 0
    for one, size in sized:
        part.append(one)
        total += size
        if total > most:
            yield part
            part, total = [], 0
    if part:
        yield part
