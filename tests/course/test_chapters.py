"""Chapters compute the same again, and show nothing of the machine that they were computed on."""

import re
from pathlib import Path

import pytest

from vglib.course.book import page_environment
from vglib.course.imports import code_cells

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "_build" / ".jupyter_cache"
# A folder of some machine, a warning, a measured time, the address of an object.
STRAY = re.compile(
    r"(?<![\w.])/(tmp|root|home|Users|usr|opt)/|\w*Warning\b:|\d it/s|per loop|\bat 0x[0-9a-f]{6,}"
)

CHAPTERS = [
    pytest.param(path, id=path.stem)
    for path in sorted((ROOT / "chapters").glob("**/*.md"))
    # JupyterLab keeps older versions beside the chapters.
    if ".ipynb_checkpoints" not in path.parts and code_cells(path.read_text(encoding="utf-8"))
]


def plain(cells):
    """Outputs without what numbers or decorates them, and text in one piece however slowly it was printed."""
    return [merged(cell.outputs) for cell in cells if cell.cell_type == "code"]


def merged(outputs):
    kept = []
    for output in outputs:
        one = {key: value for key, value in output.items() if key != "execution_count"}
        if kept and one.get("name") and one["name"] == kept[-1].get("name"):
            kept[-1]["text"] += one["text"]
        else:
            kept.append(one)
    return kept


@pytest.fixture
def built(path, unavailable):
    """The chapter with the outputs that its built page shows."""
    jupyter_cache = pytest.importorskip("jupyter_cache")
    if not (ROOT / "_build" / "html.good").exists():
        unavailable("no built book: make book")
    cache = jupyter_cache.get_cache(CACHE)
    records = [one for one in cache.list_cache_records() if Path(one.uri) == path]
    newest = max(records, key=lambda one: one.pk)
    return cache.get_cache_bundle(newest.pk).nb


@pytest.mark.parametrize("path", CHAPTERS)
def test_second_run_gives_the_same_outputs(path, built):
    import jupytext
    from nbclient import NotebookClient

    notebook = jupytext.read(path)
    client = NotebookClient(notebook, timeout=180, resources={"metadata": {"path": str(path.parent)}})
    client.execute(env=page_environment(ROOT))
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    # The last cell of a built page is the fingerprint of what it stands on.
    assert [cell.source for cell in code] == [cell.source for cell in built.cells[:-1]], "make book"
    for again, before, cell in zip(plain(code), plain(built.cells[:-1]), code, strict=True):
        assert again == before, cell.source


@pytest.mark.parametrize("path", CHAPTERS)
def test_outputs_hold_nothing_of_the_machine(path, built):
    for cell in built.cells:
        for output in cell.outputs:
            texts = [output.get("text", ""), *output.get("data", {}).values()]
            found = [STRAY.search(text)[0] for text in texts if isinstance(text, str) and STRAY.search(text)]
            assert found == [], cell.source
            assert output.get("name") != "stderr", output.text
