"""From plain trees to elements: the symbols, functions, sums and products of one theorem, shapes checked.

A product that closes, such as xᵀQᵀQx, is a number, hence an atom of its own; so are ‖v‖, |a|, min(a, b) and
each d(y, x) between numbers. Atoms are nothing but letters here: what is true of a norm comes from
`vglib.course.proofs.rules`.
"""

from __future__ import annotations

import difflib

import sympy as sp

from vglib.course.proofs.elements import (
    ANY,
    MAX_BITS,
    NUMBER,
    SQUARE,
    Element,
    Letter,
    MathError,
    Tanh,
    Word,
    numerator,
    show,
    size,
)
from vglib.course.proofs.theorems import Theorem
from vglib.course.proofs.trees import Tree

__all__ = ["Algebra"]

FAR = 2  # steps from t that a proof may speak of
MAX_INSIDE = 16  # terms within a tanh
MAX_WORK = 30_000  # about 0.05 ms each; proofs as people write them take up to 4,000


class Algebra:
    """The mathematics of one theorem: its letters, its atoms, and what they are made of.

    Parameters
    ----------
    theorem
        Gives symbols, shapes and functions.
    """

    def __init__(self, theorem: Theorem):
        self.theorem = theorem
        # What stands inside an atom or a letter that has an inside: name of the function, its arguments.
        self.inside: dict[sp.Symbol | str, tuple[str, tuple[Element | Word, ...]]] = {}
        self.work_left = MAX_WORK

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

    # From trees -----------------------------------------------------------------------------------------

    def element(self, tree: Tree, divisors: list[Element] | None = None) -> Element:
        """Return a tree that passed `check_tree` as an element.

        Parameters
        ----------
        tree
            An expression, no relation.
        divisors
            Whatever the expression divides by is added to it.

        Raises
        ------
        MathError
            An unknown symbol, shapes that do not fit, a division by zero, something too large.
        """
        if type(tree) is int:
            return Element(NUMBER if tree else ANY, {(): sp.Integer(tree)} if tree else {})
        kind, *rest = tree
        if kind in ("symbol", "at"):
            return self._symbol(rest[0], rest[1] if kind == "at" else None)
        if kind == "call":
            return self._call(rest[0], rest[1:], divisors)
        first = self.element(rest[0], divisors)
        if kind == "neg":
            return self.scaled(first, sp.Integer(-1))
        if kind == "T":
            return self.transposed(first)
        if kind == "^":
            if not first.is_number:
                raise MathError(f"a power of {self.a(first)} has no meaning; for a vector write x.T*x")
            if rest[1] < 0:
                self._divide_by(first, divisors)
            bits = max((max(abs(n.p), n.q).bit_length() for n in first.number.atoms(sp.Rational)), default=0)
            if bits * abs(rest[1]) > MAX_BITS:
                raise MathError("the numbers in it become too large")
            return self._number(first.number ** rest[1])
        second = self.element(rest[1], divisors)
        if kind == "+":
            return self.added(first, second)
        if kind == "-":
            return self.added(first, self.scaled(second, sp.Integer(-1)))
        if kind == "*":
            return self.product(first, second)
        if not second.is_number:
            raise MathError(f"it divides by {self.a(second)}; only numbers can stand below a fraction")
        self._divide_by(second, divisors)
        return self.scaled(first, 1 / second.number)

    def _divide_by(self, what: Element, divisors: list[Element] | None) -> None:
        if numerator(what.number) == 0:
            raise MathError("it divides by 0")
        if divisors is not None:
            divisors.append(what)

    def _symbol(self, name: str, step: int | None) -> Element:
        if name == "I" and step is None and any(shape[0] == "n" for shape in self._shapes()):
            return Element(SQUARE, {(): sp.Integer(1)})
        symbols = self.theorem.symbols
        if name not in symbols:
            raise MathError(self._unknown(name))
        if symbols[name].timed != (step is not None):
            raise MathError(
                f"{name} needs its step: {name}[t] or {name}[t+1]"
                if step is None
                else f"{name} has no step here: write {name}"
            )
        if step is not None and abs(step) > FAR:
            raise MathError(f"{name}[t{step:+d}] is far away: only steps t-{FAR} to t+{FAR} are allowed here")
        text = name if step is None else f"{name}[t{step:+d}]" if step else f"{name}[t]"
        return self._atom(text, symbols[name].shape)

    def _unknown(self, name: str) -> str:
        """Say what may have been meant by a symbol that does not exist."""
        symbols = self.theorem.symbols
        if name[0] == "d" and name[1:] in symbols:
            return f"unknown symbol {name}; a local derivative is written d(y, x)"
        if name.endswith("T") and name[:-1] in symbols:
            return f"unknown symbol {name}; did you mean {name[:-1]}.T?"
        for at in range(1, len(name)):
            if name[:at] in symbols and name[at:] in symbols:
                return f"unknown symbol {name}; a product needs its `*`: {name[:at]}*{name[at:]}"
        if name in ("tanh", "norm", "abs", "sqrt", "min", *self.theorem.functions):
            return f"{name} is a function, its brackets come first: {name}(…)"
        base, _, index = name.rpartition("_")
        meant = base if base in symbols and index[:1] in ("t", "1", "0") else None
        for near in [meant] if meant else difflib.get_close_matches(name, symbols, 1, 0.5):
            return f"unknown symbol {name}; did you mean {near}{'[t]' if symbols[near].timed else ''}?"
        listed = ", ".join(name for name, symbol in symbols.items() if not symbol.spare)
        return f"unknown symbol {name}; known are {listed}"

    def _shapes(self) -> list[tuple[str, str]]:
        return [symbol.shape for symbol in self.theorem.symbols.values()]

    def _call(self, name: str, trees: list[Tree], divisors: list[Element] | None) -> Element:
        wanted = {"d": 2, "min": 2, "norm": 1, "abs": 1, "tanh": 1, "sqrt": 1}
        wanted |= dict.fromkeys(self.theorem.functions, 1)
        if name not in wanted:
            if name in self.theorem.symbols:
                raise MathError(f"{name} is no function; a step is written {name}[t], a product {name}*(…)")
            near = difflib.get_close_matches(name, wanted, 1)
            raise MathError(f"unknown function {name}{f'; did you mean {near[0]}?' if near else ''}")
        if len(trees) != wanted[name]:
            example = ": d(y, x) is the local derivative of y by x" if name == "d" else ""
            raise MathError(f"{name} takes {wanted[name]}, not {len(trees)}{example}")
        items = [self.element(tree, divisors) for tree in trees]
        if name == "d":
            return self.derivative_atom(*items, trees[1])
        if name == "norm":
            return self.norm(items[0])
        if name in self.theorem.functions:
            return self.function(name, items[0])
        for item in items:
            if not item.is_number:
                raise MathError(f"{name} takes numbers; {self.a(item)} came")
        return self._number(self.of_numbers(name, *(item.number for item in items)))

    # Atoms ----------------------------------------------------------------------------------------------

    def _atom(self, name: str, shape: tuple[str, str]) -> Element:
        if shape == NUMBER:
            return self._number(sp.Symbol(name))
        return Element(shape, {(Letter(name, shape),): sp.Integer(1)})

    def _number(self, value: sp.Expr) -> Element:
        return Element(NUMBER, {(): value} if value != 0 else {})

    def derivative_atom(self, of: Element, by: Element, tree: Tree) -> Element:
        """Return the local derivative d(of, by): a letter of its own, but for d(x, x) = I."""
        plain = [x.terms and next(iter(x.terms.items())) for x in (of, by)]
        if type(tree) is int or tree[0] not in ("symbol", "at") or tree[1] == "I":
            raise MathError("d(y, x) is a derivative by a symbol x")
        if any(not term or len(x.terms) > 1 for term, x in zip(plain, (of, by), strict=True)) or (
            of.is_number and not plain[0][1].is_Symbol
        ):
            raise MathError("d(y, x) takes the symbol y, not a formula: use the formula with `differentiate`")
        for what in (of, by):
            if what.shape[1] != "1":
                raise MathError(f"d(y, x) is for columns and numbers; {self.a(what)} came")
        if show(of) == show(by):
            return self._number(sp.Integer(1)) if of.is_number else Element(SQUARE, {(): sp.Integer(1)})
        return self._atom(f"d({show(of)}, {show(by)})", (of.shape[0], by.shape[0]))

    def norm(self, what: Element) -> Element:
        """Return ‖v‖ as an atom."""
        if "1" not in what.shape or what.is_number:
            hint = " (the size of a number is abs(a))" if what.is_number else ""
            raise MathError(f"norm takes a vector; {self.a(what)} came{hint}")
        return self._number(self._made("norm", what) if what.terms else sp.Integer(0))

    def function(self, name: str, what: Element) -> Element:
        """Return F(v), a vector about which nothing is known."""
        if what.shape != ("n", "1"):
            raise MathError(f"{name} takes a column of n numbers; {self.a(what)} came")
        text = f"{name}({show(self.tidied(what))})"
        self.inside.setdefault(text, (name, (self.tidied(what),)))
        return self._atom(text, ("n", "1"))

    def of_numbers(self, name: str, *values: sp.Expr) -> sp.Expr:
        """Return tanh, |·|, min or √ of numbers; the last three as atoms."""
        values = tuple(self.tidied_number(value) for value in values)
        if name == "tanh":
            if max(size(values[0])) > MAX_INSIDE:
                raise MathError("what stands inside tanh is too large: take smaller steps")
            return Tanh(values[0]) if values[0] != 0 else sp.Integer(0)
        if name == "abs":
            return self._size(values[0])
        if name == "min":
            values = tuple(sorted(values, key=sp.default_sort_key))
            if all(value.is_Rational for value in values):
                return min(values)
        return self._made(name, *(self._number(value) for value in values))

    def _size(self, value: sp.Expr) -> sp.Expr:
        if value.is_Rational:
            return abs(value)
        if isinstance(value, sp.Mul):
            return sp.Mul(*(self._size(part) for part in value.args))
        if isinstance(value, sp.Pow):
            return self._size(value.base) ** value.exp
        value = -value if value.could_extract_minus_sign() else value
        return self._made("abs", self._number(value))

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
        total = Element(shape, {})
        for left, first in a.terms.items():
            for right, second in b.terms.items():
                word, closed = self._closed(left + right)
                total = self.added(total, Element(shape, {word: first * second * closed}))
        return total

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
