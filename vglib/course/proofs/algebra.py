"""From plain trees to elements: the symbols and functions of one theorem.

The tree of a learner's step gets its meaning here, or a sentence that says why it has none.
"""

from __future__ import annotations

import difflib

import sympy as sp

from vglib.course.proofs.arithmetic import Arithmetic
from vglib.course.proofs.elements import ANY, MAX_BITS, NUMBER, SQUARE, Element, MathError, numerator, show
from vglib.course.proofs.theory import Theorem
from vglib.course.proofs.trees import Tree, write

__all__ = ["Algebra"]

FAR = 2  # steps from t that a proof may speak of


class Algebra(Arithmetic):
    """The mathematics of one theorem: its letters, its atoms, and what they are made of.

    Parameters
    ----------
    theorem
        Gives symbols, shapes and functions.
    """

    def __init__(self, theorem: Theorem):
        super().__init__()
        self.theorem = theorem
        self.matrix_norms = "norm inequality" in theorem.rules

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
        if kind in ("symbol", "at", "step", "start"):
            return self._symbol(kind, *rest)
        if kind == "call":
            return self._call(rest[0], rest[1:], divisors)
        first = self.element(rest[0], divisors)
        if kind == "neg":
            return self.scaled(first, sp.Integer(-1))
        if kind == "T":
            return self.transposed(first)
        if kind == "raise":
            return self._raised(first, rest[1])
        if kind == "^":
            if not first.is_number:
                raise MathError(f"a power of {self.a(first)} has no meaning; for a vector write x.T*x")
            if rest[1] < 0:
                self._divide_by(first, divisors)
            bits = max((max(abs(n.p), n.q).bit_length() for n in first.number.atoms(sp.Rational)), default=0)
            if bits * abs(rest[1]) > MAX_BITS:
                raise MathError("the numbers in it become too large")
            return self.as_number(first.number ** rest[1])
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

    def _raised(self, base: Element, more: int) -> Element:
        """Return the power of q + more."""
        if self.theorem.counts != "q":
            raise MathError("there is no q here that could be an exponent")
        if not base.is_number:
            raise MathError(f"a power of {self.a(base)} has no meaning here; take that of its norm")
        value = self.tidied_number(base.number)
        return self.as_number(self.of_numbers("power", value) * value**more)

    def _divide_by(self, what: Element, divisors: list[Element] | None) -> None:
        if numerator(what.number) == 0:
            raise MathError("it divides by 0")
        if divisors is not None:
            divisors.append(what)

    def _symbol(self, kind: str, name: str, step: int = 0) -> Element:
        if name == "I" and kind == "symbol" and any(shape[0] == "n" for shape in self._shapes()):
            return Element(SQUARE, {(): sp.Integer(1)})
        symbols = self.theorem.symbols
        if name not in symbols:
            raise MathError(self._unknown(name))
        counts = self.theorem.counts
        if symbols[name].timed != (kind != "symbol"):
            raise MathError(
                f"{name} needs its step: {name}[{counts}] or {name}[{counts}+1]"
                if kind == "symbol"
                else f"{name} has no step here: write {name}"
            )
        text = write([kind, name] if kind in ("symbol", "start") else [kind, name, step])
        if kind != "symbol" and (kind == "at") != (counts == "t"):
            start = f" (and {name}[0])" if counts == "q" else ""
            raise MathError(f"{text} has no meaning here: write {name}[{counts}], {name}[{counts}+1]{start}")
        if abs(step) > FAR:
            first = f"t-{FAR}" if counts == "t" else "q"
            raise MathError(f"{text} is far away: only steps {first} to {counts}+{FAR} are allowed here")
        return self.atom(text, symbols[name].shape)

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
        if name in ("tanh", "sigma", "norm", "abs", "sqrt", "min", *self.theorem.functions):
            return f"{name} is a function, its brackets come first: {name}(…)"
        step = f"[{self.theorem.counts}]"
        base, _, index = name.rpartition("_")
        meant = base if base in symbols and index[:1] in ("t", "q", "1", "0") else None
        for near in [meant] if meant else difflib.get_close_matches(name, symbols, 1, 0.5):
            return f"unknown symbol {name}; did you mean {near}{step if symbols[near].timed else ''}?"
        listed = ", ".join(name for name, symbol in symbols.items() if not symbol.spare)
        return f"unknown symbol {name}; known are {listed}"

    def _shapes(self) -> list[tuple[str, str]]:
        return [symbol.shape for symbol in self.theorem.symbols.values()]

    def _call(self, name: str, trees: list[Tree], divisors: list[Element] | None) -> Element:
        wanted = {"d": 2, "min": 2, "norm": 1, "abs": 1, "tanh": 1, "sigma": 1, "sqrt": 1}
        wanted |= dict.fromkeys((*self.theorem.functions, *(["diag", "largest"] * self.matrix_norms)), 1)
        if name not in wanted:
            if name in self.theorem.symbols:
                step = f"{name}[{self.theorem.counts}]"
                raise MathError(f"{name} is no function; a step is written {step}, a product {name}*(…)")
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
        if name == "largest":
            return self.largest(items[0])
        if name in ("diag", *self.theorem.functions):
            return self.function(name, items[0])
        for item in items:
            if not item.is_number:
                raise MathError(f"{name} takes numbers; {self.a(item)} came")
        return self.as_number(self.of_numbers(name, *(item.number for item in items)))

    def derivative_atom(self, of: Element, by: Element, tree: Tree) -> Element:
        """Return the local derivative d(of, by): a letter of its own, but for d(x, x) = I."""
        plain = [x.terms and next(iter(x.terms.items())) for x in (of, by)]
        if type(tree) is int or tree[0] not in ("symbol", "at", "step", "start") or tree[1] == "I":
            raise MathError("d(y, x) is a derivative by a symbol x")
        if any(not term or len(x.terms) > 1 for term, x in zip(plain, (of, by), strict=True)) or (
            of.is_number and not plain[0][1].is_Symbol
        ):
            raise MathError("d(y, x) takes the symbol y, not a formula: use the formula with `differentiate`")
        for what in (of, by):
            if what.shape[1] != "1":
                raise MathError(f"d(y, x) is for columns and numbers; {self.a(what)} came")
        if show(of) == show(by):
            return self.as_number(sp.Integer(1)) if of.is_number else Element(SQUARE, {(): sp.Integer(1)})
        return self.atom(f"d({show(of)}, {show(by)})", (of.shape[0], by.shape[0]))
