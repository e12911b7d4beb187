"""Sums, products and atoms: what can be done with elements, shapes checked and the work counted.

A product that closes, such as xᵀQᵀQx, is a number, hence an atom of its own; so are ‖v‖, |a|, min(a, b) and
each d(y, x) between numbers. Atoms are nothing but letters here: what is true of a norm comes from
`vglib.course.proofs.rules`.
"""

from __future__ import annotations

import sympy as sp

from vglib.course.proofs.elements import (
    ANY,
    MAX_TERMS,
    NUMBER,
    SQUARE,
    Element,
    Letter,
    MathError,
    Sigma,
    Tanh,
    Word,
    show,
    size,
)

__all__ = ["Arithmetic"]

MAX_INSIDE = 16  # terms within a tanh or a sigma
MAX_WORK = 30_000  # about 0.05 ms each; proofs as people write them take up to 4,000


class Arithmetic:
    """Sums, products and atoms of one proof."""

    def __init__(self) -> None:
        # What stands inside an atom or a letter that has an inside: name of the function, its arguments.
        self.inside: dict[sp.Symbol | str, tuple[str, tuple[Element | Word, ...]]] = {}
        self.work_left = MAX_WORK
        self.matrix_norms = False

    def spend(self, work: int) -> None:
        """Count work that was or will be done for this proof; no clock, so that each run ends at one place.

        Raises
        ------
        MathError
            It has become too much.
        """
        self.work_left -= work
        if self.work_left < 0:
            raise MathError(
                "with this step the proof is too much work to check; say which steps it uses, by their "
                "numbers, and leave out what is not needed"
            )

    # Atoms ----------------------------------------------------------------------------------------------

    def atom(self, name: str, shape: tuple[str, str]) -> Element:
        """Return a letter, as a number or as a vector or matrix."""
        if shape == NUMBER:
            return self.as_number(sp.Symbol(name))
        return Element(shape, {(Letter(name, shape),): sp.Integer(1)})

    def as_number(self, value: sp.Expr) -> Element:
        """Return a number as an element."""
        return Element(NUMBER, {(): value} if value != 0 else {})

    def norm(self, what: Element) -> Element:
        """Return ‖v‖ as an atom; where matrices have norms, a matrix and its transpose have the same."""
        if what.shape == SQUARE and self.matrix_norms:
            raise MathError("norm(I) is 1: write 1")
        if what.is_number or ("1" not in what.shape and not self.matrix_norms):
            hint = " (the size of a number is abs(a))" if what.is_number else ""
            raise MathError(f"norm takes a vector; {self.a(what)} came{hint}")
        if self.matrix_norms:
            what = min((what, self.transposed(what)), key=lambda x: ((text := show(x)).count(".T"), text))
        return self.as_number(self._made("norm", what) if what.terms else sp.Integer(0))

    def largest(self, what: Element) -> Element:
        """Return the size of the largest entry of a column as an atom."""
        self._check_column("largest", what)
        return self.as_number(self._made("largest", what) if what.terms else sp.Integer(0))

    def function(self, name: str, what: Element) -> Element:
        """Return diag(v), a matrix, or F(v), a vector about which nothing is known."""
        self._check_column(name, what)
        text = f"{name}({show(self.tidied(what))})"
        self.inside.setdefault(text, (name, (self.tidied(what),)))
        if name == "diag":
            return Element(("n", "n"), {(Letter(text, ("n", "n"), symmetric=True),): sp.Integer(1)})
        return self.atom(text, ("n", "1"))

    def _check_column(self, name: str, what: Element) -> None:
        if what.shape != ("n", "1"):
            raise MathError(f"{name} takes a column of n numbers; {self.a(what)} came")

    def of_numbers(self, name: str, *values: sp.Expr) -> sp.Expr:
        """Return tanh, σ, |·|, min, √ or the power of q of numbers; the last four as atoms."""
        values = tuple(self.tidied_number(value) for value in values)
        if name in ("tanh", "sigma"):
            if max(size(values[0])) > MAX_INSIDE:
                raise MathError(f"what stands inside {name} is too large: take smaller steps")
            if name == "sigma":
                return Sigma(values[0])
            return Tanh(values[0]) if values[0] != 0 else sp.Integer(0)
        if name == "abs":
            return self._size(values[0])
        if name == "power":
            return self._power(values[0])
        if name == "min":
            values = tuple(sorted(values, key=sp.default_sort_key))
            if all(value.is_Rational for value in values):
                return min(values)
        return self._made(name, *(self.as_number(value) for value in values))

    def _size(self, value: sp.Expr) -> sp.Expr:
        if value.is_Rational:
            return abs(value)
        if isinstance(value, sp.Mul):
            return sp.Mul(*(self._size(part) for part in value.args))
        if isinstance(value, sp.Pow):
            return self._size(value.base) ** value.exp
        value = -value if value.could_extract_minus_sign() else value
        return self._made("abs", self.as_number(value))

    def _power(self, value: sp.Expr) -> sp.Expr:
        """Return the power of q, any of 0, 1, 2, …: (ab)^q = a^q·b^q and (a²)^q = (a^q)² at each of them."""
        if value == 1:
            return value
        if isinstance(value, sp.Mul):
            return sp.Mul(*(self._power(part) for part in value.args))
        if isinstance(value, sp.Pow):
            return self._power(value.base) ** value.exp
        # Brackets wherever the name could be that of something else as well.
        name = value.name if value.is_Symbol else "" if isinstance(value, sp.Function) else "^"
        atom = sp.Symbol(f"({show(value)})^q" if "^" in name or name[:1] == "(" else f"{show(value)}^q")
        self.inside.setdefault(atom, ("power", (self.as_number(value),)))
        return atom

    def _made(self, name: str, *items: Element) -> sp.Symbol:
        items = tuple(self.tidied(item) for item in items)
        atom = sp.Symbol(f"{name}({', '.join(map(show, items))})")
        self.inside.setdefault(atom, (name, items))
        return atom

    def tidied_number(self, value: sp.Expr) -> sp.Expr:
        """Return one form for expressions that are equal, so that equal atoms get one name."""
        if value.is_Symbol or value.is_Rational:
            return value
        self.spend(10 + 2 * sum(size(value)))
        if value.has(sp.zoo, sp.nan, sp.oo):
            raise MathError("it divides by 0")
        return sp.cancel(value)

    def tidied(self, what: Element) -> Element:
        """Return the element with tidied coefficients, without those that are 0."""
        terms = {word: self.tidied_number(factor) for word, factor in what.terms.items()}
        return Element(what.shape, {word: factor for word, factor in terms.items() if factor != 0})

    # Sums and products ----------------------------------------------------------------------------------

    def kind(self, what: Element) -> str:
        """Say what an element is."""
        rows, columns = what.shape
        if what.is_number:
            return "number"
        if "1" in what.shape:
            return f"column of {rows} numbers" if columns == "1" else f"row of {columns} numbers"
        return "matrix" if what.shape == SQUARE else f"{rows}×{columns} matrix"

    def a(self, what: Element) -> str:
        """Say what an element is, with its article."""
        kind = self.kind(what)
        return f"{'an' if kind[0] in 'nm' and '×' in kind else 'a'} {kind}"

    def common(self, a: Element, b: Element, verb: str) -> tuple[str, str]:
        """Return the shape that both have, or raise MathError."""
        if a.shape == b.shape or b.shape == ANY:
            return a.shape
        if a.shape == ANY:
            return b.shape
        for one, other in ((a.shape, b.shape), (b.shape, a.shape)):
            if one == SQUARE and other[0] == other[1] and other != NUMBER:
                return other
        text = f"{verb} {self.a(a)} and {self.a(b)}"
        if any(x.is_number and x.number.is_Rational for x in (a, b)):
            text += ": I is a matrix, 1 a number"
        raise MathError(text)

    def added(self, a: Element, b: Element, verb: str = "it adds") -> Element:
        """Return a + b."""
        terms = dict(a.terms)
        for word, factor in b.terms.items():
            terms[word] = terms.get(word, sp.Integer(0)) + factor
        shape = self.common(a, b, verb)
        return Element(shape, {word: factor for word, factor in terms.items() if factor != 0})

    def scaled(self, a: Element, factor: sp.Expr) -> Element:
        """Return factor · a."""
        return Element(a.shape, {word: factor * old for word, old in a.terms.items()})

    def transposed(self, a: Element) -> Element:
        """Return aᵀ."""
        terms = {tuple(x.T for x in reversed(word)): factor for word, factor in a.terms.items()}
        return Element(a.shape[::-1], terms)

    def product(self, a: Element, b: Element) -> Element:
        """Return a · b in this order."""
        if ANY in (a.shape, b.shape):
            return Element(b.shape if a.shape == ANY else a.shape, {})
        if a.shape == NUMBER:
            return self.scaled(b, a.number)
        if b.shape == NUMBER:
            return self.scaled(a, b.number)
        if SQUARE not in (a.shape, b.shape) and a.shape[1] != b.shape[0]:
            raise MathError(f"the order does not fit: {self.a(a)} times {self.a(b)}")
        shape = b.shape if a.shape == SQUARE else a.shape if b.shape == SQUARE else (a.shape[0], b.shape[1])
        count = len(a.terms) * len(b.terms)
        if count > MAX_TERMS:
            raise MathError("the expression is too large to multiply out: take smaller steps")
        self.spend(count // 4)
        terms: dict[Word, sp.Expr] = {}
        for left, first in a.terms.items():
            for right, second in b.terms.items():
                word, closed = self._closed(left + right)
                terms[word] = terms.get(word, sp.Integer(0)) + first * second * closed
        return Element(shape, {word: factor for word, factor in terms.items() if factor != 0})

    def _closed(self, word: Word) -> tuple[Word, sp.Expr]:
        """Take the numbers out of a word: whatever runs from a row to the next column."""
        factor, start = sp.Integer(1), 0
        while start < len(word):
            if word[start].shape[0] == "1":
                ends = [at for at in range(start + 1, len(word)) if word[at].shape[1] == "1"]
                if ends:
                    factor *= self.closed_atom(word[start : ends[0] + 1])
                    word, start = word[:start] + word[ends[0] + 1 :], 0
                    continue
            start += 1
        return word, factor

    def closed_atom(self, word: Word) -> sp.Symbol:
        """Return the number that a closed word is; it equals its own transpose."""
        word = min(word, tuple(x.T for x in reversed(word)), key=lambda w: ([not x.turned for x in w], w))
        atom = sp.Symbol(f"({'*'.join(map(str, word))})")
        self.inside.setdefault(atom, ("word", (word,)))
        return atom
