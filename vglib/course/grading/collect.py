"""Find submissions in a folder, whatever the learning platform made of their names."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

__all__ = ["Found", "collect", "printable"]

# A name becomes that of a file, with five letters after it; file systems count bytes, tables letters.
MAX_NAME, MAX_BYTES = 100, 200
# These would be markup or the end of a text in formgrader's pages, which take names as they are.
_MARKUP = '<>"\\'
# What browsers and file managers make of a name that is there already.
_COPY = re.compile(r"(.+?)(?:[ _-]*\(\d+\)|[ _-]+copy\d*|-\d+)$", re.I)
# Folders that programs leave beside those of students.
_NOBODY = {"__MACOSX"}


@dataclass(frozen=True)
class Found:
    """A notebook in the folder, or something that is there in its place.

    Attributes
    ----------
    student, topic : str
        Both can be printed. What cannot be taken may belong to no topic.
    path : Path
    file : str
        The path within the folder, to be shown.
    problem : str
        Why it cannot be taken; empty if it can.
    """

    student: str
    topic: str
    path: Path
    file: str
    problem: str = ""


def collect(folder: Path, topics: Collection[str]) -> list[Found]:
    """Return all notebooks of a folder, sorted by student and topic.

    Taken are ``STUDENT/TOPIC.ipynb``, ``STUDENT/TOPIC/TOPIC.ipynb`` (nbgrader's) and ``STUDENT_TOPIC.ipynb``.
    Links are not followed. A notebook of no known topic comes with that problem, and so does a student's
    folder in which nothing can be graded; other files are left alone.

    Parameters
    ----------
    folder
        Where to look.
    topics
        Names of the topics.

    Raises
    ------
    OSError
        The folder itself cannot be read.
    """
    return _Search(folder, topics).all()


def printable(text: str) -> str:
    """Return a text that can be printed on one line and stored, whatever its bytes were."""
    text = text.encode(errors="replace").decode()
    return "".join(letter if letter.isprintable() else "?" for letter in text)


class _Search:
    def __init__(self, folder: Path, topics: Collection[str]) -> None:
        self.folder, self.topics = folder, topics
        self.found: list[Found] = []

    def all(self) -> list[Found]:
        for entry in _entries(self.folder):
            path = Path(entry.path)
            if _is_folder(entry):
                if entry.name not in _NOBODY:
                    self._of_student(entry.name, path)
            elif _is_notebook(entry.name):
                student, _, name = entry.name[:-6].rpartition("_")
                topic, problem = self._topic(name, entry.name)
                if not student or not topic:
                    problem = f"its name is not STUDENT_TOPIC.ipynb{problem and f': {problem}'}"
                self._add(student or entry.name, topic, path, problem)
            elif entry.is_symlink():
                self._add(entry.name, "", path, "it is a symbolic link")
        return _single(sorted(self.found, key=lambda one: (one.student, one.topic, one.file)))

    def _of_student(self, student: str, folder: Path) -> None:
        before = len(self.found)
        try:
            for entry in _entries(folder):
                path = Path(entry.path)
                if _is_notebook(entry.name):
                    self._add(student, *self._named(entry.name, path))
                elif entry.name in self.topics:
                    if entry.is_symlink():
                        self._add(student, entry.name, path, "it is a symbolic link")
                    elif _is_folder(entry):
                        self._of_topic(student, entry.name, path)
        except OSError as error:
            self._add(student, "", folder, f"the folder cannot be read ({error.strerror})")
        if len(self.found) == before:
            self._add(student, "", folder, "there is no notebook in this folder")

    def _of_topic(self, student: str, topic: str, folder: Path) -> None:
        try:
            names = [one.name for one in _entries(folder) if _is_notebook(one.name)]
        except OSError as error:
            self._add(student, topic, folder, f"the folder cannot be read ({error.strerror})")
            return
        if not names:
            self._add(student, topic, folder, "there is no notebook in this folder")
        for name in names:
            wanted = f"{topic}.ipynb"
            problem = "" if name == wanted else f"in this folder a notebook is called {wanted}"
            self._add(student, topic, folder / name, problem)

    def _named(self, name: str, path: Path) -> tuple[str, Path, str]:
        topic, problem = self._topic(name[:-6], name)
        return topic, path, problem

    def _topic(self, name: str, file: str) -> tuple[str, str]:
        """Return the topic that a name means, if any, and what is wrong with the name."""
        if name in self.topics and file.endswith(".ipynb"):
            return name, ""
        if name.lower() in self.topics:
            return name.lower(), f"its name is to end in {name.lower()}.ipynb, letter by letter"
        copied = _COPY.fullmatch(name)
        if copied and copied[1].lower() in self.topics:
            topic = copied[1].lower()
            return topic, f"its name is that of a copy; the notebook to be graded is called {topic}.ipynb"
        return "", f"there is no topic {name!r}"

    def _add(self, student: str, topic: str, path: Path, problem: str) -> None:
        """Note a notebook; refuse what is no name: names become those of files, and cells of tables."""
        # macOS writes é as two letters, and both are the same student.
        name = unicodedata.normalize("NFC", printable(student))
        wrong = _wrong(student, name)
        if wrong:
            # It must not look like anybody else's.
            mark = hashlib.sha256(os.fsencode(student)).hexdigest()[:8]
            name = f"{''.join('?' if letter in _MARKUP else letter for letter in name)[:40]}~{mark}"
        file = printable(str(path.relative_to(self.folder)))
        self.found.append(Found(name, topic, path, file, problem or wrong))


def _wrong(student: str, name: str) -> str:
    if name != unicodedata.normalize("NFC", student):
        return "the student's name holds characters that cannot be printed"
    if len(name) > MAX_NAME or len(name.encode()) > MAX_BYTES:
        return f"the student's name is longer than {MAX_NAME} letters, or {MAX_BYTES} bytes"
    if name != name.strip():
        return "the student's name begins or ends with a space"
    if name[0] in "=+-@":
        return f"a student's name must not begin with {name[0]!r}: a spreadsheet would compute it"
    bad = next((letter for letter in name if letter in _MARKUP), "")
    return f"a student's name must not hold {bad!r}: a browser would take it for markup" if bad else ""


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


def _is_notebook(name: str) -> bool:
    return name.lower().endswith(".ipynb")


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted((one for one in entries if not one.name.startswith(".")), key=lambda one: one.name)


def _single(found: list[Found]) -> list[Found]:
    """Mark all but the first of several notebooks by one student for one topic."""
    seen: dict[tuple[str, str], str] = {}
    result = []
    for one in found:
        if not one.problem:
            first = seen.setdefault((one.student, one.topic), one.file)
            if first != one.file:
                one = replace(one, problem=f"it was handed in twice; the one that counts is {first}")
        result.append(one)
    return result
