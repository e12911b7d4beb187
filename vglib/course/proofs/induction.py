"""The two rules of a proof by induction: the claim at one q is assumed, and with that shown at q + 1.

What rests on the induction hypothesis proves nothing by itself; `induction` alone takes it away, and only
with a base case that does without it.
"""

from __future__ import annotations

import sympy as sp

from vglib.course.proofs.known import Known
from vglib.course.proofs.trees import Tree, write
from vglib.course.proofs.work import OPEN, Step, Work, Wrong, shifted, started

__all__ = ["induction", "induction_hypothesis", "parts_of_induction"]


def induction_hypothesis(work: Work, step: Step) -> None:
    """Let through the claim at q, and nothing else."""
    claim = work.theorem.claims[0].tree
    if _says(work, step, claim):
        return
    text = f"The induction hypothesis is the claim at q: {write(claim)}."
    if _says(work, step, shifted(claim, 1)):
        raise Wrong(f"that is the claim at q+1: it is to be shown, and cannot be assumed. {text}")
    if _says(work, step, started(claim)):
        raise Wrong(f"that is the claim at q = 0, the base case: it is to be shown, not assumed. {text}")
    raise Wrong(f"that is not what may be assumed. {text}")


def induction(work: Work, step: Step) -> None:
    """Let through the claim at every q, from the claim at 0 and the claim at q + 1."""
    parts_of_induction(work, step)


def parts_of_induction(work: Work, step: Step) -> tuple[Step, Step]:
    """Return the steps that are the claim at 0 and the claim at q + 1.

    Raises
    ------
    Wrong
        One of them is missing, or the first rests on the induction hypothesis.
    """
    claim = work.theorem.claims[0].tree
    if not _says(work, step, claim):
        raise Wrong(f"the rule ends with the claim and with nothing else: {write(claim)}.")
    used = work.used(step)
    first, later = started(claim), shifted(claim, 1)
    bases = [one for one in used if _says(work, one, first, or_more=True)]
    nexts = [one for one in used if _says(work, one, later, or_more=True)]
    if not bases:
        raise Wrong(
            f"the base case is not among the steps that it uses: the claim at q = 0, {write(first)}. Without "
            "it nothing begins."
        )
    free = [one for one in bases if OPEN not in work.rests.get(one.number, frozenset())]
    if not free:
        raise Wrong(
            f"the base case, step {bases[0].number}, rests on the induction hypothesis; it has to stand on "
            "its own."
        )
    if not nexts:
        raise Wrong(
            f"the claim at q+1 is not among the steps that it uses: {write(later)} has to follow from the "
            "claim at q."
        )
    # One that does without the induction hypothesis is as good.
    return free[0], nexts[0]


def _says(work: Work, step: Step, tree: Tree, or_more: bool = False) -> bool:
    """Whether a step says what a relation says, up to algebra and letters for numbers, of the same steps.

    With `or_more`, an equation will do for an inequality.
    """
    other = work.made(tree, "")
    if step.sign not in (other.sign, "=" if or_more else "") or _steps(step.tree) != _steps(tree):
        return False
    named = [work.made(fact.tree, "") for fact in work.theorem.definitions]
    known = Known(work.algebra, [work.difference(one) for one in named if one.left.is_number])
    a, b = work.difference(step), work.difference(other)
    if not a.is_number:
        return False
    ways = (1, -1) if step.sign == "=" else (1,)
    return any(
        not known.remainder(work.minus(b, work.algebra.scaled(a, sp.Integer(way)))).terms for way in ways
    )


def _steps(tree: Tree) -> set[str]:
    """Return what has a step in a tree, so that 0 >= 0 is no base case."""
    if type(tree) is not list:
        return set()
    if tree[0] in ("step", "start"):
        return {write(tree)}
    return set().union(*map(_steps, tree[1:]))
