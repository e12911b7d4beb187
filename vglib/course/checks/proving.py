"""Proofs as answers: their trees are judged here, wherever they were written."""

from __future__ import annotations

from vglib.course.calling import Call

__all__ = ["prove"]

# An honest proof takes well below a second.
SECONDS = 10.0


def prove(call: Call, function: str, theorem: str) -> str:
    """Return the report of a right proof.

    Parameters
    ----------
    call
        Calls the learner's functions.
    function
        The one that gives the proof.
    theorem
        What it should prove.

    Raises
    ------
    AssertionError
        The proof is not right; the message says which step fails and why.
    """
    from vglib.course.proofs import judge_within

    report = judge_within(theorem, call.proof(function), SECONDS)
    assert report.passed, report.message
    return str(report)
