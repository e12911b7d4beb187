"""What a step comes to in numbers: trees are evaluated in a world, which gives each letter its value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vglib.course.proofs.trees import TURNED, Tree, write

__all__ = ["World", "agrees", "value"]

_TOLERANCE = 1e-8


@dataclass(frozen=True)
class World:
    """Values by the text of a symbol or of a local derivative; functions by name."""

    values: dict[str, Any]
    functions: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    q: int = 0


@dataclass(frozen=True)
class _Eye:
    """A multiple of I, of whatever size its neighbours want."""

    factor: float

    def like(self, other: np.ndarray) -> np.ndarray:
        return self.factor * np.eye(len(other))


def value(tree: Tree, world: World) -> Any:
    """Return what a checked tree comes to; KeyError for something that this world says nothing about."""
    if type(tree) is int:
        return float(tree)
    kind, *rest = tree
    if kind in ("symbol", "at", "step", "start"):
        text = write(tree)
        return _Eye(1.0) if text == "I" and text not in world.values else world.values[text]
    if kind == "call" and rest[0] == "d":
        return world.values[write(tree)]
    trees = rest[:1] if kind in ("^", "raise") else [item for item in rest if type(item) is not str]
    items = [value(item, world) for item in trees]
    if kind == "call":
        return _function(rest[0], items, world)
    if kind == "neg":
        return _times(-1.0, items[0])
    if kind == "T":
        return items[0].T if isinstance(items[0], np.ndarray) else items[0]
    if kind in ("^", "raise"):
        return items[0] ** (rest[1] + world.q * (kind == "raise"))
    if kind in ("+", "-"):
        return _plus(items[0], _times(1.0 if kind == "+" else -1.0, items[1]))
    return _times(*items) if kind == "*" else _times(items[0], 1 / items[1])


def _function(name: str, items: list[Any], world: World) -> Any:
    if name in world.functions:
        return world.functions[name](items[0])
    if name == "diag":
        return np.diag(items[0][:, 0])
    plain: dict[str, Callable[..., Any]] = {
        "norm": lambda a: np.linalg.norm(a, 2),
        "largest": lambda a: np.max(np.abs(a)),
        "abs": abs,
        "tanh": np.tanh,
        "sigma": lambda a: 1 / (1 + np.exp(-a)),
        "sqrt": np.sqrt,
    }
    return float((plain | {"min": min})[name](*items))


def _times(a: Any, b: Any) -> Any:
    if isinstance(a, _Eye) or isinstance(b, _Eye):
        other, eye = (b, a) if isinstance(a, _Eye) else (a, b)
        if isinstance(other, np.ndarray):
            return eye.factor * other
        return _Eye(eye.factor * (other.factor if isinstance(other, _Eye) else other))
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        result = a @ b
        return float(result[0, 0]) if result.shape == (1, 1) else result
    return a * b


def _plus(a: Any, b: Any) -> Any:
    if isinstance(a, _Eye) and isinstance(b, _Eye):
        return _Eye(a.factor + b.factor)
    if isinstance(a, _Eye):
        return a.like(b) + b if isinstance(b, np.ndarray) else _Eye(a.factor + b)
    return _plus(b, a) if isinstance(b, _Eye) else a + b


def agrees(relation: Tree, world: World) -> bool:
    """Whether a step is true in a world, up to rounding; True where the world has nothing to say."""
    sign, *sides = relation
    if sign in TURNED:
        sign, sides = TURNED[sign], sides[::-1]
    try:
        with np.errstate(all="raise"):
            left, right = (value(side, world) for side in sides)
            gap = _plus(left, _times(-1.0, right))
            ends = [np.max(np.abs(x.factor if isinstance(x, _Eye) else x)) for x in (gap, left, right)]
    except KeyError:
        return True
    except (FloatingPointError, ZeroDivisionError, OverflowError):
        return True  # a division by 0 is caught elsewhere, and for all values
    except (TypeError, ValueError):
        return False  # shapes that the symbolic side let through
    near = ends[0] <= _TOLERANCE * max(1.0, *ends[1:])
    if sign == "=":
        return bool(near)
    if sign == "!=":
        return not near
    return bool((gap.factor if isinstance(gap, _Eye) else gap) > (-_TOLERANCE if sign == ">=" else 0))
