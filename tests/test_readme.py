"""The README's example runs and prints what its comment says."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


def test_the_example_prints_what_the_comment_says(capsys):
    pytest.importorskip("torch")
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S)
    exec(compile(code, "README.md", "exec"), {})
    promised = re.search(r"# (-\d+):", code)[1]
    assert capsys.readouterr().out.strip() == promised


def test_every_make_target_is_one_that_the_makefile_has():
    targets = set(re.findall(r"`make (\w+)`", README.read_text(encoding="utf-8")))
    makefile = (README.parent / "Makefile").read_text(encoding="utf-8")
    assert targets
    assert all(re.search(rf"^{target}:", makefile, re.M) for target in targets)


def test_every_call_that_it_names_exists_and_takes_these_arguments():
    pytest.importorskip("torch")
    calls = re.findall(r"^\| `([\w.]+)\((.*?)\)` \|", README.read_text(encoding="utf-8"), re.M)
    assert len(calls) > 5
    for path, arguments in calls:
        module, name = path.removeprefix("vglib.").rsplit(".", 1)
        parameters = inspect.signature(getattr(importlib.import_module(f"vglib.{module}"), name)).parameters
        assert set(re.findall(r"(\w+)=", arguments)) <= set(parameters), path
