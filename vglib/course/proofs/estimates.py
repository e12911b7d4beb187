"""The two rules for inequalities: norms of products, and larger for smaller.

A wanted inequality is G ≥ 0. From known ones, K ≥ 0, it follows if G = p₁K₁ + p₂K₂ + … + R with factors p
that are not negative and a rest R that is not. To find them, the first term of G that may be negative has to
be taken away by some K; what p that takes is then fixed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations

import sympy as sp

from vglib.course.proofs.elements import NUMBER, Element, Letter, MathError, Word, show, size
from vglib.course.proofs.known import Known
from vglib.course.proofs.signs import Sign
from vglib.course.proofs.work import SIGNS, Step, Work, Wrong

__all__ = ["monotone", "norm_facts", "norm_inequality"]

MAX_TRIES, MAX_LETTERS = 150, 6
_NOT_NEGATIVE = SIGNS[">="]


@dataclass(frozen=True)
class _Fact:
    """A number that is not negative, or even positive."""

    number: sp.Expr
    positive: bool = False


@dataclass(eq=False)
class _Search:
    """Looks for the factors; remembers the first that would do if only it were known not to be negative."""

    known: Known
    facts: list[_Fact]
    tries: int = MAX_TRIES
    blocked: sp.Expr | None = None
    signs: dict[sp.Expr, Sign] = field(default_factory=dict)

    def reaches(self, goal: sp.Expr, positive: bool) -> bool:
        """Whether goal ≥ 0, or > 0, follows."""
        self.tries -= 1
        if self.tries < 0:
            raise MathError("too many inequalities at once: name the steps that this one uses")
        self.known.algebra.spend(20 + sum(size(goal)))
        goal = sp.expand(goal)
        if self._sign(goal) <= SIGNS[">" if positive else ">="]:
            return True
        terms = sorted(sp.Add.make_args(goal), key=sp.default_sort_key)
        bad = [term for term in terms if not self._sign(term) <= _NOT_NEGATIVE]
        for term in bad[:1]:
            for fact in self.facts:
                for part in sp.Add.make_args(fact.number):
                    factor = term / part
                    signs = self._sign(factor)
                    if not signs <= _NOT_NEGATIVE:
                        if factor.is_polynomial() and not factor.is_Rational and signs != frozenset({-1}):
                            self.blocked = self.blocked or factor
                        continue
                    done = fact.positive and 0 not in signs
                    if self.reaches(goal - factor * fact.number, positive and not done):
                        return True
        return False

    def _sign(self, number: sp.Expr) -> Sign:
        if number not in self.signs:
            self.known.algebra.spend(4)
            self.signs[number] = self.known.sign(number)
        return self.signs[number]


def monotone(work: Work, step: Step) -> None:
    """Let through what follows from earlier inequalities by factors that are not negative, and sums."""
    if step.sign not in (">", ">="):
        raise Wrong("the rule is for inequalities; equals are put for equals with substitute.")
    used = work.used(step)
    if not any(one.sign in (">", ">=") for one in used):
        raise Wrong("it builds on earlier inequalities, and there is none.")
    known = work.known(used)
    facts = [
        _Fact(sp.expand(known.reduced(work.difference(one)).number), one.sign == ">")
        for one in used
        if one.sign in (">", ">=")
    ]
    goal = known.reduced(work.difference(step)).number
    search = _Search(known, [fact for fact in facts if fact.number != 0])
    if search.reaches(goal, step.sign == ">"):
        return
    if work.advises and _Search(known, search.facts).reaches(-goal, step.sign == ">"):
        raise Wrong("it holds the other way round: turn the sign.")
    if search.blocked is not None:
        text = show(search.blocked, 120)
        raise Wrong(f"it multiplies an inequality by {text}, and no step used here says that {text} >= 0.")
    text = work.show(Element(NUMBER, {(): goal}))
    may_be = "0 or negative" if step.sign == ">" else "negative"
    raise Wrong(f"as far as the inequalities used here say, {text} may be {may_be}.")


def norm_inequality(work: Work, step: Step) -> None:
    """Let through ‖AB‖ ≤ ‖A‖‖B‖, with ‖Aᵀ‖ = ‖A‖ and ‖diag(v)‖ = largest(v), for the norms in a step."""
    known = work.known([one for one in work.used(step) if one.sign == "="])
    difference = known.reduced(work.difference(step))
    known.learn(norm_facts(work, difference))
    goal = known.reduced(difference).number
    facts = [_Fact(known.reduced(fact).number) for fact in _splits(work, goal)]
    facts = [fact for fact in facts if fact.number != 0]
    if _Search(known, facts).reaches(goal, step.sign == ">"):
        return
    if work.advises and _Search(known, facts).reaches(-goal, step.sign == ">"):
        raise Wrong(
            "it holds the other way round: the norm of a product is at most the product of the norms, "
            "not at least. Turn the sign."
        )
    text = work.show(Element(NUMBER, {(): goal}))
    may_be = "0 or negative" if step.sign == ">" else "negative"
    raise Wrong(f"as far as norms of products say, {text} may be {may_be}.")


def norm_facts(work: Work, what: Element) -> list[Element]:
    """Return ‖diag(v)‖ − largest(v), which is 0, for each diag(v) that stands in an element."""
    algebra, found = work.algebra, []
    for name in sorted(_letters(work, what)):
        kind, items = algebra.inside.get(name, ("", ()))
        if kind == "diag":
            size_of = algebra.norm(algebra.function("diag", items[0]))
            found.append(work.minus(size_of, algebra.largest(items[0])))
    return found


def _letters(work: Work, what: Element) -> set[str]:
    """Return the names of all letters in an element, those within its atoms included."""
    waiting: list[Element | Word | Letter | sp.Symbol] = [what]
    found: set[str] = set()
    seen: set[sp.Symbol] = set()
    while waiting:
        one = waiting.pop()
        if isinstance(one, Element):
            for word, factor in one.terms.items():
                waiting += [*word, *factor.free_symbols]
        elif isinstance(one, tuple):
            waiting += one
        elif isinstance(one, Letter):
            found.add(one.name)
        elif one not in seen:
            seen.add(one)
            waiting += work.algebra.inside.get(one, ("", ()))[1]
    return found


def _splits(work: Work, goal: sp.Expr) -> Iterator[Element]:
    """Yield ‖A‖‖B‖… − ‖AB…‖ for the norms of products in a number, and all ways to part them."""
    algebra = work.algebra
    for atom in sorted(goal.free_symbols, key=str):
        kind, items = algebra.inside.get(atom, ("", ()))
        if kind != "norm" or len(items[0].terms) != 1:
            continue
        ((word, factor),) = items[0].terms.items()
        if len(word) > MAX_LETTERS:
            raise MathError(f"a product of more than {MAX_LETTERS} factors: take smaller steps")
        of_factor = Element(NUMBER, {(): algebra.of_numbers("abs", factor)})
        for count in range(0 if factor != 1 else 1, len(word)):
            for cuts in combinations(range(1, len(word)), count):
                product = of_factor
                for start, end in zip((0, *cuts), (*cuts, len(word)), strict=True):
                    part = word[start:end]
                    norm = algebra.norm(Element((part[0].shape[0], part[-1].shape[1]), {part: sp.Integer(1)}))
                    product = algebra.product(product, norm)
                yield work.minus(product, Element(NUMBER, {(): atom}))
