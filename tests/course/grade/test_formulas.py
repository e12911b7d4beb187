"""Formulas on learners' pages: MathML, without a script."""

import json
import re
from pathlib import Path

import pytest

from vglib.course.grading.formulas import with_formulas

EXERCISES = sorted((Path(__file__).parents[3] / "exercises").glob("*.ipynb"))


def test_formulas_become_mathml_and_code_stays():
    text = with_formulas("`$a$` costs $b_t$:\n\n$$c \\le \\frac12$$\n\n```\n$d$\n```")
    assert text.count("<math") == 2
    assert 'display="block"' in text
    assert "`$a$`" in text
    assert "```\n$d$\n```" in text
    assert "$b_t$" not in text


def test_aligned_lines_become_a_table():
    text = with_formulas("$$\\begin{aligned} a &= b \\\\ c &= d \\end{aligned}$$")
    assert text.count("<mtr>") == 2
    assert "&</" not in text


def test_what_has_no_mathml_stays():
    assert with_formulas("$\\begin{nonsense}$") == "$\\begin{nonsense}$"


def test_a_price_is_no_formula():
    assert with_formulas("5 $ or 6 $") == "5 $ or 6 $"


@pytest.mark.parametrize("path", EXERCISES, ids=lambda path: path.stem)
def test_every_formula_of_the_exercises_is_shown(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = [with_formulas("".join(cell["source"])) for cell in cells if cell["cell_type"] == "markdown"]
    left = [re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.S) for text in texts]
    assert [text for text in left if "$" in text] == []
    assert sum(text.count("<math") for text in texts) > 20
