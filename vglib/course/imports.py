"""What a chapter stands on: the modules it imports, all they import, the results it reads."""

import ast
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import grimp

# ```{code-cell} … ``` with any number of backticks, or the colon fence; options are comments to Python.
_CELL = re.compile(r"^(?P<fence>`{3,}|:{3,})\{code-cell\}[^\n]*\n(?P<code>.*?)^(?P=fence)\s*$", re.M | re.S)
# A file below the folder of the module that names it, such as static/quiz.css.
_DATA = re.compile(r"\w[\w/-]*\.\w[\w.]*")
_OPTIONS = re.compile(r"\A(?:---\n.*?^---\n|(?::[\w-]+:[^\n]*\n)+)", re.M | re.S)


def code_cells(markdown: str) -> list[str]:
    """Return the sources of the code cells of a MyST notebook, without their options."""
    return [_OPTIONS.sub("", match["code"]) for match in _CELL.finditer(markdown)]


def parse(cell: str) -> ast.Module:
    """Syntax tree of one cell; magics and shell lines are translated first."""
    try:
        return ast.parse(cell)
    except SyntaxError:
        from IPython.core.inputtransformer2 import TransformerManager

        return ast.parse(TransformerManager().transform_cell(cell))


def strings(tree: ast.AST) -> set[str]:
    """Return all string constants in the code."""
    constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {value for value in constants if isinstance(value, str)}


def imported_modules(tree: ast.AST, package: str) -> set[str]:
    """Names of the modules of `package` that the code imports, at any depth of nesting.

    A name imported from a package counts as the module that defines it: ``from vglib import RNN`` as
    ``vglib.base.rnn``. The package must be importable.

    Parameters
    ----------
    tree
        Parsed code.
    package
        Top-level package; other imports are ignored.

    Returns
    -------
    set of str
        Dotted module names.
    """
    found: set[str] = set()
    aliases: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == package:
                    found.add(alias.name)
                    if alias.asname is None or alias.name == package:
                        aliases.add(alias.asname or package)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            module = node.module or ""
            if module.split(".")[0] == package:
                found |= {_defining_module(module, alias.name) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
            found.add(_defining_module(package, node.attr))
    return found


def _defining_module(module: str, name: str) -> str:
    """Find the module in which `name`, as seen from `module`, is written."""
    package = importlib.import_module(module)
    if name == "*" or not hasattr(package, "__path__"):
        return module
    value = getattr(package, name, None)
    if inspect.ismodule(value):
        home = value.__name__
    elif inspect.isclass(value) or inspect.isroutine(value):
        home = value.__module__ or module
    elif importlib.util.find_spec(f"{module}.{name}"):
        # Not imported yet.
        home = f"{module}.{name}"
    else:
        home = _imported_from(module, name)
    return home if home.split(".")[0] == module.split(".")[0] else module


def _imported_from(package: str, name: str) -> str:
    """Find where a package takes a value from that does not know its own module, such as a number."""
    for node in ast.walk(ast.parse(inspect.getsource(importlib.import_module(package)))):
        if isinstance(node, ast.ImportFrom) and name in {alias.asname or alias.name for alias in node.names}:
            return importlib.util.resolve_name("." * node.level + (node.module or ""), package)
    return package


class Fingerprints:
    """Fingerprints of chapters: they change when, and only when, a chapter has to run again.

    Parameters
    ----------
    root
        The repository: holds the package, ``results/`` and ``constraints.txt``.
    package
        Name of the library.
    """

    def __init__(self, root: Path, package: str = "vglib"):
        self.root = root
        self.package = package

    @cache  # noqa: B019 - lives as long as one build
    def _graph(self) -> grimp.ImportGraph:
        return grimp.build_graph(self.package, exclude_type_checking_imports=True, cache_dir=None)

    def modules(self, chapter: str) -> set[str]:
        """Every module of the library that runs when the chapter runs.

        The package's own ``__init__`` only forwards names, so that its imports are not followed: else each
        chapter would hang on the whole library.
        """
        graph = self._graph()
        todo: set[str] = set()
        for cell in code_cells(chapter):
            todo |= imported_modules(parse(cell), self.package)
        done: set[str] = set()
        while todo:
            module = todo.pop()
            if module in done or module not in graph.modules:
                continue
            done.add(module)
            if module != self.package:
                todo |= graph.find_modules_directly_imported_by(module)
                todo.add(module.rpartition(".")[0])
        return done

    def results(self, chapter: str) -> set[Path]:
        """Files in ``results/`` that the code names: by path, by file name or by stem."""
        texts = {text for cell in code_cells(chapter) for text in strings(parse(cell))}
        folder = self.root / "results"
        files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        names = {text.rpartition("results/")[2] for text in texts}
        return {path for path in files if {path.name, path.stem, path.relative_to(folder).as_posix()} & names}

    def files(self, chapter: str) -> list[Path]:
        """All files that the outputs of the chapter depend on, sorted."""
        files = {self.root / "constraints.txt", *self.results(chapter)}
        for module in self.modules(chapter):
            files.update(self._files_of(module))
        return sorted(path for path in files if path.is_file())

    def _files_of(self, module: str) -> Iterator[Path]:
        """Yield the module's file, the data files that lie beside it and those that it names."""
        path = self.root.joinpath(*module.split("."))
        source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        yield source
        texts = strings(ast.parse(source.read_text(encoding="utf-8")))
        yield from (source.parent / text for text in texts if _DATA.fullmatch(text))
        if module.count(".") > 1:
            files = (file for file in source.parent.iterdir() if file.is_file())
            yield from (file for file in files if file.suffix not in {".py", ".pyc"})

    def digest(self, files: list[Path]) -> str:
        """Fingerprint of the files' names and contents and of the Python version."""
        digest = hashlib.sha256("{}.{}".format(*sys.version_info).encode())
        for path in files:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"\n{path.relative_to(self.root).as_posix()} {content}".encode())
        return digest.hexdigest()[:16]
