"""Which signs a number may have, from those of its parts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, product

import sympy as sp

from vglib.course.proofs.arithmetic import Arithmetic
from vglib.course.proofs.elements import Element, Word, numerator

__all__ = ["Sign", "Signs"]

Sign = frozenset[int]
_ANY_SIGN = frozenset({-1, 0, 1})


class Signs:
    """Signs of numbers, given those of some.

    Parameters
    ----------
    algebra
        Knows what stands inside a norm or a minimum.
    known
        Of each a number (or a vector) and the signs that it may have (of a vector, of its norm).
    """

    def __init__(self, algebra: Arithmetic, known: list[tuple[Element, Sign]]):
        self.algebra = algebra
        self.known = known

    def of(self, number: sp.Expr) -> Sign:
        """Return the signs that a number may have."""
        if number.is_Rational:
            return frozenset({int(sp.sign(number))})
        return self._by_parts(number) & self.stated(number)

    def stated(self, number: sp.Expr) -> Sign:
        """Return the signs that a number may have, if it is one of the known ones; no look at its parts."""
        found = _ANY_SIGN
        for what, sign in self.known:
            if what.is_number and sp.expand(what.number - number) == 0:
                found &= sign
        return found

    def _by_parts(self, number: sp.Expr) -> Sign:
        if isinstance(number, sp.Mul):
            return frozenset(
                int(sp.prod(signs)) for signs in product(*(self.of(part) for part in number.args))
            )
        if isinstance(number, sp.Pow) and number.exp.is_Integer:
            base = self.of(number.base)
            if number.exp < 0 and 0 in base:
                return _ANY_SIGN  # of 1/0 nothing is known
            return frozenset(sign ** abs(int(number.exp)) for sign in base)
        if isinstance(number, sp.Add):
            total = frozenset({0})
            for part in number.args:
                signs = self.of(part)
                total = frozenset(s for a in total for b in signs for s in _sums(a, b))
            return total
        if number in self.algebra.inside:
            return self._of_atom(*self.algebra.inside[number])
        return _ANY_SIGN

    def _of_atom(self, name: str, items: tuple[Element | Word, ...]) -> Sign:
        if name == "norm":
            return frozenset({1}) if self._not_zero(items[0]) else frozenset({0, 1})
        if name == "largest":
            return frozenset({0, 1})
        if name == "sqrt":
            return frozenset({0, 1}) if self.of(items[0].number) <= {0, 1} else _ANY_SIGN
        if name == "word":
            # vᵀv is not negative; xᵀDx with a D in the middle that is its own transpose may be.
            turned = tuple(x.T for x in reversed(items[0]))
            return frozenset({0, 1}) if turned == items[0] and len(turned) % 2 == 0 else _ANY_SIGN
        signs = [self.of(item.number) for item in items]
        if name == "power":  # of what may be 0 it may be 1, too
            return signs[0] | {1} if signs[0] <= {0, 1} else _ANY_SIGN
        if name == "abs":
            return frozenset(abs(sign) for sign in signs[0])
        return frozenset(min(a, b) for a, b in product(*signs))

    def _not_zero(self, vector: Element) -> bool:
        """Whether a vector is a known vector other than 0, times a number other than 0."""
        for what, sign in self.known:
            if what.is_number or 0 in sign or what.terms.keys() != vector.terms.keys() or not what.terms:
                continue
            ratios = [vector.terms[word] / what.terms[word] for word in what.terms]
            if all(numerator(a - b) == 0 for a, b in pairwise(ratios)) and 0 not in self.of(ratios[0]):
                return True
        return False


def _sums(a: int, b: int) -> Iterator[int]:
    """Yield the signs that a sum of numbers of signs a and b may have."""
    yield from (-1, 0, 1) if a * b < 0 else (a or b,)
