"""The exercises that submissions are compared with, and whether they can be graded at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vglib.course.checkout import CannotRunError
from vglib.course.checks import find
from vglib.course.release import blank

__all__ = ["released"]


def released(exercises: Path, topic: str) -> dict[str, Any]:
    """Return the notebook of a topic as learners got it.

    Parameters
    ----------
    exercises
        The folder of the notebooks with solutions.
    topic
        Its name.

    Raises
    ------
    CannotRunError
        It cannot be read, or holds a task that nothing can grade: everybody would get 0 for it.
    """
    path = exercises / f"{topic}.ipynb"
    try:
        notebook = blank(json.loads(path.read_text(encoding="utf-8")))
        problem = _problem(notebook, set(find(topic).tasks))
    except OSError as error:
        raise CannotRunError(f"cannot read the exercises of {topic}, {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CannotRunError(f"{path} is no exercise notebook: {error or type(error).__name__}") from None
    if problem:
        raise CannotRunError(f"{path} cannot be graded: {problem}")
    return notebook


def _problem(notebook: dict[str, Any], checked: set[str]) -> str:
    marked = [cell["metadata"]["nbgrader"] for cell in notebook["cells"] if "nbgrader" in cell["metadata"]]
    names = [marks["grade_id"] for marks in marked]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        return f"two cells are called {sorted(twice)[0]!r}"
    for marks in marked:
        if not marks["grade"]:
            continue
        task = marks["grade_id"].removesuffix("-check")
        if task not in checked:
            return f"task {task!r} has points, and no check"
        if task not in names:
            return f"task {task!r} has a check, and no cell to fill"
        points = marks["points"]
        if isinstance(points, bool) or not isinstance(points, int | float) or not 0 <= points < 1e6:
            return f"the points of {task!r} must be a number from 0; got {points!r}"
    return ""
