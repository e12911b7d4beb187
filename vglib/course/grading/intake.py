"""What is taken from a submission: the sources of its cells, and nothing else.

A submission is a stranger's file. It is read with bounds, and a notebook is rebuilt from the release: the
course's own cells as they were released, the learner's sources in the cells that learners fill, the cells
that a learner added where they stood. Metadata, outputs, kernels and attachments stay outside.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Item", "Refused", "Submission", "parse", "read", "rebuild"]

MAX_FILE, MAX_CELLS, MAX_SOURCE = 12 * 2**20, 1000, 2**19
# Commas, colons and brackets, that is, values: an empty list is two bytes in a file and sixty in memory.
MAX_VALUES = 2**19


class Refused(Exception):  # noqa: N818 - it is the submission that is refused
    """A submission that is not let in; the text says why."""


@dataclass(frozen=True)
class Cell:
    """A cell as it was handed in."""

    kind: str
    source: str
    grade_id: str | None
    cell_id: str | None


@dataclass(frozen=True)
class Item:
    """One cell of a rebuilt notebook.

    Attributes
    ----------
    kind : str
        ``"given"`` and ``"show"`` are the course's code, run and not run; ``"answer"`` is a cell that
        learners fill, ``"own"`` one that a learner added, ``"check"`` a graded one, ``"text"`` the course's
        text and ``"note"`` the learner's.
    source : str
    task : str or None
        The task of an answer or a check.
    points : float
        Of a check.
    cell : dict
        The released cell; empty for a learner's own.
    """

    kind: str
    source: str
    task: str | None = None
    points: float = 0.0
    cell: dict[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Submission:
    """A notebook rebuilt from the release.

    Attributes
    ----------
    items : list of Item
    spoilt : dict of str to str
        Tasks that cannot be graded, and why.
    notes : list of str
        What was put right on the way.
    """

    items: list[Item]
    spoilt: dict[str, str]
    notes: list[str]


def read(path: Path) -> bytes:
    """Return the bytes of a submission.

    Raises
    ------
    Refused
        It is no regular file, or larger than any exercise becomes.
    """
    try:
        # Neither a link nor a pipe that nobody writes to may be followed or waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Refused("it is a symbolic link; a file is wanted") from None
        raise Refused(f"it cannot be opened ({error.strerror})") from None
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise Refused(f"it is no file but {_kind(about.st_mode)}")
        if about.st_size > MAX_FILE:
            raise Refused(f"it has {about.st_size / 2**20:,.0f} MB; {MAX_FILE // 2**20} MB are allowed")
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise Refused(f"it cannot be read ({error.strerror})") from None
    finally:
        os.close(descriptor)
    if len(data) > MAX_FILE:
        raise Refused(f"it has more than {MAX_FILE // 2**20} MB")
    return data


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def parse(data: bytes) -> list[Cell]:
    """Return the cells of a notebook file.

    Raises
    ------
    Refused
        It is no notebook of format 4.
    """
    values = sum(data.count(sign) for sign in (b",", b":", b"[", b"{"))
    if values > MAX_VALUES:
        raise Refused(f"it holds some {values:,} values; {MAX_VALUES:,} are allowed: clear its outputs")
    try:
        notebook = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise Refused("it is no text in UTF-8, so no notebook") from None
    except RecursionError:
        raise Refused("its lists are nested deeper than those of any notebook") from None
    except ValueError as error:
        raise Refused(f"it is no notebook: not JSON ({str(error)[:80]})") from None
    if type(notebook) is not dict or "nbformat" not in notebook:
        raise Refused("it is no notebook: there is no nbformat in it")
    if notebook["nbformat"] != 4 or type(notebook["nbformat"]) is not int:
        came = repr(notebook["nbformat"])[:20]
        raise Refused(f"its format is {came}; notebooks of format 4 are graded: save it again in JupyterLab")
    cells = notebook.get("cells")
    if type(cells) is not list:
        raise Refused("it is no notebook: it has no list of cells")
    if len(cells) > MAX_CELLS:
        raise Refused(f"it has {len(cells):,} cells; {MAX_CELLS:,} are allowed")
    read_cells = [_cell(cell, number) for number, cell in enumerate(cells, 1)]
    size = sum(len(cell.source) for cell in read_cells)
    if size > MAX_SOURCE:
        raise Refused(f"its cells hold {size:,} characters; {MAX_SOURCE:,} are allowed")
    return read_cells


def _cell(cell: object, number: int) -> Cell:
    if type(cell) is not dict or cell.get("cell_type") not in ("code", "markdown", "raw"):
        raise Refused(f"its cell {number} is neither code nor text")
    source = cell.get("source", "")
    if type(source) is list and all(type(line) is str for line in source):
        source = "".join(source)
    if type(source) is not str:
        raise Refused(f"its cell {number} has no source")
    # A lone surrogate is no text that could be run or written.
    source = source.encode(errors="replace").decode()
    metadata = cell.get("metadata")
    marks = metadata.get("nbgrader") if type(metadata) is dict else None
    grade_id = marks.get("grade_id") if type(marks) is dict else None
    cell_id = cell.get("id")
    return Cell(
        cell["cell_type"],
        source,
        grade_id if type(grade_id) is str else None,
        cell_id if type(cell_id) is str else None,
    )


def rebuild(released: dict[str, Any], cells: Sequence[Cell]) -> Submission:
    """Return the released notebook with a learner's sources in it.

    A cell is known by its mark, or, where that has been lost, by its id. What is not known is the learner's
    own and stays behind the cell that it stood behind.

    Parameters
    ----------
    released
        The notebook as it was released, without solutions.
    cells
        As `parse` returns them.
    """
    known = {_mark(cell): number for number, cell in enumerate(released["cells"]) if _mark(cell)}
    by_id = {cell["id"]: number for number, cell in enumerate(released["cells"]) if "id" in cell}
    found: dict[int, list[Cell]] = {}
    own: dict[int, list[Cell]] = {}
    last = -1
    for cell in cells:
        number = known.get(cell.grade_id, by_id.get(cell.cell_id) if cell.grade_id is None else None)
        if number is None:
            own.setdefault(last, []).append(cell)
        else:
            found.setdefault(number, []).append(cell)
            last = max(last, number)
    items = [_own(cell) for cell in own.get(-1, ())]
    spoilt: dict[str, str] = {}
    notes: list[str] = []
    for number, cell in enumerate(released["cells"]):
        items.append(_item(cell, found.get(number, ()), spoilt, notes))
        items += [_own(one) for one in own.get(number, ())]
    return Submission(items, spoilt, notes)


def _mark(cell: dict[str, Any]) -> str | None:
    return cell["metadata"].get("nbgrader", {}).get("grade_id")


def _own(cell: Cell) -> Item:
    return Item("own" if cell.kind == "code" else "note", cell.source)


def _other(cell: Cell, source: str) -> bool:
    return cell.source.replace("\r\n", "\n").strip() != source.strip()


def _item(
    released: dict[str, Any], handed_in: Sequence[Cell], spoilt: dict[str, str], notes: list[str]
) -> Item:
    source = "".join(released["source"])
    if released["cell_type"] != "code":
        return Item("text", source, cell=released)
    marks = released["metadata"].get("nbgrader", {})
    name = marks.get("grade_id", released.get("id"))
    if handed_in and not marks.get("solution") and all(_other(one, source) for one in handed_in):
        notes.append(f"the cell {name!r} was changed; it is the course's, and ran as it was released")
    if marks.get("grade"):
        if not handed_in:
            notes.append(f"the check {name!r} was missing and has been put back")
        task = name.removesuffix("-check")
        return Item("check", source, task, float(marks["points"]), released)
    if not marks.get("solution"):
        if not handed_in:
            notes.append(f"the cell {name!r} was missing and has been put back")
        kind = "show" if "show" in released["metadata"].get("tags", ()) else "given"
        return Item(kind, source, cell=released)
    answers = [cell for cell in handed_in if cell.kind == "code"]
    if len(answers) > 1:
        spoilt[name] = (
            f"{len(answers)} cells are marked as the answer to {name!r}, as after copying a cell: "
            "delete all but one and hand in again."
        )
    elif not answers:
        notes.append(f"the cell {name!r} was missing, or no code any more; the empty one has been put back")
    return Item("answer", answers[0].source if len(answers) == 1 else source, name, cell=released)
