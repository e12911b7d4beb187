"""What a theorem is: its letters, facts and readers, and the closed list of rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from vglib.course.proofs.language import parse
from vglib.course.proofs.trees import Tree

__all__ = ["RULES", "Fact", "Symbol", "Theorem"]

# A closed list. What each of them lets through is in `vglib.course.proofs.rules`.
RULES = {
    "definition": "one of the definitions above, as it stands or rearranged",
    "hypothesis": "one of the hypotheses above; those that you do not need, leave out",
    "chain rule": "total derivative by a quantity = sum over *all* its readers of (total derivative by the "
    "reader) · (local derivative of the reader)",
    "differentiate": "a local derivative, from a definition: the other things that it reads are held fixed. "
    "A hypothesis may be differentiated if it holds for all values",
    "substitute": "equals for equals, taken from earlier steps",
    "algebra": "true for all values, or an earlier step rearranged; nothing may be divided by what may be 0",
    "transpose": "(AB)ᵀ = BᵀAᵀ, (A + B)ᵀ = Aᵀ + Bᵀ, (Aᵀ)ᵀ = A, Iᵀ = I",
    "norm": "‖v‖² = vᵀv (or ‖v‖ = `sqrt(v.T*v)`), ‖av‖ = |a|‖v‖ for a number a",
    "sign": "`> 0`, `>= 0` or `!= 0` from signs in earlier steps: products, quotients, sums and `min` of "
    "positive numbers are positive, and ‖v‖ > 0 if v ≠ 0",
    "absolute value": "|a| = a if an earlier step says that a ≥ 0 or a > 0",
    "norm inequality": "‖AB‖ ≤ ‖A‖‖B‖ for products of matrices and columns, ‖Aᵀ‖ = ‖A‖, "
    "‖diag(v)‖ = largest(v)",
    "monotone": "from a ≤ b follows a·p ≤ b·p if p ≥ 0 is known; with b ≤ c also a ≤ c; with c ≤ d also "
    "a + c ≤ b + d",
    "induction hypothesis": "the claim at this one q, from which it has to follow at q+1",
    "induction": "the claim at every q, once it stands at 0, without the induction hypothesis, and at q+1",
    "square root": "p = q, if p² = q² is known and neither is negative",
}


@dataclass(frozen=True)
class Symbol:
    """A letter: its shape (rows, columns) and meaning; `timed` is written c[t], `spare` not shown."""

    meaning: str
    shape: tuple[str, str] = ("1", "1")
    timed: bool = False
    spare: bool = False


@dataclass(frozen=True)
class Fact:
    """A definition, a hypothesis or a claim. `everywhere`: at each t, or for all values of its letters."""

    text: str
    note: str = ""
    everywhere: bool = False

    @cached_property
    def tree(self) -> Tree:
        """The fact as a plain tree."""
        return parse(self.text)


@dataclass(frozen=True)
class Theorem:
    """A statement with all that its proofs may use.

    Parameters
    ----------
    name, title, says
        `says` introduces it, in Markdown.
    writing
        How what is peculiar to it is written, in Markdown.
    symbols, functions
        By name; a function takes a vector to a vector of the same length.
    definitions, hypotheses, claims
        All claims have to stand in a proof, one of them at its end.
    readers
        For a quantity, those that read it: names with their distance in steps.
    elsewhere
        What to say of paths that somebody takes for one of `readers`.
    rules
        Names from `RULES`.
    counts
        "t" if steps in time are written c[t+1]; "q" if they are written e[q+1] and begin with e[0], for
        proofs by induction.
    """

    name: str
    title: str
    says: str
    writing: str
    symbols: Mapping[str, Symbol]
    definitions: tuple[Fact, ...]
    hypotheses: tuple[Fact, ...]
    claims: tuple[Fact, ...]
    rules: tuple[str, ...]
    functions: tuple[str, ...] = ()
    readers: Mapping[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)
    elsewhere: str = ""
    counts: str = "t"
