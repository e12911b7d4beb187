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
from vglib.course.proofs.trees import Tree, write

__all__ = ["SIGNS", "Step", "Work", "Wrong", "instances", "shifted"]

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
        """The relation: =, !=, > or >=."""
        return self.tree[0]

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
        step = Step(number, tree, rule, left, right, divisors=tuple(divisors))
        difference = self.difference(step)
        if tree[0] in (">", ">=") and not difference.is_number:
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
    """Return a tree with all its steps in time moved."""
    if type(tree) is not list:
        return tree
    return ["at", tree[1], tree[2] + by] if tree[0] == "at" else [shifted(item, by) for item in tree]


def instances(fact: Fact) -> Iterator[Tree]:
    """Yield a fact, and what it says at other steps if it holds at all of them."""
    timed = "[t" in fact.text
    yield from (
        shifted(fact.tree, by) for by in ((0, 1, -1, 2, -2, -3) if fact.everywhere and timed else (0,))
    )
