"""Equals for equals: a letter, an atom or a word is replaced wherever it stands, inside other atoms, too."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sympy as sp

from vglib.course.proofs.arithmetic import Arithmetic
from vglib.course.proofs.elements import NUMBER, Element, Letter, MathError, Word

__all__ = ["Replacing", "Rule", "same"]


@dataclass(frozen=True, eq=False)
class Rule:
    """Replace `what` by `by`: an atom, a letter or a word of letters."""

    what: sp.Symbol | Letter | Word
    by: Element

    @property
    def left(self) -> Element:
        """What is replaced, as an element."""
        if isinstance(self.what, sp.Symbol):
            return Element(NUMBER, {(): self.what})
        word = (self.what,) if isinstance(self.what, Letter) else self.what
        return Element((word[0].shape[0], word[-1].shape[1]), {word: sp.Integer(1)})


def same(a: Element, b: Element) -> bool:
    """Whether two elements are written alike."""
    return a.terms.keys() == b.terms.keys() and all(a.terms[word] == b.terms[word] for word in a.terms)


class Replacing:
    """Replaces, and finds what stands inside what.

    Parameters
    ----------
    algebra
        Of the proof.
    """

    def __init__(self, algebra: Arithmetic):
        self.algebra = algebra

    def put_in(self, what: Element, rules: list[Rule]) -> Element:
        """Return an element after all replacements."""
        for _ in range(4):
            before = what
            for rule in rules:
                what = self._replaced(what, rule)
            if same(before, what):
                break
        return what

    def _replaced(self, what: Element, rule: Rule) -> Element:
        self.algebra.spend(1 + len(what.terms))
        total = Element(what.shape, {})
        for word, factor in what.terms.items():
            number = self._in_number(factor, rule)
            total = self.algebra.added(
                total, self.algebra.scaled(self._in_word(word, what.shape, rule), number)
            )
        return total

    def _in_word(self, word: Word, shape: tuple[str, str], rule: Rule) -> Element:
        if not word:
            return Element(shape, {(): sp.Integer(1)})
        result: Element | None = None
        at = 0
        while at < len(word):
            if isinstance(rule.what, tuple) and word[at : at + len(rule.what)] == rule.what:
                part, at = rule.by, at + len(rule.what)
            else:
                part, at = self._in_letter(word[at], rule), at + 1
            result = part if result is None else self.algebra.product(result, part)
        return Element(shape, result.terms) if result.terms else Element(shape, {})

    def _in_letter(self, letter: Letter, rule: Rule) -> Element:
        if rule.what == letter.upright:
            return self.algebra.transposed(rule.by) if letter.turned else rule.by
        inside = self.algebra.inside.get(letter.name)
        if inside:
            old = inside[1][0]
            new = self._replaced(old, rule)
            if not same(old, new):
                made = self.algebra.function(inside[0], new)
                return self.algebra.transposed(made) if letter.turned else made
        return Element(letter.shape, {(letter,): sp.Integer(1)})

    def _in_number(self, number: sp.Expr, rule: Rule) -> sp.Expr:
        changes = {}
        for atom in number.free_symbols:
            if atom == rule.what:
                changes[atom] = rule.by.number
            elif atom in self.algebra.inside:
                name, items = self.algebra.inside[atom]
                new = self._in_atom(name, items, rule)
                if new is not None:
                    changes[atom] = new
        if not changes:
            return number
        after = number.xreplace(changes)
        if after.has(sp.zoo, sp.nan, sp.oo):
            raise MathError("it divides by 0")
        return after

    def _in_atom(self, name: str, items: tuple[Element | Word, ...], rule: Rule) -> sp.Expr | None:
        if name == "word":
            return self._in_word(items[0], NUMBER, rule).number
        new = [self._replaced(item, rule) for item in items]
        if all(map(same, items, new)):
            return None
        if name == "norm":
            return self.algebra.norm(new[0]).number
        if name == "largest":
            return self.algebra.largest(new[0]).number
        return self.algebra.of_numbers(name, *(item.number for item in new))

    def within(self, what: object, places: Iterable[object]) -> bool:
        """Whether a letter, atom or word stands inside one of some expressions or letters, at any depth."""
        waiting, seen = list(places), set()
        while waiting:
            place = waiting.pop()
            if isinstance(place, Element):
                waiting += place.terms.values()
                waiting += place.terms.keys()
            elif isinstance(place, tuple):
                if isinstance(what, tuple) and _find(place, what) is not None:
                    return True
                waiting += place
            elif isinstance(place, sp.Symbol | Letter):
                upright = place.upright if isinstance(place, Letter) else place
                key = upright.name if isinstance(upright, Letter) else upright
                if upright == what:
                    return True
                if key in self.algebra.inside and key not in seen:
                    seen.add(key)
                    waiting += self.algebra.inside[key][1]
            else:
                waiting += place.free_symbols
        return False


def _find(word: Word, part: Word) -> int | None:
    return next((at for at in range(len(word)) if word[at : at + len(part)] == part), None)
