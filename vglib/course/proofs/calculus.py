"""The two rules of differentiation: the sum over all readers, and the local derivative of a definition."""

from __future__ import annotations

import sympy as sp

from vglib.course.proofs.elements import NUMBER, SQUARE, Element, Letter, MathError, Word, show
from vglib.course.proofs.known import Known
from vglib.course.proofs.trees import Tree, write
from vglib.course.proofs.work import Step, Work, Wrong, instances

__all__ = ["chain_rule", "differentiate"]

_COUNT = {1: "one term", 2: "two terms", 3: "three terms", 4: "four terms", 5: "five terms"}


def chain_rule(work: Work, step: Step) -> None:
    """Let through a sum over all readers, with local derivatives as d(…) or written out."""
    bar, other = _alone(work, step)
    _, name, *at = bar
    quantity = [bar[0], name.removesuffix("_bar"), *at]
    reads = work.theorem.readers.get(quantity[1])
    if reads is None:
        listed = ", ".join(f"{read}_bar" for read in work.theorem.readers)
        raise Wrong(
            f"what reads {write(quantity)} is not listed, so {write(bar)} stays as it is. "
            f"The rule is for {listed}."
        )
    readers = [["at", read, at[0] + by] if at else ["symbol", read] for read, by in reads]
    terms = [["*", _bar(reader), ["call", "d", reader, quantity]] for reader in readers]
    expected = terms[0]
    for term in terms[1:]:
        expected = ["+", expected, term]
    wanted = work.algebra.element(expected)
    if not Known(work.algebra).remainder(work.minus(other, wanted)).terms:
        return
    local = [
        equation
        for reader in readers
        if (found := _derivative(work, reader, quantity)) is not None
        for equation in (
            work.minus(work.algebra.element(["call", "d", reader, quantity]), found),
            *_in_its_letter(work, reader),
        )
    ]
    rest = Known(work.algebra, local).remainder(work.minus(other, wanted))
    if rest.terms:
        raise Wrong(_why(work, other, quantity, readers, terms, rest))


def _alone(work: Work, step: Step) -> tuple[Tree, Element]:
    """Find the total derivative that stands alone on one side; return it and the other side."""
    for tree, other in ((step.tree[1], step.right), (step.tree[2], step.left)):
        if (
            type(tree) is list
            and tree[0] in ("symbol", "at")
            and tree[1].endswith("_bar")
            and step.sign == "="
        ):
            return tree, other
    name = next(iter(work.theorem.readers))
    text = f"{name}_bar[t]" if work.theorem.symbols[name].timed else f"{name}_bar"
    raise Wrong(f"a total derivative has to stand alone on one side: {text} = …")


def _bar(tree: Tree) -> Tree:
    return [tree[0], f"{tree[1]}_bar", *tree[2:]]


def _why(
    work: Work, other: Element, quantity: Tree, readers: list[Tree], terms: list[Tree], rest: Element
) -> str:
    """Say what is wrong with a sum over readers."""
    seen = {str(x) for word, factor in other.terms.items() for x in (*word, *factor.free_symbols)}
    x = write(quantity)
    for reader in readers:
        if (turned := f"d({x}, {write(reader)})") in seen:
            return f"{turned} is the wrong way round: the reader comes first, d({write(reader)}, {x})."
    listed = " and ".join([", ".join(map(write, readers[:-1])), write(readers[-1])][len(readers) < 2 :])
    count = f"{x} is read by {listed}, so the sum has {_COUNT[len(readers)]}."
    bars = {write(_bar(reader)) for reader in readers}
    extra = sorted(text for text in seen if "_bar" in text and not text.startswith("d(") and text not in bars)
    if extra:
        return f"{count} {extra[0]} does not belong there. {work.theorem.elsewhere}"
    missing = [term for reader, term in zip(readers, terms, strict=True) if write(_bar(reader)) not in seen]
    if missing:
        text = " and ".join(write(term) for term in missing)
        later = " If it is 0, a later step has to show it." if len(readers) > 1 else ""
        return f"{count} Missing: {text}.{later}"
    return (
        f"it should say {x.split('[')[0]}_bar{x[len(quantity[1]) :]} = {' + '.join(map(write, terms))}; "
        f"left minus right leaves {show(work.algebra.tidied(rest), 120)}."
    )


def differentiate(work: Work, step: Step) -> None:
    """Let through a local derivative, from the definition of what is differentiated."""
    of, by, other = _derivative_alone(step)
    known = work.known(work.used(step))
    if of == by:
        found = work.algebra.element(["call", "d", of, by])  # I, or 1
    else:
        found = _derivative(work, of, by)
        if found is None:
            found = _from_hypothesis(work, step, of, by)
        slope = work.algebra.element(["call", "d", of, by])
        known.learn(
            [work.minus(slope, found), *_in_its_letter(work, of), *_for_all_values(work, step, of, by)]
        )
    if known.remainder(work.minus(other, found)).terms:
        raise Wrong(
            f"with all else held fixed, the derivative of {write(of)} by {write(by)} is "
            f"{work.in_letters(show(found))}, "
            f"not {show(other, 120)}."
        )


def _derivative_alone(step: Step) -> tuple[Tree, Tree, Element]:
    for tree, other in ((step.tree[1], step.right), (step.tree[2], step.left)):
        if type(tree) is list and tree[:2] == ["call", "d"] and step.sign == "=":
            return tree[2], tree[3], other
    raise Wrong("a local derivative has to stand alone on one side, such as d(y, x).")


def _definition(work: Work, of: Tree) -> Tree | None:
    trees = (tree for fact in work.theorem.definitions for tree in instances(fact))
    return next((tree for tree in trees if tree[1] == of), None)


def _derivative(work: Work, of: Tree, by: Tree) -> Element | None:
    """Differentiate a definition; None if there is none."""
    tree = _definition(work, of)
    if tree is None:
        return None
    if not _stands_in(by, tree[2]):
        raise Wrong(f"{write(by)} does not stand in the definition {write(tree)}.")
    return _slope(work, work.algebra.element(tree[2]), by)


def _in_its_letter(work: Work, of: Tree) -> list[Element]:
    """Return the definition itself, with which σ′ may be written z(1 − z) where z = σ(…)."""
    tree = _definition(work, of)
    if tree is None or tree[2][0] != "call":
        return []
    return [work.minus(work.algebra.element(tree[1]), work.algebra.element(tree[2]))]


def _for_all_values(work: Work, step: Step, of: Tree, by: Tree) -> list[Element]:
    """Differentiate earlier steps y = … in x alone, where all hypotheses hold for all values."""
    if not all(fact.everywhere for fact in work.theorem.hypotheses):
        return []
    algebra = work.algebra
    y, x = algebra.element(of), algebra.element(by)
    found = []
    for used in work.used(step):
        for tree, other in ((used.tree[1], used.right), (used.tree[2], used.left)):
            if used.sign != "=" or tree != of or not all(f.is_Rational for f in other.terms.values()):
                continue
            if all(_made_of(work, word, x) for word in other.terms):
                found.append(work.minus(algebra.derivative_atom(y, x, by), _slope(work, other, by)))
    return found


def _made_of(work: Work, word: Word, x: Element) -> bool:
    """Whether a word is x, or a function of x and of nothing else."""
    if (word,) == tuple(x.terms):
        return True
    inside = work.algebra.inside.get(word[0].name) if len(word) == 1 else None
    return inside is not None and all(_made_of(work, part, x) for part in inside[1][0].terms)


def _from_hypothesis(work: Work, step: Step, of: Tree, by: Tree) -> Element:
    for fact in work.theorem.hypotheses:
        if fact.tree[1] != of:
            continue
        if not fact.everywhere:
            raise Wrong(f"{fact.text} says what {write(of)} is, not how it changes.")
        if not any(one.rule == "hypothesis" and one.tree == fact.tree for one in work.used(step)):
            raise Wrong(f"it needs the hypothesis {fact.text}, {fact.note}. State it as a step first.")
        shape = work.algebra.derivative_atom(work.algebra.element(of), work.algebra.element(by), by).shape
        return Element(shape, {})
    raise Wrong(f"there is no definition of {write(of)} that could be differentiated.")


def _stands_in(what: Tree, tree: Tree) -> bool:
    return tree == what or (type(tree) is list and any(_stands_in(what, item) for item in tree))


def _slope(work: Work, of: Element, by: Tree) -> Element:
    """Return the derivative of an element by a symbol: of a column by a column it is a matrix."""
    algebra = work.algebra
    x = algebra.element(by)
    if of.is_number and x.is_number:
        slope = sp.diff(of.number, x.number)
        return Element(NUMBER, {(): slope} if slope != 0 else {})
    (letter,) = next(iter(x.terms))
    total = Element(SQUARE, {})
    for word, factor in of.terms.items():
        if len(word) != 1:
            raise MathError(f"the derivative of {show(of)} is beyond this rule")
        total = algebra.added(total, algebra.scaled(_slope_of_letter(work, word[0], letter, by), factor))
    return total


def _slope_of_letter(work: Work, of: Letter, by: Letter, tree: Tree) -> Element:
    if of == by:
        return Element(SQUARE, {(): sp.Integer(1)})
    column = Element(of.shape, {(of,): sp.Integer(1)})
    if of.name in work.algebra.inside:
        return work.algebra.derivative_atom(column, Element(by.shape, {(by,): sp.Integer(1)}), tree)
    return Element((of.shape[0], by.shape[0]), {})
