r"""What trees become: sums of words of matrices with SymPy's rational expressions as coefficients.

An `Element` is :math:`\sum_w c_w\, w`. A word w is a product of letters (matrices and vectors, perhaps
transposed) in which order counts; a coefficient :math:`c_w` is a number, a rational expression in atoms.

SymPy never sees text, and nothing is multiplied out before its size is known (`size`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mpmath
import sympy as sp

__all__ = [
    "ANY",
    "MAX_BITS",
    "MAX_TERMS",
    "NUMBER",
    "SQUARE",
    "Element",
    "Letter",
    "MathError",
    "Sigma",
    "Tanh",
    "Word",
    "numerator",
    "show",
    "size",
]

MAX_TERMS, MAX_POWER, MAX_BITS = 400, 36, 600
NUMBER = ("1", "1")
SQUARE = ("?", "?")  # the shape of I: any square
ANY = ("", "")  # the shape of 0


class MathError(ValueError):
    """An expression without a meaning, or too large: the message says why."""


@dataclass(frozen=True, order=True)
class Letter:
    """A matrix or a vector that is no number; `shape` is that of the letter as it stands."""

    name: str
    shape: tuple[str, str]
    turned: bool = False
    symmetric: bool = False

    @property
    def T(self) -> Letter:  # noqa: N802 - its name in mathematics
        """The transposed letter."""
        return self if self.symmetric else Letter(self.name, self.shape[::-1], not self.turned)

    @property
    def upright(self) -> Letter:
        """The letter without its transposition."""
        return self.T if self.turned else self

    def __str__(self) -> str:
        return f"{self.name}.T" if self.turned else self.name


class _Curve(sp.Function):
    """A function of one number; SymPy's own ask of every argument whether it is real, perhaps for minutes."""

    nargs = 1

    def _eval_evalf(self, prec: int) -> sp.Expr:
        inside = self.args[0].evalf(prec)
        with mpmath.workprec(prec):
            return sp.Float(self.at(mpmath.mpf(inside)), precision=prec) if inside.is_Float else self

    def _sympystr(self, printer: Any) -> str:
        return f"{type(self).__name__.lower()}({show(self.args[0])})"


class Tanh(_Curve):
    """The hyperbolic tangent."""

    at = staticmethod(mpmath.tanh)

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """Return the derivative."""
        return 1 - self**2


class Sigma(_Curve):
    """The logistic sigmoid σ, of which nothing is used but σ′ = σ(1 − σ)."""

    at = staticmethod(lambda x: 1 / (1 + mpmath.exp(-x)))

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """Return the derivative."""
        return self * (1 - self)


Word = tuple[Letter, ...]


@dataclass(frozen=True, eq=False)
class Element:
    """A sum of words with coefficients; a number has the empty word alone."""

    shape: tuple[str, str]
    terms: dict[Word, sp.Expr]

    @property
    def is_number(self) -> bool:
        """Whether it is a number (0 is one, too)."""
        return self.shape in (NUMBER, ANY)

    @property
    def number(self) -> sp.Expr:
        """Its value, if it is a number."""
        return self.terms.get((), sp.Integer(0))


def size(expr: sp.Expr) -> tuple[int, int]:
    """Bound the number of terms of numerator and denominator once everything is multiplied out."""
    if isinstance(expr, sp.Add):
        top, bottom = 0, 1
        for part in expr.args:
            up, down = size(part)
            top, bottom = top * down + up * bottom, bottom * down
    elif isinstance(expr, sp.Mul):
        top, bottom = 1, 1
        for part in expr.args:
            up, down = size(part)
            top, bottom = top * up, bottom * down
    elif isinstance(expr, sp.Pow) and expr.exp.is_Integer:
        if abs(expr.exp) > MAX_POWER:
            raise MathError(f"there is a power of {abs(expr.exp)} in it; at most {MAX_POWER}")
        up, down = size(expr.base)
        up, down = (up, down) if expr.exp > 0 else (down, up)
        top, bottom = up ** abs(int(expr.exp)), down ** abs(int(expr.exp))
    else:
        return 1, 1
    if max(top, bottom) > MAX_TERMS:
        raise MathError("the expression is too large to multiply out: take smaller steps")
    return top, bottom


def numerator(expr: sp.Expr) -> sp.Expr:
    """Return the numerator, multiplied out: 0 if and only if the expression is 0 wherever it is defined."""
    if expr.is_Symbol or expr.is_Number:
        return expr
    _, bottom = size(expr)
    if expr.has(sp.zoo, sp.nan, sp.oo):
        raise MathError("it divides by 0")
    # `together` is slow, and a polynomial does not need it.
    fractions = bottom > 1 or any(power.exp.is_negative for power in expr.atoms(sp.Pow))
    return sp.expand(sp.fraction(sp.together(expr))[0] if fractions else expr)


def show(what: Element | sp.Expr, most: int | None = None) -> str:
    """Return text as a learner would write it, of `most` characters if that is given."""
    if most is not None:
        text = show(what)
        return text if len(text) <= most else f"{text[: most - 1]}…"
    if isinstance(what, Element):
        parts = []
        for word, factor in sorted(what.terms.items(), key=lambda item: [str(x) for x in item[0]]):
            letters = "*".join(map(str, word)) or ("I" if not what.is_number else "")
            if not letters:
                parts.append(show(factor))
            elif factor == 1:
                parts.append(letters)
            else:
                number = show(factor)
                number = f"({number})" if isinstance(factor, sp.Add) else "-" if factor == -1 else number
                parts.append(f"{number}{letters}" if number == "-" else f"{number}*{letters}")
        return " + ".join(parts).replace("+ -", "- ") or "0"
    if isinstance(what, sp.Add):
        # What is added comes first, then what is taken off.
        parts = sorted(
            what.args, key=lambda part: (part.could_extract_minus_sign(), len(str(part)), str(part))
        )
        return " + ".join(map(show, parts)).replace("+ -", "- ")
    if isinstance(what, sp.Symbol) and what.name.startswith("(") and what.name.endswith(")"):
        return what.name[1:-1]  # a closed word needs its brackets only beside others
    return sp.sstr(what).replace("**", "^")
