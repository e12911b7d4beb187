"""What follows from a few equations and signs, and from nothing else.

Each equation is solved for a letter, an atom or a word that can be isolated without dividing by what may be
0; that is then replaced everywhere. What is left is compared as polynomials. So a step holds for *all*
values that satisfy the equations it uses, or it does not pass: no numbers are involved here, and no
hypothesis gets in unasked.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

import sympy as sp

from vglib.course.proofs.arithmetic import Arithmetic
from vglib.course.proofs.elements import NUMBER, Element, MathError, Word, numerator
from vglib.course.proofs.replacing import Replacing, Rule, same
from vglib.course.proofs.signs import Sign, Signs

__all__ = ["Known"]

_SEED, _POINTS = 0, 2
MAX_ROUNDS, MAX_FACTORED, MAX_DIVIDED = 120, 30, 100


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
        self,
        algebra: Arithmetic,
        equations: Iterable[Element] = (),
        signs: Iterable[tuple[Element, Sign]] = (),
    ):
        self.algebra = algebra
        self.replacing = Replacing(algebra)
        self.rules: list[Rule] = []
        # Equations that nothing can be isolated in: these numbers, and these sums of words, are 0.
        self.left: list[sp.Expr] = []
        self.sums: list[Element] = []
        self.signs = [(what, sign) for what, sign in signs]
        self._reduced_signs: tuple[list[Rule], Signs] | None = None
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
                before = old.left
                after = self.replacing.put_in(before, rules)
                if same(before, after):
                    kept.append(Rule(old.what, self.replacing.put_in(old.by, rules)))
                else:
                    waiting.append(self.algebra.added(after, self.algebra.scaled(old.by, sp.Integer(-1))))
            self.rules = kept + rules

    def _number_rule(self, equation: Element) -> list[Rule]:
        """Isolate an atom in number = 0."""
        top = numerator(equation.number)
        if not top.free_symbols:
            raise MathError("the steps that it uses contradict one another")
        for _ in range(2):
            plain = sorted(top.free_symbols, key=lambda s: (s in self.algebra.inside, len(s.name), s.name))
            for atom in plain:
                slope, rest = top.coeff(atom, 1), top.coeff(atom, 0)
                if sp.expand(top - slope * atom - rest) != 0 or self.replacing.within(atom, [slope, rest]):
                    continue
                if 0 not in self.sign(slope):
                    return [Rule(atom, Element(NUMBER, {(): -rest / slope}))]
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

    def _word_rules(self, equation: Element) -> list[Rule]:
        """Isolate a letter, or else the longest word, in a sum of words = 0."""
        algebra, within = self.algebra, self.replacing.within
        terms = {word: factor for word, factor in equation.terms.items() if numerator(factor) != 0}
        for word in sorted(terms, key=lambda w: (len(w), [len(x.name) for x in w], w)):
            if not word or 0 in self.sign(terms[word]):
                continue
            others = Element(equation.shape, {w: f for w, f in terms.items() if w != word})
            solved = algebra.scaled(others, -1 / terms[word])
            inside = {letter.upright for other in others.terms for letter in other}
            if len(word) == 1:
                letter = word[0]
                if letter.upright in inside or within(letter.upright, [*terms.values(), *inside]):
                    continue
                return [Rule(letter.upright, algebra.transposed(solved) if letter.turned else solved)]
        longest = max(terms, key=lambda w: (len(w), w))
        if len(longest) < 2 or 0 in self.sign(terms[longest]):
            return []
        others = Element(equation.shape, {w: f for w, f in terms.items() if w != longest})
        if any(len(w) == len(longest) for w in others.terms) or within(longest, [*terms.values()]):
            return []
        solved = algebra.scaled(others, -1 / terms[longest])
        turned = tuple(x.T for x in reversed(longest))
        return [Rule(longest, solved)] + [Rule(turned, algebra.transposed(solved))] * (turned != longest)

    # Asking ---------------------------------------------------------------------------------------------

    def reduced(self, what: Element) -> Element:
        """Return what an element becomes once everything known is put in."""
        return self.replacing.put_in(what, self.rules)

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

    def sign(self, number: sp.Expr) -> Sign:
        """Return the signs that a number may have, as far as is known."""
        number = self.reduced(Element(NUMBER, {(): number})).number if self.rules else number
        return self._signs().of(number)

    def _signs(self) -> Signs:
        if self._reduced_signs is None or self._reduced_signs[0] is not self.rules:
            signs = Signs(self.algebra, [(self.reduced(what), sign) for what, sign in self.signs])
            self._reduced_signs = self.rules, signs
        return self._reduced_signs[1]
