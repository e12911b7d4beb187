"""The checks of one topic, by the names of its tasks."""

from __future__ import annotations

import importlib
import importlib.util
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vglib.course.calling import Call, CheckFailed

__all__ = ["NAMES", "Check", "Topic", "find"]

Check = Callable[[Call, np.random.Generator], str]
# Modules of this folder that hold no checks.
_TOOLS = {"__init__", "topic", "compare", "proving"}
NAMES = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in _TOOLS)


class Topic:
    """The checks of one topic.

    Parameters
    ----------
    name
        The topic: that of its notebook.

    Attributes
    ----------
    tasks : dict of str to callable
        Checks by the name of their task: the notebook's cell ``NAME-check`` holds the points, its cell
        ``NAME`` is the one that a learner fills.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.tasks: dict[str, Check] = {}

    def check(self, task: str) -> Callable[[Check], Check]:
        """Register a function as the check of a task."""

        def register(function: Check) -> Check:
            if task in self.tasks:
                raise ValueError(f"task {task!r} of {self.name} has two checks")
            self.tasks[task] = function
            return function

        return register

    def rng(self, task: str, *seed: int) -> np.random.Generator:
        """Return the generator of a task's inputs: tasks with the same seed draw different numbers."""
        return np.random.default_rng([*seed, zlib.crc32(f"{self.name}/{task}".encode())])

    def run(self, task: str, call: Call, rng: np.random.Generator) -> str:
        """Run one check and return its report.

        Parameters
        ----------
        task
            Name of the task.
        call
            Calls the learner's functions.
        rng
            Draws the inputs.

        Raises
        ------
        CheckFailed
            The answer is not right; the text says what to look at.
        ValueError
            There is no such task.
        RuntimeError
            Python runs with -O, which removes assertions.
        """
        if not __debug__:
            raise RuntimeError("checks are assertions, which python -O (PYTHONOPTIMIZE) removes: do without")
        if task not in self.tasks:
            raise ValueError(f"{self.name} has no task {task!r}; its tasks: {', '.join(self.tasks)}")
        try:
            # What a learner's numbers do to the comparison is no business of the learner's screen.
            with np.errstate(all="ignore"):
                return self.tasks[task](call, rng)
        except CheckFailed:
            raise
        except AssertionError as error:
            raise CheckFailed(str(error)) from None


def find(topic: str) -> Topic:
    """Return the checks of a topic.

    Raises
    ------
    ValueError
        There is no such topic.
    """
    if topic not in NAMES:
        raise ValueError(f"there are no checks for {topic!r}; topics: {', '.join(NAMES)}")
    return importlib.import_module(f"vglib.course.checks.{topic}").checks
