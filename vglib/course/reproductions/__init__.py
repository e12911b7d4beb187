"""Results that the course reproduces: what there is, and how one is described.

To add one, write a module here that ends in ``REPRODUCTION = Reproduction(…)``, and its name below. Its `run`
is a function of settings and seed alone, so that runs can be done in any order, elsewhere, or again.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["NAMES", "Reproduction", "find"]

# Found by name only when asked for: a chapter that shows one result does not hang on the code of all.
NAMES: tuple[str, ...] = (
    "adding",
    "clipping",
    "copying",
    "depth",
    "first_of_four",
    "first_symbol",
    "gates",
    "initialization",
    "pixels",
    "recall",
    "shattered",
    "truncated_recall",
    "truncation",
)


@dataclass(frozen=True)
class Reproduction:
    """One experiment: every setting with every seed is a run.

    Attributes
    ----------
    name : str
        Of the module and of the result file.
    summary : str
        One line for the list.
    run : callable (settings, seed) -> dict
        A pure function of a module, so that other processes find it; returns JSON values or NumPy arrays, all
        finite. Store None where a number does not exist.
    settings : sequence of dict
        All that `run` depends on besides the seed, sizes and numbers of updates included.
    seeds : sequence of int
    packages : tuple of str
        Distributions whose versions are stored with the numbers.
    device : str
        What it runs on, for the record.
    """

    name: str
    summary: str
    run: Callable[[Mapping[str, Any], int], Mapping[str, Any]]
    settings: tuple[Mapping[str, Any], ...]
    seeds: tuple[int, ...]
    packages: tuple[str, ...] = ("numpy",)
    device: str = "CPU, one thread"

    def tasks(self) -> Iterator[tuple[Mapping[str, Any], int]]:
        """Yield settings and seed of all runs: each setting once before any has its second seed."""
        return ((settings, seed) for seed in self.seeds for settings in self.settings)


def find(name: str) -> Reproduction:
    """Import and return a reproduction.

    Raises
    ------
    ValueError
        There is none of that name.
    """
    # Here, because the command line needs the names alone.
    from vglib.base.errors import choice

    choice("name", name, NAMES)
    return importlib.import_module(f"{__name__}.{name}").REPRODUCTION
