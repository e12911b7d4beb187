"""What people see of a graded submission: the notebook in nbgrader's formgrader, and the learner's page.

Nothing of a learner's is ever rendered. Text cells that a learner wrote, or changed, are shown as they were
typed; code and what it printed are shown as text. So no script of theirs can run in an instructor's browser.
"""

from __future__ import annotations

import functools
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from vglib.course.grading.formulas import with_formulas
from vglib.course.grading.grade import Result
from vglib.course.grading.intake import Item

__all__ = ["digest", "graded_notebook", "is_current", "page"]

_LISTED = re.compile(r'(<a href="#([\w-]+)-check">)Test cell</a> \(Score: ([\d.]+) / ([\d.]+)\)')
# A page has no scripts: those of the template, which would set formulas, are not needed (see `formulas`).
# Should anything of a learner's be taken for markup all the same, it can neither run nor reach anybody.
_SCRIPT = re.compile(r"<script\b.*?</script>", re.S | re.I)
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
    "base-uri 'none'; form-action 'none'"
)
_HEAD = f"""<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">"""
# Numbers of cells say nothing here; what a check said is to be found at a glance; long lines stay inside.
_STYLE = """<style>
div.prompt, a.anchor-link { display: none; }
div.output_area pre, .rendered_html pre, .rendered_html pre code {
  white-space: pre-wrap; word-break: normal; overflow-wrap: anywhere; }
div.input_area pre { overflow-x: auto; }
.rendered_html { overflow-wrap: anywhere; }
div.output_area { border-left: 4px solid #cccccc; margin: 0.5em 0; }
div.output_area pre { border: 0; background: none; margin: 0; }
mtd[columnalign=left] { text-align: left; }
mtd[columnalign=right] { text-align: right; }
summary { display: list-item; cursor: pointer; color: #23527c; }
div.output_area:has(.output_error) { border-left-color: #c0392b; background: #fdf2f0; }
div.cell:has(a[name$="-check"]) div.output_area:not(:has(.output_error)) {
  border-left-color: #2e8b57; background: #f1f8f4; }
div.nbgrader_cell .panel-heading { height: auto; overflow: hidden; }
div.nbgrader_cell .panel-heading, div.nbgrader_cell .panel-heading a { color: #ffffff; }
.inner_cell { min-width: 0; }
#toc ol { list-style: none; padding-left: 0; }
@media (max-width: 700px) {
  div.container, div#notebook-container, div#notebook {
    padding: 0; margin: 0; width: 100%; box-shadow: none; }
}
</style>
</head>"""
# To the course's own pages, which are elsewhere.
_BESIDE = re.compile(r'<a href="\.\./[^"]*">(.*?)</a>')
# How a learner's own text begins; a code block of Markdown, which nothing in it can close.
_OWN = "    Your text:"
_MARK = re.compile(r"<!-- vglib ([0-9a-f]{64}) -->")


def graded_notebook(items: Sequence[Item], result: Result) -> dict[str, Any]:
    """Return a graded submission as a notebook.

    Outputs of graded cells say to nbgrader what they earned: an error means nothing, no result means all, a
    number means so much. They are written here; nothing that a learner's code printed is among them.

    Parameters
    ----------
    items
        The rebuilt notebook.
    result
        What came of it.
    """
    marks = {mark.task: mark for mark in result.marks}
    cells = []
    for number, item in enumerate(items):
        printed = _clean(result.printed.get(number, ""))
        if item.kind in ("text", "note"):
            source = item.source if item.kind == "text" else _verbatim(item.source)
            cell = {"cell_type": "markdown", "source": source}
        else:
            cell = {
                "cell_type": "code",
                "source": _clean(item.source),
                "execution_count": None,
                "outputs": [],
            }
            if item.kind == "check":
                cell["outputs"] = _outputs(marks[item.task or ""])
            elif printed:
                cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": printed}]
        marked = item.cell.get("metadata", {}).get("nbgrader")
        cell["metadata"] = {"nbgrader": marked} if marked else {}
        cell["id"] = f"cell-{number}"
        cells.append(cell)
    about = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}
    return {"cells": cells, "metadata": about, "nbformat": 4, "nbformat_minor": 5}


def _outputs(mark: Any) -> list[dict[str, Any]]:
    text = _clean(mark.text)
    if mark.score >= mark.points:
        return [{"output_type": "stream", "name": "stdout", "text": text}]
    error = {"output_type": "error", "ename": "Not yet", "evalue": text, "traceback": [f"Not yet. {text}"]}
    if mark.score <= 0:
        return [error]
    number = {"text/plain": f"{mark.score:g}"}
    return [
        {"output_type": "execute_result", "data": number, "metadata": {}, "execution_count": None},
        {"output_type": "stream", "name": "stdout", "text": text},
    ]


def _clean(text: str) -> str:
    """Return text without control characters: neither a terminal nor a browser is to act on them."""
    return "".join(letter for letter in text if letter in "\n\t" or letter.isprintable() or letter == " ")


def _verbatim(text: str) -> str:
    """Return text as a code block of Markdown, which a renderer escapes; an indented one cannot be closed."""
    return "\n".join([_OWN, *(f"    {line}" for line in _clean(text).splitlines())])


def digest(notebook: str, scores: Mapping[str, Any], comments: Mapping[str, str]) -> str:
    """Return what a page depends on, as sixty-four letters."""
    about = json.dumps([notebook, scores, comments, _HEAD, _STYLE], sort_keys=True)
    return hashlib.sha256(about.encode()).hexdigest()


def is_current(text: str, wanted: str) -> bool:
    """Return whether a page was made from what has this digest."""
    found = _MARK.search(text[-200:])
    return found is not None and found[1] == wanted


def page(
    notebook: str, topic: str, student: str, scores: Mapping[str, Any], comments: Mapping[str, str]
) -> str:
    """Return the learner's page, made by nbgrader's own template.

    Parameters
    ----------
    notebook
        As `graded_notebook` returns it, as JSON.
    topic, student
        Whose it is.
    scores
        What counts, by cell: ``{"score": …, "manual": …}``.
    comments
        An instructor's comments, by cell; they may hold Markdown.
    """
    import nbformat

    book = nbformat.reads(notebook, as_version=4)
    total = most = 0.0
    for cell in book.cells:
        if cell.cell_type == "markdown" and not cell.source.startswith(_OWN):
            cell.source = with_formulas(cell.source)
        marks = cell.metadata.get("nbgrader")
        if not marks:
            continue
        if marks["grade"]:
            marks["score"] = scores.get(marks["grade_id"], {}).get("score", 0.0)
            total, most = total + marks["score"], most + marks["points"]
        elif marks["solution"]:
            marks["comment"] = comments.get(marks["grade_id"])
    about = {"notebook": topic, "student": student, "score": total, "max_score": most, "late_penalty": 0}
    text, _ = _exporter().from_notebook_node(book, {"nbgrader": about, "metadata": {"name": topic}})
    # The template calls each of them a test cell, and knows no names.
    text = _BESIDE.sub(r"\1", _LISTED.sub(_listed, _SCRIPT.sub("", text)))
    changes = {
        "<title>": f"{_HEAD}\n<title>",
        "</head>": _STYLE,
        f"<h4>{topic} (": f"<h4>{html.escape(student)} · {topic} (",
    }
    for old, new in changes.items():
        # Another template would come without the policy, unnoticed.
        if old not in text:
            raise ValueError(f"nbgrader's template for pages has no {old!r}")
        text = text.replace(old, new, 1)
    return f"{text}\n<!-- vglib {digest(notebook, scores, comments)} -->\n"


def _listed(found: re.Match[str]) -> str:
    link, task, score, points = found.groups()
    sign = "✓" if float(score) >= float(points) else "✗"
    return f"{sign} {link}{task}</a> (Score: {score} / {points})"


@functools.cache
def _exporter() -> Any:
    """Return nbgrader's exporter, configured here: a broken file of somebody's cannot change it."""
    from pathlib import Path

    import nbgrader
    from nbconvert.exporters import HTMLExporter
    from traitlets.config import Config

    served = Path(nbgrader.__file__).parent / "server_extensions" / "formgrader"
    config = Config()
    config.HTMLExporter.template_name = "feedback"
    config.HTMLExporter.extra_template_basedirs = [str(served / "templates")]
    styles = served / "static" / "node_modules" / "bootstrap" / "dist" / "css"
    config.HTMLExporter.extra_template_paths = [str(styles)]
    config.HTMLExporter.preprocessors = ["nbconvert.preprocessors.CSSHTMLHeaderPreprocessor"]
    return HTMLExporter(config=config)
