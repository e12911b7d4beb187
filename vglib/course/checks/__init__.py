"""Checks of the exercises: one definition for the learner's self-check and for the grader.

A check is a function of `call` and a random generator. It calls the learner's functions by name, compares
what they give with an independent reference, and returns a report or raises an AssertionError whose text
teaches. It never sees the learner's objects, so it does not matter where they live: see
`vglib.course.calling`.

In a notebook::

    from vglib.course.checks import self_check

    self_check("clipping", "mean-of-clipped")
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from vglib.course.calling import CheckFailed, local
from vglib.course.checks.topic import Topic, find

__all__ = ["CheckFailed", "Topic", "find", "self_check"]

# The learner sees the same inputs each time, so that a mended mistake is seen to be mended.
SELF_SEED = 1


def self_check(topic: str, task: str, names: Mapping[str, Any] | None = None) -> None:
    """Check one task of an exercise notebook and print the report.

    Parameters
    ----------
    topic
        Name of the notebook, for example ``"clipping"``.
    task
        Name of the task, for example ``"mean-of-clipped"``.
    names
        Where the learner's functions are; the notebook's own names by default.

    Raises
    ------
    CheckFailed
        The answer is not right yet; the text says what to look at.
    ValueError
        There is no such topic or task.
    """
    checks = find(topic)
    names = sys.modules["__main__"].__dict__ if names is None else names
    print(checks.run(task, local(names), checks.rng(task, SELF_SEED)))
