"""A proof under way: its steps as mathematics, and what is known from those found right so far."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import sympy as sp

from vglib.course.proofs.algebra import Algebra
from vglib.course.proofs.elements import Element, MathError, show
from vglib.course.proofs.known import Known
from vglib.course.proofs.signs import Sign
from vglib.course.proofs.theory import Fact, Theorem
from vglib.course.proofs.trees import TURNED, Tree, write

__all__ = ["OPEN", "SIGNS", "Step", "Work", "Wrong", "instances", "shifted", "started"]

OPEN = -1
SIGNS: dict[str, Sign] = {">": frozenset({1}), ">=": frozenset({0, 1}), "!=": frozenset({-1, 1})}


class Wrong(Exception):  # noqa: N818 - a step is wrong, the program is not
    """A step does not follow; the text says why."""


@dataclass(frozen=True, eq=False)
class Step:
    """One step of a proof."""

    number: int
    tree: Tree
    rule: str
    left: Element
    right: Element
    uses: tuple[int, ...] | None = None
    divisors: tuple[Element, ...] = ()

    @property
    def sign(self) -> str:
        """The relation: =, !=, > or >=; of a < b the two sides are turned round."""
        return TURNED.get(self.tree[0], self.tree[0])

    @property
    def text(self) -> str:
        """The step as text."""
        return write(self.tree)


@dataclass(eq=False)
class Work:
    """A proof under way: the theorem, its algebra, and the steps that were found right so far."""

    theorem: Theorem
    algebra: Algebra
    right: dict[int, Step] = field(default_factory=dict)
    # For each right step the hypotheses that it stands on, by their places; OPEN is the one of an induction.
    rests: dict[int, frozenset[int]] = field(default_factory=dict)
    advises: bool = True  # to say more of a wrong step may take time

    def difference(self, step: Step) -> Element:
        """Return left − right."""
        return self.minus(step.left, step.right)

    def minus(self, a: Element, b: Element) -> Element:
        """Return a − b."""
        return self.algebra.added(a, self.algebra.scaled(b, sp.Integer(-1)), "it compares")

    def show(self, what: Element, most: int = 120) -> str:
        """Return text, tidied, in the theorem's letters."""
        text = self.in_letters(show(self.algebra.tidied(what)))
        return text if len(text) <= most else f"{text[: most - 1]}…"

    def in_letters(self, text: str) -> str:
        """Return text with a letter for each function that defines one."""
        for fact in self.theorem.definitions:
            letter, meaning = fact.tree[1:]
            if type(meaning) is list and meaning[0] == "call":
                text = text.replace(show(self.algebra.element(meaning)), write(letter))
        return text

    def made(self, tree: Tree, rule: str, number: int = 0) -> Step:
        """Return a step from its tree.

        Raises
        ------
        MathError
            It has no meaning.
        """
        divisors: list[Element] = []
        left, right = (self.algebra.element(side, divisors) for side in tree[1:])
        if tree[0] in TURNED:
            left, right = right, left
        step = Step(number, tree, rule, left, right, divisors=tuple(divisors))
        difference = self.difference(step)
        if step.sign in (">", ">=") and not difference.is_number:
            raise MathError(f"`{tree[0]}` compares numbers; {self.algebra.a(difference)} came")
        return step

    def known(self, steps: list[Step]) -> Known:
        """Return what follows from some steps."""
        signs = []
        for step in steps:
            if step.rule not in ("definition", "hypothesis"):
                # A right step divides by nothing that may be 0.
                signs += [(divisor, SIGNS["!="]) for divisor in step.divisors]
            if step.sign != "=":
                difference = self.difference(step)
                # A vector other than 0 is one whose norm is positive.
                signs.append((difference, SIGNS[step.sign] if difference.is_number else SIGNS[">"]))
        return Known(self.algebra, [self.difference(step) for step in steps if step.sign == "="], signs)

    def used(self, step: Step) -> list[Step]:
        """Return the right steps that a step may use."""
        return [one for number, one in self.right.items() if step.uses is None or number in step.uses]


def shifted(tree: Tree, by: int) -> Tree:
    """Return a tree with all its steps in time moved, and with them the exponents that count them."""
    if type(tree) is not list:
        return tree
    if tree[0] in ("at", "step", "raise"):
        return [tree[0], shifted(tree[1], by), tree[2] + by]
    return [shifted(item, by) for item in tree]


def started(tree: Tree) -> Tree:
    """Return a tree at q = 0, for one that speaks of no later step."""
    if type(tree) is not list:
        return tree
    if tree[0] == "step":
        return ["start", tree[1]]
    return ["^", started(tree[1]), tree[2]] if tree[0] == "raise" else [started(item) for item in tree]


def instances(fact: Fact) -> Iterator[Tree]:
    """Yield a fact, and what it says at other steps if it holds at all of them."""
    ways = (0, 1, -1, 2, -2, -3) if "[t" in fact.text else (0, 1, 2) if "[q" in fact.text else (0,)
    yield from (shifted(fact.tree, by) for by in (ways if fact.everywhere else (0,)))
