"""The book's build: pages run again just when what they stand on has changed; nothing fails unseen."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vglib.course import imports

ROOT = Path(__file__).resolve().parents[2]
HEADER = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3 (ipykernel)
  language: python
  name: python3
---

"""
LIBRARY = {
    "__init__.py": "from . import left, right\nfrom .base.deep import NUMBER, Deep\n",
    "version.py": '__version__ = "0"\n',
    "left.py": "def f():\n    from LIB.base import lazy\n    return lazy.VALUE\n",
    "right.py": "VALUE = 1\nTEXT = 'static/right.txt'\n",
    "static/right.txt": "a\n",
    "base/__init__.py": "",
    "base/deep.py": (
        "import typing\nif typing.TYPE_CHECKING:\n    import LIB.right\nNUMBER = 7\nclass Deep: pass\n"
    ),
    "base/lazy.py": "VALUE = 2\n",
}


def chapter(*cells, title="Title"):
    return (
        HEADER + f"# {title}\n\n" + "\n".join(f"```{{code-cell}} ipython3\n{cell}\n```\n" for cell in cells)
    )


def write_library(root, name):
    for path, text in LIBRARY.items():
        target = root / name / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text.replace("LIB", name), encoding="utf-8")
    (root / "constraints.txt").write_text("numpy\n", encoding="utf-8")


@pytest.fixture
def prints(tmp_path, monkeypatch):
    """Fingerprints over a small library of its own name, importable for the length of the test."""
    name = f"tiny_{abs(hash(tmp_path)) % 10**8}"
    write_library(tmp_path, name)
    (tmp_path / "results" / "part").mkdir(parents=True)
    (tmp_path / "results" / "adding.jsonl").write_text("{}\n")
    (tmp_path / "results" / "part" / "copy.jsonl").write_text("{}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return imports.Fingerprints(tmp_path, name)


def modules(prints, *cells):
    found = prints.modules(chapter(*(cell.replace("LIB", prints.package) for cell in cells)))
    return {name.removeprefix(prints.package).lstrip(".") for name in found}


def test_names_lead_to_where_they_are_written(prints):
    assert modules(prints, "from LIB import Deep") == {"", "base", "base.deep"}
    assert modules(prints, "from LIB import NUMBER") == {"", "base", "base.deep"}
    assert modules(prints, "from LIB import right") == {"", "right"}
    assert modules(prints, "from LIB.base import lazy") == {"", "base", "base.lazy"}
    assert modules(prints, "import LIB as lib\nlib.Deep") == {"", "base", "base.deep"}
    assert modules(prints, "import LIB.right") == {"", "right"}


def test_imports_of_imports_count_lazy_ones_too(prints):
    assert modules(prints, "def late():\n    from LIB import left") == {"", "left", "base", "base.lazy"}


def test_cells_with_options_and_magics_are_understood(prints):
    assert modules(prints, ":tags: [hide-input]\n\nfrom LIB import right") == {"", "right"}
    assert modules(prints, "---\ntags: [hide-input]\n---\nfrom LIB import right") == {"", "right"}
    assert modules(prints, "%matplotlib inline\nfrom LIB import right") == {"", "right"}
    assert modules(prints, "import numpy") == set()


def test_results_are_found_by_path_name_or_stem(prints):
    for name in ("results/adding.jsonl", "../results/adding.jsonl", "adding.jsonl", "adding"):
        assert {path.name for path in prints.results(chapter(f"load({name!r})"))} == {"adding.jsonl"}
    assert {path.name for path in prints.results(chapter("load('part/copy.jsonl')"))} == {"copy.jsonl"}
    assert prints.results(chapter("load('other')")) == set()


@pytest.mark.parametrize(
    ("changed", "matters"),
    [
        ("LIB/right.py", True),
        ("LIB/static/right.txt", True),
        ("LIB/left.py", False),
        ("LIB/base/lazy.py", False),
        ("constraints.txt", True),
        ("results/adding.jsonl", True),
        ("results/part/copy.jsonl", False),
    ],
)
def test_fingerprint_changes_with_what_the_chapter_uses(prints, changed, matters):
    text = chapter(f"from {prints.package} import right\nright.read('adding')")
    before = prints.digest(prints.files(text))
    with (prints.root / changed.replace("LIB", prints.package)).open("a") as file:
        file.write("\n")
    assert (prints.digest(prints.files(text)) != before) is matters


def build(folder):
    environment = {**os.environ, "NO_COLOR": "1"}
    command = [sys.executable, "-m", "vglib", "book"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    executed = {
        line.split("/")[-1].split(".md")[0]
        for line in done.stdout.splitlines()
        if "Executing notebook" in line
    }
    return done.returncode, executed, done.stdout + done.stderr


@pytest.fixture
def tiny_book(tmp_path):
    """A checkout in small: the real build over a library and two chapters of its own."""
    pytest.importorskip("jupyter_book")
    write_library(tmp_path, "vglib")
    shutil.copy(ROOT / "vglib" / "__main__.py", tmp_path / "vglib")
    shutil.copytree(ROOT / "vglib" / "course", tmp_path / "vglib" / "course", dirs_exist_ok=True)
    shutil.copytree(ROOT / "vglib" / "show" / "static", tmp_path / "vglib" / "show" / "static")
    shutil.copy(ROOT / "_config.yml", tmp_path)
    (tmp_path / "references.bib").write_text("", encoding="utf-8")
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: chapters/index\nchapters:\n- file: chapters/right\n", encoding="utf-8"
    )
    (tmp_path / "chapters").mkdir()
    (tmp_path / "chapters" / "index.md").write_text(chapter("from vglib import left\nleft.f()"))
    (tmp_path / "chapters" / "right.md").write_text(chapter("from vglib import right\nright.VALUE"))
    return tmp_path


def test_book_is_built_and_bound_to_what_it_uses(tiny_book):
    status, executed, log = build(tiny_book)
    assert (status, executed) == (0, {"index", "right"}), log
    first = tiny_book / "_build" / "html" / "index.html"
    assert log.splitlines()[-1].endswith(str(first))
    assert first.is_file()
    page = tiny_book / "_build" / "html" / "chapters" / "right.html"
    assert "What this page stands on" not in page.read_text(encoding="utf-8")

    library = tiny_book / "vglib" / "right.py"
    library.write_text(library.read_text().replace("VALUE = 1", "VALUE = 4321"), encoding="utf-8")
    status, executed, log = build(tiny_book)
    assert (status, executed) == (0, {"right"}), log
    assert "4321" in page.read_text(encoding="utf-8")

    # A failure stays a failure although Sphinx has nothing new to read the second time.
    source = tiny_book / "chapters" / "right.md"
    source.write_text(source.read_text().replace("right.VALUE", "right.missing"), encoding="utf-8")
    for _ in range(2):
        status, executed, log = build(tiny_book)
        assert (status, executed) == (1, {"right"})
        assert "AttributeError" in log
        assert "right.missing" in log
        assert "NOT built" in log
        assert "succeeded" not in log
