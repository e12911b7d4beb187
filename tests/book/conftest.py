"""The built book on a loopback server, a browser that can reach nothing else, and the chapters' figures."""

import functools
import http.server
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"


def book_pages():
    """Document names in the order of _toc.yml."""
    import yaml

    def files(node):
        if isinstance(node, dict):
            for key, value in node.items():
                if key in {"root", "file"}:
                    yield value
                else:
                    yield from files(value)
        elif isinstance(node, list):
            for item in node:
                yield from files(item)

    return list(files(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))))


def pytest_generate_tests(metafunc):
    """Parametrise by page, so that a failure names it; whatever _toc.yml lists is covered."""
    pages = book_pages()
    if "any_page" in metafunc.fixturenames:
        metafunc.parametrize("any_page", [*pages, "search", "genindex"], scope="session")
    if "page_name" in metafunc.fixturenames:
        metafunc.parametrize("page_name", pages, scope="session")


@pytest.fixture(scope="session")
def html(unavailable):
    """Folder of the built book."""
    if not (ROOT / "_build" / "html.good").exists():
        unavailable("no built book, or its last build failed: make book")
    return HTML


@pytest.fixture(scope="session")
def site(html):
    """Address of the book on the loopback interface."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(html))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@dataclass
class Visit:
    """A page that was opened, and what happened meanwhile."""

    page: object
    complaints: list = field(default_factory=list)
    refused: list = field(default_factory=list)
    weight: int = 0


@pytest.fixture(scope="session")
def visit(browser, site):
    """Function that opens a page in a colour scheme and width, once for all tests of that page in a row."""
    opened = {}

    def open_page(name, scheme="light", width=1280):
        key = (name, scheme, width)
        if key in opened:
            return opened[key]
        for other in [other for other in opened if other[0] != name]:
            opened.pop(other).page.context.close()
        context = browser.new_context(
            color_scheme=scheme, viewport={"width": width, "height": 900}, reduced_motion="reduce"
        )
        seen = Visit(context.new_page())

        def guard(route):
            if route.request.url.startswith((f"{site}/", "data:", "blob:")):
                route.continue_()
            else:
                seen.refused.append(route.request.url)
                route.abort()

        def weigh(response):
            seen.weight += int(response.headers.get("content-length", 0))

        def listen(message):
            if message.type in {"error", "warning"}:
                seen.complaints.append(f"{message.type}: {message.text}")

        context.route("**/*", guard)
        seen.page.on("response", weigh)
        seen.page.on("console", listen)
        seen.page.on("pageerror", lambda error: seen.complaints.append(f"uncaught: {error}"))
        seen.page.goto(f"{site}/{name}.html", wait_until="load")
        seen.page.evaluate("() => window.MathJax?.startup?.promise")
        opened[key] = seen
        return seen

    return open_page


@dataclass(frozen=True)
class Call:
    """A call of ``explore`` in a chapter."""

    draw: object
    size: tuple
    panels: tuple
    controls: dict


@functools.cache
def explore_calls(name):
    """Run the code of a chapter here and collect its calls of ``explore`` in order; nothing is drawn."""
    import jupytext

    import vglib.show

    calls = []

    def record(draw, *, alt, size=(6.4, 3.6), panels=(1, 1), title=None, **controls):
        positions = {
            key: (given if hasattr(given, "texts") else vglib.show.slider(given)).values
            for key, given in controls.items()
        }
        calls.append(Call(draw, size, panels, positions))

    notebook = jupytext.read(ROOT / f"{name}.md")
    namespace = {"__name__": "__main__"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VGLIB_STATIC", "1")
        patch.setattr(vglib.show, "explore", record)
        patch.chdir(ROOT / "chapters")
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type == "code":
                exec(compile(cell.source, f"{name}, cell {index}", "exec"), namespace)
    return calls


@pytest.fixture
def calls():
    return explore_calls
