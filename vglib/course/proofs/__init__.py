"""Proofs that are checked step by step: for exercises in which a result is derived and not computed.

A proof is a list of steps ``("left = right", "rule")`` or ``("left = right", "rule", 1, 2)``, the numbers
being those of the earlier steps it uses (without them it may use all). `statement` shows what is to be
proved and the rules.

The learner's side (`reading`, `language`) turns text into plain trees; the checker's side (`checker`) takes
nothing but such trees. SymPy is imported when the first proof is checked. Proofs from strangers are judged by
`judge_within`: whatever they hold, it ends in time.
"""

from __future__ import annotations

from vglib.course.proofs.language import ProofError, parse
from vglib.course.proofs.reading import read
from vglib.course.proofs.report import Report, Verdict
from vglib.course.proofs.statement import Statement, statement
from vglib.course.proofs.theorems import THEOREMS, find
from vglib.course.proofs.within import judge_within

__all__ = [
    "THEOREMS",
    "ProofError",
    "Report",
    "Statement",
    "Verdict",
    "check",
    "judge_within",
    "parse",
    "read",
    "require",
    "statement",
]


def check(theorem: str, steps: object) -> Report:
    """Check a proof and say what is wrong with it.

    Parameters
    ----------
    theorem
        Name of the theorem: one of `THEOREMS`.
    steps
        The proof as a learner writes it.

    Returns
    -------
    Report
        `passed`, `message`, and a verdict for each step; printed it shows all of them.

    Raises
    ------
    ValueError
        There is no such theorem. A proof that cannot be read raises nothing: the report says where and why.
    ImportError
        SymPy is missing.
    """
    find(theorem)
    try:
        plain = read(steps)
    except ProofError as error:
        return Report(theorem, (), str(error))
    try:
        from vglib.course.proofs.checker import judge
    except ModuleNotFoundError as error:
        raise ImportError('a proof is checked with SymPy: pip install "vglib[proofs]"') from error
    return judge(theorem, plain)


def require(theorem: str, steps: object) -> Report:
    """Return the report of a right proof.

    Raises
    ------
    AssertionError
        The proof is not right; the message says which step fails and why.
    """
    report = check(theorem, steps)
    if not report.passed:
        raise AssertionError(report.message)
    return report
