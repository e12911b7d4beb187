r"""Expressions as plain trees: what crosses from a learner's notebook to the checker, and nothing else.

A tree is an integer or a list whose first item names the node:

===================================  =======================================
``["symbol", "eta"]``                a symbol of the theorem
``["at", "c", 1]``                   ``c[t+1]``: a symbol at a step, counted from t
``["step", "e", 1]``                 ``e[q+1]``: at a step counted from q, any of 0, 1, 2, …
``["start", "e"]``                   ``e[0]``: at q = 0
``["+", a, b]``, ``-``, ``*``, ``/``  sum, difference, product, quotient
``["^", a, 2]``                      an integer power, the exponent an integer
``["raise", a, 1]``                  a to the power of q+1
``["neg", a]``, ``["T", a]``         minus a; a transposed
``["call", "norm", a, …]``           a function of the language or of the theorem
``["=", a, b]``, ``!=``, ``<=``, …    a relation: the top of a step, and nowhere else
===================================  =======================================

Nothing in a tree is ever evaluated: `check_tree` admits known nodes of bounded size, and
`vglib.course.proofs.algebra` turns them into mathematics one by one.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = [
    "MAX_DEPTH",
    "MAX_NODES",
    "MAX_NUMBER",
    "MAX_POWER",
    "RELATIONS",
    "TURNED",
    "Tree",
    "check_tree",
    "write",
]

Tree = Any  # int | list: a recursive type says no more here

MAX_NODES, MAX_DEPTH, MAX_NUMBER, MAX_POWER = 150, 20, 10**6, 6
RELATIONS = ("=", "!=", ">", ">=", "<", "<=")
TURNED = {"<": ">", "<=": ">="}
_SIZES = {
    "+": 2,
    "-": 2,
    "*": 2,
    "/": 2,
    "^": 2,
    "neg": 1,
    "T": 1,
    "raise": 2,
    "symbol": 1,
    "at": 2,
    "step": 2,
    "start": 1,
}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,29}\Z")
# How tightly each node binds when it is written down.
_BINDS = {"+": 1, "-": 1, "*": 2, "/": 2, "neg": 3, "^": 4, "raise": 4, "T": 5}


def check_tree(tree: object) -> None:
    """Raise ValueError unless `tree` is one relation between two trees of known nodes, of bounded size.

    Raises
    ------
    ValueError
        Saying what is not allowed. Deep, huge, cyclic and odd objects end here.
    """
    if type(tree) is not list or len(tree) != 3 or type(tree[0]) is not str or tree[0] not in RELATIONS:
        raise ValueError("a step must be one relation: left = right")
    waiting: list[tuple[object, int]] = [(tree[1], 1), (tree[2], 1)]
    seen = 0
    while waiting:
        node, depth = waiting.pop()
        seen += 1
        if seen > MAX_NODES or depth > MAX_DEPTH:
            raise ValueError(
                f"the equation is too long (at most {MAX_NODES} parts, {MAX_DEPTH} deep): split it"
            )
        if type(node) is int:
            if abs(node) > MAX_NUMBER:
                raise ValueError(f"numbers may have a size of at most {MAX_NUMBER:,}")
            continue
        waiting += [(child, depth + 1) for child in _children(node)]


def _children(node: object) -> list[object]:
    """Return the trees below a node, after a look at the node itself."""
    if type(node) is not list or not node or type(node[0]) is not str:
        raise ValueError("an expression must be an integer or a list that begins with the name of its node")
    kind, rest = node[0], node[1:]
    if kind == "call":
        if not 2 <= len(rest) <= 4 or not _is_name(rest[0]):
            raise ValueError("a call needs the name of a function and one to three arguments")
        return rest[1:]
    if kind not in _SIZES:
        raise ValueError(f"unknown node {kind[:20]!r}")
    if len(rest) != _SIZES[kind]:
        raise ValueError(f"node {kind!r} takes {_SIZES[kind]}, not {len(rest)}")
    if kind in ("symbol", "at", "step", "start"):
        if not _is_name(rest[0]):
            raise ValueError("a symbol needs a name: letters a to z, digits and _, 30 at most")
        if kind == "at" and (type(rest[1]) is not int or abs(rest[1]) > 9):
            raise ValueError("a symbol needs a step near t")
        if kind == "step" and (type(rest[1]) is not int or not 0 <= rest[1] <= 9):
            raise ValueError("a symbol needs a step q, q+1 or q+2")
        return []
    if kind == "^":
        if type(rest[1]) is not int or abs(rest[1]) > MAX_POWER:
            raise ValueError(f"an exponent must be a whole number of size at most {MAX_POWER}")
        return rest[:1]
    if kind == "raise":
        if type(rest[1]) is not int or not 0 <= rest[1] <= MAX_POWER:
            raise ValueError(f"an exponent must be q, or q and a whole number of at most {MAX_POWER}")
        return rest[:1]
    return rest


def _is_name(item: object) -> bool:
    return type(item) is str and _NAME.match(item) is not None


def write(tree: Tree) -> str:
    """Return a checked tree as text that reads back as the same mathematics."""
    if type(tree) is list and tree[0] in RELATIONS:
        return f"{write(tree[1])} {tree[0]} {write(tree[2])}"
    return _write(tree, 0)


def _write(tree: Tree, outer: int) -> str:
    if type(tree) is int:
        return f"({tree})" if tree < 0 and outer else str(tree)
    kind, *rest = tree
    if kind == "symbol":
        return rest[0]
    if kind == "at":
        return f"{rest[0]}[t{rest[1]:+d}]" if rest[1] else f"{rest[0]}[t]"
    if kind == "step":
        return f"{rest[0]}[q{rest[1]:+d}]" if rest[1] else f"{rest[0]}[q]"
    if kind == "start":
        return f"{rest[0]}[0]"
    if kind == "call":
        return f"{rest[0]}({', '.join(_write(item, 0) for item in rest[1:])})"
    binds = _BINDS[kind]
    if kind == "neg":
        text = f"-{_write(rest[0], binds)}"
    elif kind == "T":
        text = f"{_write(rest[0], binds)}.T"
    elif kind == "^":
        text = f"{_write(rest[0], binds + 1)}^{rest[1]}"
    elif kind == "raise":
        text = f"{_write(rest[0], binds + 1)}^{f'(q+{rest[1]})' if rest[1] else 'q'}"
    else:
        gap = " " if binds == 1 else ""
        text = f"{_write(rest[0], binds)}{gap}{kind}{gap}{_write(rest[1], binds + 1)}"
    return f"({text})" if binds < outer else text
