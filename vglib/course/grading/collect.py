"""Find submissions in a folder, whatever the learning platform made of their names."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Found", "collect"]

MAX_NAME = 100


@dataclass(frozen=True)
class Found:
    """A notebook in the folder.

    Attributes
    ----------
    student, topic : str
    path : Path
    problem : str
        Why it cannot be taken; empty if it can.
    """

    student: str
    topic: str
    path: Path
    problem: str = ""


def collect(folder: Path, topics: Collection[str]) -> list[Found]:
    """Return all notebooks of a folder, sorted by student and topic.

    Taken are ``STUDENT/TOPIC.ipynb``, ``STUDENT/TOPIC/TOPIC.ipynb`` (nbgrader's) and ``STUDENT_TOPIC.ipynb``.
    Links are not followed. A notebook of no known topic comes with that problem; other files are left alone.

    Parameters
    ----------
    folder
        Where to look.
    topics
        Names of the topics.
    """
    found: list[Found] = []
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            found += _of_student(entry, topics)
        elif entry.name.endswith(".ipynb"):
            student, _, topic = entry.name.removesuffix(".ipynb").rpartition("_")
            problem = "" if student and topic in topics else "its name is not STUDENT_TOPIC.ipynb"
            found.append(_checked(student or entry.name, topic, Path(entry.path), problem))
        elif entry.is_symlink():
            found.append(Found(_plain(entry.name), "", Path(entry.path), "it is a symbolic link"))
    return _single(sorted(found, key=lambda one: (one.student, one.topic, str(one.path))))


def _of_student(student: os.DirEntry[str], topics: Collection[str]) -> list[Found]:
    found = []
    for entry in _entries(Path(student.path)):
        topic = entry.name.removesuffix(".ipynb")
        if entry.name.endswith(".ipynb"):
            problem = "" if topic in topics else f"there is no topic {topic!r}"
            found.append(_checked(student.name, topic, Path(entry.path), problem))
        elif entry.name in topics:
            path = Path(entry.path)
            if entry.is_symlink():
                found.append(_checked(student.name, entry.name, path, "it is a symbolic link"))
            elif entry.is_dir(follow_symlinks=False):
                inside = [one.name for one in _entries(path) if one.name.endswith(".ipynb")]
                wanted = f"{entry.name}.ipynb"
                for name in inside:
                    problem = "" if name == wanted else f"in this folder a notebook is called {wanted}"
                    found.append(_checked(student.name, entry.name, path / name, problem))
    return found


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted((one for one in entries if not one.name.startswith(".")), key=lambda one: one.name)


def _plain(name: str) -> str:
    """Return a name that can be printed, whatever its bytes were."""
    text = name.encode(errors="replace").decode()
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:MAX_NAME]


def _checked(student: str, topic: str, path: Path, problem: str) -> Found:
    """Refuse names that are no names: they become those of files, and cells of a table."""
    plain = _plain(student)
    if not problem and (plain != student or unicodedata.normalize("NFC", student) != student):
        problem = "the student's name is too long or holds characters that cannot be printed or compared"
    if not problem and student[0] in "=+-@":
        problem = f"a student's name must not begin with {student[0]!r}: a spreadsheet would compute it"
    return Found(plain, _plain(topic), path, problem)


def _single(found: list[Found]) -> list[Found]:
    """Mark all but the first of several notebooks by one student for one topic."""
    seen: dict[tuple[str, str], Path] = {}
    result = []
    for one in found:
        if not one.problem:
            first = seen.setdefault((one.student, one.topic), one.path)
            if first != one.path:
                one = Found(one.student, one.topic, one.path, f"there is another one: {first.name}")
        result.append(one)
    return result
