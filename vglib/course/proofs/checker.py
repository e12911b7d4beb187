"""The checker's side: a theorem and plain trees in, a report out.

`check` reads the learner's text and judges it; `judge` takes plain trees, from wherever they come. Each step
has to follow symbolically *and* hold in random worlds (`vglib.course.proofs.worlds`).
"""

from __future__ import annotations

import difflib
import itertools
from typing import Any

import numpy as np
import sympy as sp

from vglib.course.proofs import worlds
from vglib.course.proofs.algebra import Algebra
from vglib.course.proofs.elements import MathError, show
from vglib.course.proofs.induction import parts_of_induction
from vglib.course.proofs.reading import MAX_STEPS, parts
from vglib.course.proofs.report import Report, Verdict
from vglib.course.proofs.rules import apply, same_fact
from vglib.course.proofs.theorems import find
from vglib.course.proofs.theory import RULES, Theorem
from vglib.course.proofs.trees import write
from vglib.course.proofs.work import OPEN, Step, Work, Wrong, instances

__all__ = ["judge"]

_SEED, _WORLDS = 20, 3
MAX_WRONG = 6  # after so many wrong steps the others are not looked at
# What SymPy may raise on expressions that nobody writes: no proof passes by it.
_TOO_MUCH = (ArithmeticError, RecursionError, NotImplementedError, sp.polys.polyerrors.BasePolynomialError)
_ALIASES = {
    "assumption": "hypothesis", "given": "hypothesis", "substitution": "substitute",
    "derivative": "differentiate",
    "differentiation": "differentiate", "norm rule": "norm", "norm rules": "norm", "positive": "sign",
    "transposition": "transpose", "transpose of a product": "transpose", "root": "square root",
    "inductive hypothesis": "induction hypothesis", "by induction": "induction", "base case": "algebra",
    "transitivity": "monotone", "transitive": "monotone", "monotonicity": "monotone", "chain": "monotone",
    "submultiplicativity": "norm inequality", "norm inequalities": "norm inequality",
    "absolute": "absolute value", "abs": "absolute value", "linearity": "algebra", "associativity": "algebra",
}  # fmt: skip


def judge(theorem: str, steps: object) -> Report:
    """Judge a proof that comes as plain lists.

    Parameters
    ----------
    theorem
        Its name.
    steps
        A list of ``[tree, rule, uses]``, as `vglib.course.proofs.reading.read` gives it; it is trusted in
        nothing.

    Returns
    -------
    Report

    Raises
    ------
    ValueError
        There is no such theorem. Whatever `steps` holds is no reason to raise.
    """
    judge = _Judge(find(theorem))
    if type(steps) is not list or not 0 < len(steps) <= MAX_STEPS:
        return Report(theorem, (), f"the proof: a list of 1 to {MAX_STEPS} steps is wanted.")
    verdicts = tuple(judge.verdict(number, item) for number, item in enumerate(steps, 1))
    for verdict in verdicts:
        if not verdict.right:
            return Report(theorem, verdicts, f"step {verdict.number}, {verdict.text}: {verdict.why}")
    return Report(theorem, verdicts, judge.unreached(len(verdicts)))


class _Judge:
    """Goes through one proof, step by step."""

    def __init__(self, theorem: Theorem):
        self.theorem = theorem
        self.work = Work(theorem, Algebra(theorem))
        self.drawn: dict[frozenset[int], list[worlds.World]] = {}
        self.wrong: set[int] = set()

    def verdict(self, number: int, item: Any) -> Verdict:
        """Judge one step, and keep it if it is right."""
        text, rule, hangs = "?", "?", False
        try:
            tree, rule, uses = self._parts(item, number)
            text = write(tree)
            hangs = bool(self.wrong if uses is None else self.wrong & set(uses))
            if len(self.wrong) >= MAX_WRONG:
                hangs = True
                raise Wrong("too much before it is wrong; it has not been looked at.")
            rule = self._rule(rule)
            step = self._step(tree, rule, number, uses)
            self._judge(step)
        except (Wrong, MathError, *_TOO_MUCH) as error:
            self.wrong.add(number)
            why = (
                "the checker cannot follow: take smaller steps"
                if isinstance(error, _TOO_MUCH)
                else str(error)
            )
            why = why if why.endswith((".", "?")) else f"{why}."
            # It may be wrong because what it builds on is.
            return Verdict(number, text, rule, None if hangs else False, why)
        self.work.right[number] = step
        return Verdict(number, text, rule, True)

    def _parts(self, item: Any, number: int) -> tuple[Any, str, tuple[int, ...] | None]:
        try:
            tree, rule, uses = parts(item, number)
        except ValueError as error:
            raise Wrong(str(error)) from None
        return tree, rule, None if uses is None else tuple(uses)

    def _rule(self, rule: str) -> str:
        rule = _ALIASES.get(rule, rule)
        listed = ", ".join(self.theorem.rules)
        if rule not in RULES:
            near = difflib.get_close_matches(rule, self.theorem.rules, 1, 0.5)
            raise Wrong(
                f"unknown rule {rule!r}; {f'did you mean {near[0]}?' if near else f'there are {listed}.'}"
            )
        if rule not in self.theorem.rules:
            raise Wrong(f"the rule {rule} is not among those of this theorem: {listed}.")
        return rule

    def _step(self, tree: Any, rule: str, number: int, uses: tuple[int, ...] | None) -> Step:
        made = self.work.made(tree, rule, number)
        return Step(number, tree, rule, made.left, made.right, uses, made.divisors)

    # Judging --------------------------------------------------------------------------------------------

    def _judge(self, step: Step) -> None:
        bad = sorted(self.wrong & set(step.uses or ()))
        if bad:
            raise Wrong(f"it uses step {bad[0]}, which is wrong.")
        if step.rule not in ("definition", "hypothesis"):
            self._check_divisors(step)
        try:
            apply(self.work, step)
        except Wrong as wrong:
            if self.wrong:
                raise  # advice takes time, and only the first wrong step is talked about
            rule = self._other_rule(step)
            raise Wrong(rule or f"{wrong} {self._missing(step)}".rstrip()) from None
        rests = self._rests(step)
        self.work.rests[step.number] = rests
        if not all(worlds.agrees(step.tree, world) for world in self._draws(rests)):
            raise Wrong("for random numbers its two sides differ.")

    def _draws(self, rests: frozenset[int]) -> list[worlds.World]:
        """Return the random worlds in which these hypotheses hold, and no others."""
        if rests not in self.drawn:
            rng = np.random.default_rng((_SEED, *(place % 1000 for place in sorted(rests))))
            self.drawn[rests] = [worlds.draw(self.theorem.name, rests, rng) for _ in range(_WORLDS)]
        return self.drawn[rests]

    def _rests(self, step: Step) -> frozenset[int]:
        rests, used = self.work.rests, self.work.used(step)
        if step.rule == "induction hypothesis":
            return frozenset({OPEN})
        if step.rule == "induction":
            base, later = parts_of_induction(self.work, step)
            return rests[base.number] | rests[later.number] - {OPEN}
        if any(OPEN in rests[one.number] for one in used):
            free = [one for one in used if OPEN not in rests[one.number]]
            used = free if self._passes(step, step.rule, free) else used
        below = [rests[one.number] for one in used]
        own = [
            place
            for place, fact in enumerate(self.theorem.hypotheses)
            if step.rule == "hypothesis" and any(same_fact(self.work, step, tree) for tree in instances(fact))
        ]
        return frozenset(own).union(*below)

    def _check_divisors(self, step: Step) -> None:
        if not step.divisors:
            return
        right = list(self.work.right.values())
        known = self.work.known(right)
        for divisor in step.divisors:
            if 0 not in known.sign(divisor.number):
                continue
            text = show(divisor, 120)
            more = self.work.known(right + self._unstated())
            help_ = "" if 0 in more.sign(divisor.number) else f" See the hypotheses: {self._listed()}."
            raise Wrong(f"it divides by {text}, and no earlier step says that {text} is not 0.{help_}")

    def _listed(self) -> str:
        return ", ".join(fact.text for fact in self.theorem.hypotheses)

    def _unstated(self) -> list[Step]:
        """Return the hypotheses and definitions that no step has stated yet, as steps."""
        facts = [(fact, "hypothesis") for fact in self.theorem.hypotheses]
        facts += [(fact, "definition") for fact in self.theorem.definitions]
        steps = (self.work.made(fact.tree, kind) for fact, kind in facts)
        return [
            step
            for step in steps
            if not any(same_fact(self.work, one, step.tree) for one in self.work.right.values())
        ]

    def _other_rule(self, step: Step) -> str:
        """Say under which other rule a step is right, if there is one."""
        if step.rule.startswith("induction"):
            return ""  # what is wrong with an induction is no matter of names
        for rule in self.theorem.rules:
            # Nobody is told to assume something.
            if rule != "induction hypothesis" and rule != step.rule and self._passes(step, rule):
                return f"the equation is right, but {step.rule} is not its rule; {rule} is."
        return ""

    def _missing(self, step: Step) -> str:
        """Say which steps, hypotheses or definitions would make a step right, if few would."""
        if step.rule in ("definition", "hypothesis", "chain rule", "induction hypothesis"):
            return ""
        used = self.work.used(step)
        unused = [one for one in self.work.right.values() if one not in used]
        pool = unused + self._unstated()
        for count in (1, 2):
            for more in itertools.islice(itertools.combinations(pool, count), 30):
                if self._passes(step, step.rule, used + list(more)):
                    return " ".join(self._needs(one) for one in more)
        return ""

    def _passes(self, step: Step, rule: str, using: list[Step] | None = None) -> bool:
        right = self.work.right if using is None else dict(enumerate(using))
        work = Work(self.theorem, self.work.algebra, right, self.work.rests, advises=False)
        uses = step.uses if using is None else None
        try:
            apply(work, Step(step.number, step.tree, rule, step.left, step.right, uses, step.divisors))
        except (Wrong, MathError):
            return False
        return True

    def _needs(self, fact: Step) -> str:
        if fact.number:
            return f"It needs step {fact.number} ({fact.text}) as well: add its number."
        return f"It needs the {fact.rule} {fact.text}: state it as a step before this one."

    def unreached(self, last: int) -> str:
        """Return what is missing at the end of a proof whose steps are all right."""
        steps = {n: step for n, step in self.work.right.items() if OPEN not in self.work.rests[n]}
        for claim in self.theorem.claims:
            if not any(same_fact(self.work, step, claim.tree) for step in steps.values()):
                if any(same_fact(self.work, step, claim.tree) for step in self.work.right.values()):
                    return (
                        f"all steps are right, but the claim {claim.text} rests on the induction hypothesis, "
                        "which is the claim itself. Close with the rule induction."
                    )
                return f"all steps are right, but none of them is the claim {claim.text}."
        if last not in steps or not any(
            same_fact(self.work, steps[last], claim.tree) for claim in self.theorem.claims
        ):
            return f"all steps are right, but the last one is not the claim {self.theorem.claims[-1].text}."
        return ""
