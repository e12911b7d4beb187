"""What each rule lets through, and what to say when it does not.

A rule takes a step and what is known from the steps that it uses. It returns nothing, or raises `Wrong` with
a sentence for the learner. Most rules add a few equations that are always true (‖v‖² = vᵀv, for instance)
and ask whether the step follows from those and the steps used.
"""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp

from vglib.course.proofs.algebra import Algebra
from vglib.course.proofs.calculus import chain_rule, differentiate
from vglib.course.proofs.elements import NUMBER, Element, MathError, numerator, show
from vglib.course.proofs.estimates import monotone, norm_facts, norm_inequality
from vglib.course.proofs.induction import induction, induction_hypothesis
from vglib.course.proofs.known import Known
from vglib.course.proofs.trees import Tree, write
from vglib.course.proofs.work import SIGNS, Step, Work, Wrong, instances

__all__ = ["apply", "same_fact"]

_ONE = sp.Integer(1)


def same_fact(work: Work, step: Step, tree: Tree) -> bool:
    """Whether a step says what a relation says, up to the order of its sides and algebra."""
    try:
        other = work.made(tree, "")
        if step.sign != other.sign:
            return False
        differences = [work.difference(step), work.difference(other)]
        ways = (_ONE, -_ONE) if step.sign in ("=", "!=") else (_ONE,)
        return any(
            not _nonzero(work.minus(differences[0], work.algebra.scaled(differences[1], way))) for way in ways
        )
    except MathError:
        return False


def _nonzero(what: Element) -> bool:
    return any(numerator(factor) != 0 for factor in what.terms.values())


def _fact(work: Work, step: Step, kind: str) -> None:
    theorem = work.theorem
    kinds = {"definition": theorem.definitions, "hypothesis": theorem.hypotheses, "claim": theorem.claims}
    for name in (kind, *kinds):
        if any(same_fact(work, step, tree) for fact in kinds[name] for tree in instances(fact)):
            if name == kind:
                return
            if name == "claim":
                more = ""
                if "induction hypothesis" in theorem.rules:
                    more = " What may be assumed of it has the rule induction hypothesis."
                raise Wrong(f"that is the claim itself: it is to be shown, and cannot be assumed.{more}")
            raise Wrong(f"the equation is right, but it is a {name}, not a {kind}.")
    for tree in (tree for fact in kinds[kind] for tree in instances(fact)):
        if tree[0] == step.tree[0] and tree[1] in step.tree[1:]:
            raise Wrong(f"that is not what it says. The {kind} is {write(tree)}.")
    listed = ", ".join(fact.text for fact in kinds[kind]) or "none here"
    if kind == "definition":
        raise Wrong(f"no definition says that. They are: {listed}.")
    raise Wrong(f"nothing of the kind is given. The hypotheses are: {listed}.")


def definition(work: Work, step: Step) -> None:
    """Let through one of the theorem's definitions."""
    _fact(work, step, "definition")


def hypothesis(work: Work, step: Step) -> None:
    """Let through one of the theorem's hypotheses."""
    _fact(work, step, "hypothesis")


def follows(work: Work, step: Step, extra: Callable[[Known], list[Element]] | None = None) -> None:
    """Let a step follow from what it uses; `extra` gives more equations that are always true."""
    used = work.used(step)
    if step.sign != "=":
        sign(work, step, work.known(used))
        return
    # What is always true needs no steps, and is easier to see without them.
    for steps in ([], used) if used else ([],):
        known = work.known(steps)
        if extra:
            known.learn(extra(known))
        rest = known.remainder(work.difference(step))
        if not rest.terms:
            return
    raise Wrong(f"left minus right leaves {work.show(rest)}, and nothing used here makes that 0.")


def substitute(work: Work, step: Step) -> None:
    """Put equals for equals, from earlier steps."""
    if not work.used(step):
        raise Wrong("it puts something in from an earlier step, and there is none.")
    follows(work, step)


def sign(work: Work, step: Step, known: Known | None = None) -> None:
    """Let through a sign, or being other than 0."""
    known = known or work.known(work.used(step))
    if step.sign == "=":
        raise Wrong("the rule is for `> 0`, `>= 0` and `!= 0`.")
    difference = work.difference(step)
    number = difference.number if difference.is_number else work.algebra.norm(difference).number
    wanted = SIGNS[step.sign]
    found = known.sign(number)
    if not found <= wanted:
        may = {-1: "negative", 0: "0", 1: "positive"}
        bad = " or ".join(may[one] for one in sorted(found - wanted, reverse=True))
        text = work.show(Element(NUMBER, {(): number}))
        raise Wrong(f"as far as the steps used here say, {text} may be {bad}.")


def norm(work: Work, step: Step) -> None:
    """Let through ‖v‖² = vᵀv and ‖av‖ = |a|‖v‖ for the norms in the step."""
    algebra = work.algebra

    def extra(known: Known) -> list[Element]:
        found = []
        roots = _atoms(work, step, ("sqrt",))
        for atom in _atoms(work, step, ("norm",)):
            (inside,) = algebra.inside[atom][1]
            number = Element(NUMBER, {(): atom})
            column = inside if inside.shape[1] == "1" else algebra.transposed(inside)
            square = algebra.product(algebra.transposed(column), column)
            found.append(work.minus(algebra.product(number, number), square))
            root = algebra.of_numbers("sqrt", square.number)
            if root in roots:
                found.append(work.minus(number, Element(NUMBER, {(): root})))
            # The vector as it stands, and as the steps used here say it is.
            for vector in (column, known.reduced(column)):
                factor, rest = _common_factor(algebra, vector)
                size = algebra.product(
                    Element(NUMBER, {(): algebra.of_numbers("abs", factor)}), algebra.norm(rest)
                )
                found.append(work.minus(number, size))
        return found

    follows(work, step, extra)


def norms_of_products(work: Work, step: Step) -> None:
    """Let through ‖AB‖ ≤ ‖A‖‖B‖ and what is said of ‖Aᵀ‖ and ‖diag(v)‖."""
    if step.sign in (">", ">="):
        norm_inequality(work, step)
    else:
        follows(work, step, lambda known: norm_facts(work, known.reduced(work.difference(step))))


def _common_factor(algebra: Algebra, vector: Element) -> tuple[sp.Expr, Element]:
    """Write a vector as a number times another one, if one number is in all its coefficients."""
    vector = algebra.tidied(vector)
    if not vector.terms:
        return sp.Integer(0), vector
    factor = vector.terms[min(vector.terms)]
    rest = {word: algebra.tidied_number(other / factor) for word, other in vector.terms.items()}
    if not all(other.is_Rational for other in rest.values()):
        return _ONE, vector
    return factor, Element(vector.shape, rest)


def _atoms(work: Work, step: Step, names: tuple[str, ...]) -> list[sp.Symbol]:
    """Return the atoms with an inside that stand in a step."""
    factors = [*step.left.terms.values(), *step.right.terms.values()]
    atoms = {atom for factor in factors for atom in factor.free_symbols if atom in work.algebra.inside}
    return sorted((a for a in atoms if work.algebra.inside[a][0] in names), key=str)


def absolute_value(work: Work, step: Step) -> None:
    """Let through |a| = a where a ≥ 0 is known."""
    algebra = work.algebra
    unknown: list[str] = []

    def extra(known: Known) -> list[Element]:
        found = []
        unknown.clear()
        for atom in _atoms(work, step, ("abs",)):
            number = algebra.inside[atom][1][0]
            signs = known.sign(number.number)
            if signs <= {0, 1} or signs <= {-1, 0}:
                way = _ONE if signs <= {0, 1} else -_ONE
                found.append(work.minus(Element(NUMBER, {(): atom}), algebra.scaled(number, way)))
            else:
                unknown.append(show(number))
        return found

    try:
        follows(work, step, extra)
    except Wrong as wrong:
        if unknown:
            name = unknown[0]
            minus = f"-({name})" if " " in name else f"-{name}"
            raise Wrong(f"no step used here says that {name} >= 0, and else |{name}| is {minus}.") from wrong
        raise


def square_root(work: Work, step: Step) -> None:
    """Make equal what has equal squares and is not negative."""
    known = work.known(work.used(step))
    if step.sign != "=" or not work.difference(step).is_number:
        raise Wrong("the rule is for an equation between two numbers.")
    for side in (step.left, step.right):
        if not known.sign(side.number) <= {0, 1}:
            raise Wrong(f"{show(side)} may be negative; then equal squares do not make equal numbers.")
    squares = [work.algebra.product(side, side) for side in (step.left, step.right)]
    rest = known.remainder(work.minus(*squares))
    if rest.terms:
        raise Wrong(
            f"the squares of the two sides differ by {work.show(rest)}, as far as the steps used here say."
        )


def apply(work: Work, step: Step) -> None:
    """Check one step under its rule.

    Raises
    ------
    Wrong
        It does not follow.
    MathError
        It has no meaning.
    """
    rules: dict[str, Callable[[Work, Step], None]] = {
        "definition": definition,
        "hypothesis": hypothesis,
        "chain rule": chain_rule,
        "differentiate": differentiate,
        "substitute": substitute,
        "algebra": follows,
        "transpose": follows,
        "norm": norm,
        "sign": sign,
        "absolute value": absolute_value,
        "norm inequality": norms_of_products,
        "monotone": monotone,
        "induction hypothesis": induction_hypothesis,
        "induction": induction,
        "square root": square_root,
    }
    rules[step.rule](work, step)
