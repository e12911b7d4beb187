"""Saving a chapter in JupyterLab leaves no trace in its file."""

import re
from pathlib import Path

import pytest

CHAPTERS = sorted((Path(__file__).parents[2] / "chapters").glob("*.md"))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_is_as_jupytext_writes_it(path):
    jupytext = pytest.importorskip("jupytext")
    text = path.read_text(encoding="utf-8")
    written = jupytext.writes(jupytext.read(path), fmt="md:myst")
    # Every jupytext writes its own version.
    version = re.compile(r"^    jupytext_version: .*$", re.M)
    assert version.sub("", written) == version.sub("", text)
