"""Notebooks as learners get them: the exercises without solutions and without outputs."""

import json
import re
from pathlib import Path
from typing import Any

__all__ = ["blank", "points", "release"]

# As nbgrader marks them. What stands between is cut and the indentation kept.
_SOLUTION = re.compile(r"^([ \t]*)### BEGIN SOLUTION.*?### END SOLUTION[^\n]*$", re.M | re.S)


def blank(notebook: dict[str, Any]) -> dict[str, Any]:
    """Return a notebook with every marked solution replaced by `raise NotImplementedError`, outputs cleared.

    Parameters
    ----------
    notebook
        As the JSON of an ``.ipynb`` file; it is not changed.

    Raises
    ------
    ValueError
        A mark that has no partner: the solution would stay in.
    """
    copy = json.loads(json.dumps(notebook))
    for cell in copy["cells"]:
        if cell["cell_type"] != "code":
            continue
        source = _SOLUTION.sub(r"\1raise NotImplementedError()", "".join(cell["source"]))
        if "SOLUTION" in source:
            raise ValueError(f"cell {cell.get('id')}: a mark of a solution has no partner")
        cell.update(source=source.splitlines(keepends=True), outputs=[], execution_count=None)
    return copy


def release(source: Path, target: Path) -> list[Path]:
    """Write the blank form of all notebooks in one folder to another; leave alone what would not change.

    Parameters
    ----------
    source, target
        Folders; `target` is made.

    Returns
    -------
    list of Path
        The notebooks in `target`, sorted.

    Raises
    ------
    ValueError
        A notebook is damaged, or a solution would stay in it.
    """
    written = []
    for path in sorted(source.glob("*.ipynb")):
        try:
            notebook = blank(json.loads(path.read_text(encoding="utf-8")))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
        copy = target / path.name
        target.mkdir(parents=True, exist_ok=True)
        # A file that is written anew would make the pages that offer it out of date.
        if not copy.is_file() or copy.read_text(encoding="utf-8") != text:
            copy.write_text(text, encoding="utf-8")
        written.append(copy)
    return written


def points(path: Path) -> dict[str, float]:
    """Return what each task of a notebook is worth, by the names of the tasks.

    Parameters
    ----------
    path
        The notebook.
    """
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    marked = [cell["metadata"].get("nbgrader", {}) for cell in cells]
    return {
        marks["grade_id"].removesuffix("-check"): float(marks["points"])
        for marks in marked
        if marks.get("grade")
    }
