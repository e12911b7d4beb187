"""The learner's side: a list of steps in, plain lists out. Nothing is evaluated, and SymPy is not needed.

One step is ``("left = right", "rule")`` or ``("left = right", "rule", 1, 2)``: an equation, the name of its
rule and, if one likes, the numbers of the earlier steps that it uses.
"""

from __future__ import annotations

from typing import Any, TypeGuard

from vglib.course.proofs.language import ProofError, parse
from vglib.course.proofs.spelling import printable
from vglib.course.proofs.trees import Tree, check_tree

__all__ = ["MAX_STEPS", "parts", "read"]

MAX_STEPS, MAX_RULE = 40, 60


def read(steps: object) -> list[list[Any]]:
    """Return a proof as plain lists: for each step its tree, its rule and the steps it uses, or None for all.

    Parameters
    ----------
    steps
        A list (or tuple) of steps as a learner writes them.

    Raises
    ------
    ProofError
        Which step cannot be read, where and why.
    """
    if steps is None:
        raise ProofError("None came: does the function end with `return [...]`?")
    if not _is_sequence(steps):
        raise ProofError(f"a list of steps is wanted; {_kind(steps)} came.")
    if not steps:
        raise ProofError("it is empty. Begin with a definition and end with the claim.")
    if type(steps) is tuple and all(type(item) is str for item in steps[:2]):
        raise ProofError("that is one step alone; put the steps into a list: [(…), (…)].")
    if len(steps) > MAX_STEPS:
        raise ProofError(f"it has {len(steps)} steps; {MAX_STEPS} are enough.")
    return [_step(item, number) for number, item in enumerate(steps, 1)]


def _step(item: object, number: int) -> list[Any]:
    form = '("left = right", "rule") or ("left = right", "rule", 1, 2)'
    if not _is_sequence(item):
        came = _short(item)
        raise ProofError(f"a step is a tuple {form}; {came} came. Is a comma or a bracket missing?", number)
    if len(item) < 2 or type(item[0]) is not str or type(item[1]) is not str:
        raise ProofError(f"a step has an equation and the name of its rule, both as text: {form}.", number)
    uses = item[2:]
    if len(uses) == 1 and _is_sequence(uses[0]):
        uses = uses[0]
    if len(uses) > MAX_STEPS:
        raise ProofError(f"it uses {len(uses)} steps; {MAX_STEPS} are enough.", number)
    for used in uses:
        if type(used) is not int:
            raise ProofError(f"after the rule come numbers of earlier steps; {_short(used)} is none.", number)
        if not 1 <= used < number:
            which = "itself" if used == number else f"step {used}" if abs(used) < 1000 else "a step far away"
            earlier = f"only 1 to {number - 1} come before it" if number > 1 else "nothing comes before it"
            raise ProofError(f"it uses {which}; {earlier}.", number)
    rule = " ".join(printable(item[1][:200]).lower().split())[:MAX_RULE]
    return [parse(item[0], number), rule, list(uses) or None]


def parts(item: object, number: int) -> tuple[Tree, str, list[int] | None]:
    """Return tree, rule and uses of one step as `read` gives it, from a process that is trusted in nothing.

    Raises
    ------
    ValueError
        It is no such step, whatever it is.
    """
    if type(item) is not list or len(item) != 3 or type(item[1]) is not str or len(item[1]) > MAX_RULE:
        raise ValueError("a step has an equation, a rule, and the steps it uses")
    tree, rule, uses = item
    check_tree(tree)
    if uses is None:
        return tree, printable(rule), None
    if type(uses) is not list or len(uses) > MAX_STEPS or any(type(x) is not int for x in uses):
        raise ValueError("the steps that it uses come as a list of their numbers")
    if not all(1 <= used < number for used in uses):
        raise ValueError("it uses a step that does not come before it, and only earlier ones can be used")
    return tree, printable(rule), list(uses)


def _is_sequence(item: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Whether it is a list or a tuple, and no class of somebody's own that answers as it likes."""
    return type(item) in (list, tuple)


def _kind(item: object) -> str:
    return type.__dict__["__name__"].__get__(type(item))


def _short(item: object) -> str:
    """Return a text or a small number as it stands, of anything else its kind."""
    plain = type(item) is str or (type(item) in (int, float, bool) and abs(item) < 1e6)
    return printable(repr(item[:40] if type(item) is str else item)) if plain else _kind(item)
