"""What follows from a few equations and signs, and from nothing else.

Each equation is solved for a letter, an atom or a word that can be isolated without dividing by what may be
0; that is then replaced everywhere. What is left is compared as polynomials. So a step holds for *all*
values that satisfy the equations it uses, or it does not pass: no numbers are involved here, and no
hypothesis gets in unasked.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

import sympy as sp

from vglib.course.proofs.algebra import Algebra
from vglib.course.proofs.elements import NUMBER, Element, Letter, MathError, Word, numerator
from vglib.course.proofs.signs import Sign, Signs

__all__ = ["Known"]

_SEED, _POINTS = 0, 2
MAX_ROUNDS, MAX_FACTORED, MAX_DIVIDED = 120, 30, 100


@dataclass(frozen=True, eq=False)
class _Rule:
    """Replace `what` by `by`: an atom, a letter or a word of letters."""

    what: sp.Symbol | Letter | Word
    by: Element


class Known:
    """The consequences of some equations and signs.

    Parameters
    ----------
    algebra
        Of the theorem.
    equations
        Each as left − right.
    signs
        Of each a number (or a vector) and the signs that it may have (of a vector, of its norm).
    """

    def __init__(
        self, algebra: Algebra, equations: Iterable[Element] = (), signs: Iterable[tuple[Element, Sign]] = ()
    ):
        self.algebra = algebra
        self.rules: list[_Rule] = []
        # Equations that nothing can be isolated in: these numbers, and these sums of words, are 0.
        self.left: list[sp.Expr] = []
        self.sums: list[Element] = []
        self.signs = [(what, sign) for what, sign in signs]
        self.learn(equations)

    # Solving --------------------------------------------------------------------------------------------

    def learn(self, equations: Iterable[Element]) -> None:
        """Add equations, each as left − right."""
        waiting, rounds = list(equations), 0
        while waiting:
            rounds += 1
            if rounds > MAX_ROUNDS:
                raise MathError("too many equations at once: name the steps that this one uses")
            equation = self.reduced(waiting.pop(0))
            if all(numerator(factor) == 0 for factor in equation.terms.values()):
                continue
            rules = self._number_rule(equation) if equation.is_number else self._word_rules(equation)
            if not rules:
                if equation.is_number:
                    self.left.append(numerator(equation.number))
                else:
                    self.sums.append(equation)
                continue
            waiting += [Element(NUMBER, {(): number}) for number in self.left] + self.sums
            self.left, self.sums = [], []
            kept = []
            for old in self.rules:
                # An old rule whose left side changes is an equation once more.
                before = self._left_side(old)
                after = self._with(before, rules)
                if self._same(before, after):
                    kept.append(_Rule(old.what, self._with(old.by, rules)))
                else:
                    waiting.append(self.algebra.added(after, self.algebra.scaled(old.by, sp.Integer(-1))))
            self.rules = kept + rules

    def _left_side(self, rule: _Rule) -> Element:
        if isinstance(rule.what, sp.Symbol):
            return Element(NUMBER, {(): rule.what})
        word = (rule.what,) if isinstance(rule.what, Letter) else rule.what
        return Element((word[0].shape[0], word[-1].shape[1]), {word: sp.Integer(1)})

    def _same(self, a: Element, b: Element) -> bool:
        return a.terms.keys() == b.terms.keys() and all(a.terms[word] == b.terms[word] for word in a.terms)

    def _number_rule(self, equation: Element) -> list[_Rule]:
        """Isolate an atom in number = 0."""
        top = numerator(equation.number)
        if not top.free_symbols:
            raise MathError("the steps that it uses contradict one another")
        for _ in range(2):
            plain = sorted(top.free_symbols, key=lambda s: (s in self.algebra.inside, len(s.name), s.name))
            for atom in plain:
                slope, rest = top.coeff(atom, 1), top.coeff(atom, 0)
                if sp.expand(top - slope * atom - rest) != 0 or self._within(atom, [slope, rest]):
                    continue
                if 0 not in self.sign(slope):
                    return [_Rule(atom, Element(NUMBER, {(): -rest / slope}))]
            # p·q² = 0 and p ≠ 0 give q = 0.
            if len(sp.Add.make_args(top)) > MAX_FACTORED:
                break
            self.algebra.spend(20 + 10 * len(sp.Add.make_args(top)))
            factors = [factor for factor, _ in sp.factor_list(top)[1]]
            smaller = sp.expand(sp.Mul(*(factor for factor in factors if 0 in self._cancels(factor))))
            if not smaller.free_symbols or sp.expand(smaller - top) == 0:
                break
            top = smaller
        return []

    def _cancels(self, factor: sp.Expr) -> Sign:
        """Return the signs of a factor; of a sum only if a step says so, or p² = q² would give p = q."""
        return self._signs().stated(factor) if factor.is_Add else self.sign(factor)

    def _word_rules(self, equation: Element) -> list[_Rule]:
        """Isolate a letter, or else the longest word, in a sum of words = 0."""
        algebra = self.algebra
        terms = {word: factor for word, factor in equation.terms.items() if numerator(factor) != 0}
        for word in sorted(terms, key=lambda w: (len(w), [len(x.name) for x in w], w)):
            if not word or 0 in self.sign(terms[word]):
                continue
            others = Element(equation.shape, {w: f for w, f in terms.items() if w != word})
            solved = algebra.scaled(others, -1 / terms[word])
            inside = {letter.upright for other in others.terms for letter in other}
            if len(word) == 1:
                letter = word[0]
                if letter.upright in inside or self._within(letter.upright, [*terms.values(), *inside]):
                    continue
                return [_Rule(letter.upright, algebra.transposed(solved) if letter.turned else solved)]
        longest = max(terms, key=lambda w: (len(w), w))
        if len(longest) < 2 or 0 in self.sign(terms[longest]):
            return []
        others = Element(equation.shape, {w: f for w, f in terms.items() if w != longest})
        if any(len(w) == len(longest) for w in others.terms) or self._within(longest, [*terms.values()]):
            return []
        solved = algebra.scaled(others, -1 / terms[longest])
        turned = tuple(x.T for x in reversed(longest))
        return [_Rule(longest, solved)] + [_Rule(turned, algebra.transposed(solved))] * (turned != longest)

    def _within(self, what: object, places: Iterable[object]) -> bool:
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

    # Replacing ------------------------------------------------------------------------------------------

    def reduced(self, what: Element) -> Element:
        """Return what an element becomes once everything known is put in."""
        return self._with(what, self.rules)

    def _with(self, what: Element, rules: list[_Rule]) -> Element:
        for _ in range(4):
            before = what
            for rule in rules:
                what = self._replaced(what, rule)
            if self._same(before, what):
                break
        return what

    def _replaced(self, what: Element, rule: _Rule) -> Element:
        self.algebra.spend(1 + len(what.terms))
        total = Element(what.shape, {})
        for word, factor in what.terms.items():
            number = self._in_number(factor, rule)
            total = self.algebra.added(
                total, self.algebra.scaled(self._in_word(word, what.shape, rule), number)
            )
        return total

    def _in_word(self, word: Word, shape: tuple[str, str], rule: _Rule) -> Element:
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

    def _in_letter(self, letter: Letter, rule: _Rule) -> Element:
        if rule.what == letter.upright:
            return self.algebra.transposed(rule.by) if letter.turned else rule.by
        inside = self.algebra.inside.get(letter.name)
        if inside:
            old = inside[1][0]
            new = self._replaced(old, rule)
            if not self._same(old, new):
                made = self.algebra.function(inside[0], new)
                return self.algebra.transposed(made) if letter.turned else made
        return Element(letter.shape, {(letter,): sp.Integer(1)})

    def _in_number(self, number: sp.Expr, rule: _Rule) -> sp.Expr:
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

    def _in_atom(self, name: str, items: tuple[Element | Word, ...], rule: _Rule) -> sp.Expr | None:
        if name == "word":
            return self._in_word(items[0], NUMBER, rule).number
        new = [self._replaced(item, rule) for item in items]
        if all(map(self._same, items, new)):
            return None
        if name == "norm":
            return self.algebra.norm(new[0]).number
        return self.algebra.of_numbers(name, *(item.number for item in new))

    # Asking ---------------------------------------------------------------------------------------------

    def remainder(self, difference: Element) -> Element:
        """Return what is left of left − right; no terms if the equation follows."""
        reduced = self.reduced(difference)
        for equation in [None, *self.sums]:
            terms = self._left_over(reduced if equation is None else self._less(reduced, equation))
            if not terms:
                break
        else:
            terms = self._left_over(reduced)
        if not terms and not self.left and not self.sums:
            self._try(reduced)
        return Element(reduced.shape, terms)

    def _try(self, reduced: Element) -> None:
        """Look at random numbers, too: whatever the equations leave open takes any value.

        Raises
        ------
        MathError
            What is 0 to SymPy is not 0 there.
        """
        numbers = random.Random(_SEED)  # noqa: S311 - no secret
        for factor in reduced.terms.values():
            free = sorted(factor.free_symbols, key=str)
            for _ in range(_POINTS):
                point = {atom: sp.Rational(numbers.randint(-99, 99), numbers.randint(2, 99)) for atom in free}
                value = factor.xreplace(point)
                if not value.has(sp.zoo, sp.nan) and abs(sp.N(value, 40)) > 1e-20:
                    raise MathError("its two sides differ for random numbers")

    def _left_over(self, what: Element) -> dict[Word, sp.Expr]:
        terms = {}
        for word, factor in what.terms.items():
            top = numerator(factor)
            self.algebra.spend(len(sp.Add.make_args(top)) * (1 + len(self.left)))
            if top != 0 and self.left and len(sp.Add.make_args(top)) <= MAX_DIVIDED:
                top = sp.reduced(top, self.left)[1]
            if top != 0:
                terms[word] = factor
        return terms

    def _less(self, what: Element, equation: Element) -> Element:
        """Take off a multiple of an equation, so that one word goes."""
        for word, factor in equation.terms.items():
            if word in what.terms and 0 not in self.sign(factor):
                ratio = -what.terms[word] / factor
                return self.algebra.added(what, self.algebra.scaled(equation, ratio))
        return what

    def holds(self, difference: Element) -> bool:
        """Whether left − right = 0 follows."""
        return not self.remainder(difference).terms

    def sign(self, number: sp.Expr) -> Sign:
        """Return the signs that a number may have, as far as is known."""
        number = self.reduced(Element(NUMBER, {(): number})).number if self.rules else number
        return self._signs().of(number)

    def _signs(self) -> Signs:
        return Signs(self.algebra, [(self.reduced(what), sign) for what, sign in self.signs])


def _find(word: Word, part: Word) -> int | None:
    return next((at for at in range(len(word)) if word[at : at + len(part)] == part), None)
