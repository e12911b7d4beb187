"""Sphinx extension of the book: what the configuration cannot say because it has to be computed."""

import hashlib
import shutil
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vglib.course.imports import Fingerprints
from vglib.course.release import release

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config

_FINGERPRINT_CELL = """

```{{code-cell}} ipython3
:tags: [remove-cell]

# What this page stands on: {digest}
```
"""

# The bundle, its fonts, and the TeX extensions that it loads when a page uses one of their macros.
_MATHJAX_PARTS = ("tex-chtml.js", "output/chtml/fonts/woff-v2", "input/tex/extensions")


def setup(app: "Sphinx") -> dict[str, Any]:
    """Connect the extension to Sphinx."""
    # Rebuild "html": Sphinx itself copies a changed script or style only when some page changed as well.
    app.add_config_value("vglib_static_digest", "", "html")
    app.connect("config-inited", _watch_static)
    app.connect("config-inited", _use_local_mathjax)
    app.connect("builder-inited", _prepare)
    app.connect("builder-inited", _release_exercises)
    app.connect("builder-inited", _without_thebe)
    app.connect("source-read", _bind_cache)
    app.connect("html-page-context", _plain_bibliography)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def _watch_static(app: "Sphinx", config: "Config") -> None:
    """Have all pages written again when a script or a style has changed."""
    digest = hashlib.sha256()
    for folder in config.html_static_path:
        for path in sorted(Path(app.srcdir, folder).rglob("*")):
            if path.is_file():
                digest.update(path.read_bytes())
    config.vglib_static_digest = digest.hexdigest()


def _use_local_mathjax(app: "Sphinx", config: "Config") -> None:
    """Serve MathJax from the book itself."""
    config.mathjax_path = "mathjax/tex-chtml.js"
    # MyST adds its own settings to these. The menu would ask for parts that are not shipped.
    config.mathjax3_config = {"options": {"enableMenu": False}, **(config.mathjax3_config or {})}
    parts = Path(app.outdir).parent / "parts"
    # Added here, after Jupyter Book has put every script it finds in the static folders into every page.
    config.html_static_path.append(str(parts))
    source = Path(distribution("sphinx-mathjax-offline").locate_file("sphinx-mathjax-offline/static/mathjax"))
    for part in _MATHJAX_PARTS:
        target = parts / "mathjax" / part
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if (source / part).is_dir():
            shutil.copytree(source / part, target)
        else:
            shutil.copy(source / part, target)


def _prepare(app: "Sphinx") -> None:
    # Not stored in the configuration: Sphinx would try to pickle it.
    app.vglib_fingerprints = Fingerprints(Path(app.srcdir))  # type: ignore[attr-defined]


def _release_exercises(app: "Sphinx") -> None:
    """Put the exercises without solutions where the chapters offer them for download."""
    release(Path(app.srcdir, "exercises"), Path(app.srcdir, "_build", "exercises"))


def _without_thebe(app: "Sphinx") -> None:
    """Leave out thebe: no page starts it, and it declares THEBE_JS_URL twice, an error in the console."""
    for event in ("env-before-read-docs", "doctree-resolved"):
        for listener in list(app.events.listeners.get(event, [])):
            if listener.handler.__module__ == "sphinx_thebe":
                app.disconnect(listener.id)


def _plain_bibliography(
    app: "Sphinx", pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Take ARIA roles off bibliographies: docutils nests them so that a screen reader cannot use them."""
    body = context.get("body")
    if body and "citation-list" in body:
        for role in ("list", "doc-biblioentry", "doc-backlink"):
            body = body.replace(f' role="{role}"', "")
        context["body"] = body


def _bind_cache(app: "Sphinx", docname: str, source: list[str]) -> None:
    """Make the notebook cache's key, which is the code cells alone, cover what the cells import and read."""
    from myst_nb.core.read import is_myst_markdown_notebook

    if not app.env.doc2path(docname).endswith(".md") or not is_myst_markdown_notebook(source[0]):
        return
    fingerprints: Fingerprints = app.vglib_fingerprints  # type: ignore[attr-defined]
    files = fingerprints.files(source[0])
    for path in files:
        app.env.note_dependency(str(path))
    source[0] += _FINGERPRINT_CELL.format(digest=fingerprints.digest(files))
