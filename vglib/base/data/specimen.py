"""The specimen: one sentence whose last word depends on one of its first.

    I grew up in France then we moved north … I still speak fluent French

Every chapter sends its gradients back from "French" and asks how much of them arrives at "France", while
filler words drive the two apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from ..arrays import Array, random_stream
from ..errors import whole_number
from .place import Place

__all__ = ["Specimen", "specimen"]

START = "I grew up in"
SOURCE, TARGET = "France", "French"
FILLER = (
    "then we moved north where winters were long and dark , my father built boats , my mother kept bees , "
    "we swam in the cold lake all summer , the school was small and the teacher was kind , "
    "at night we read old books by the fire and told each other stories of the sea , and"
)
END = "I still speak fluent"
SHORTEST = len(END.split()) + 1
LONGEST = SHORTEST + len(FILLER.split())


@dataclass(frozen=True, eq=False)
class Specimen:
    """The sentence and its word vectors.

    Attributes
    ----------
    words : tuple of str
        The words the network reads, up to and including the one before "French".
    target : str
        "French", which it must say after the last step.
    source : int
        Step at which it reads "France".
    x : Array, shape (T, 1, D)
        One vector a word; the same word has the same vector in every sentence.
    """

    words: tuple[str, ...]
    target: str
    source: int
    x: Array

    @property
    def lag(self) -> int:
        """Number of words from "France" to "French"."""
        return len(self.words) - self.source


def specimen(
    lag: int = 16,
    inputs: int = 16,
    seed: int = 0,
    xp: ModuleType | None = None,
    device: Any = None,
    dtype: Any = "float64",
) -> Specimen:
    """Return the specimen sentence with "France" `lag` words before "French".

    Parameters
    ----------
    lag : int
        `SHORTEST` (no filler) to `LONGEST`, 5 to 64.
    inputs : int
        D, the length of a word's vector; its entries are drawn from N(0, 1).
    seed : int
        Of the word vectors.
    xp, device, dtype
        As for `RNN.init`.

    Returns
    -------
    Specimen

    Raises
    ------
    ValueError, TypeError
        A lag that the sentence cannot have, or another number that is no whole one or too small; an unknown
        library or dtype.
    """
    lag, inputs = whole_number("lag", lag, SHORTEST), whole_number("inputs", inputs, 1)
    seed, place = whole_number("seed", seed, 0), Place(xp, device, dtype)
    if lag > LONGEST:
        raise ValueError(f"lag must be {SHORTEST} to {LONGEST} words; got {lag}")
    words = (*START.split(), SOURCE, *FILLER.split()[: lag - SHORTEST], *END.split())
    vectors = {word: random_stream(seed, f"word {word}").normal(size=inputs) for word in set(words)}
    x = np.stack([vectors[word] for word in words])[:, None, :]
    return Specimen(words, TARGET, len(START.split()), place.real(x))
