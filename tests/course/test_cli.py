"""The command line: helpful, quick to start, and clear about what it cannot do."""

import subprocess
import sys

import pytest

from vglib.course import checkout, cli

COMMANDS = ["book", "test", "lab", "bench"]


@pytest.mark.parametrize("arguments", [[], *([command] for command in COMMANDS)])
def test_help_tells_the_exit_codes(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main([*arguments, "--help"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert "exit codes:" in said
    if not arguments:
        assert all(command in said for command in COMMANDS)


@pytest.mark.parametrize("arguments", [[], ["fly"], ["book", "--fly"]])
def test_a_wrong_command_line_is_2(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_an_installed_copy_has_no_book(capsys, monkeypatch, tmp_path, command):
    monkeypatch.setattr("vglib.__file__", str(tmp_path / "vglib" / "__init__.py"))
    assert cli.main([command]) == 3
    said = capsys.readouterr().err
    assert said.startswith(f"vglib {command}: no book beside the library")
    assert "checkout" in said


def test_a_missing_package_names_its_extra(capsys, monkeypatch):
    find = checkout.importlib.util.find_spec
    monkeypatch.setattr(
        checkout.importlib.util, "find_spec", lambda name: None if name == "jupyter_book" else find(name)
    )
    assert cli.main(["book"]) == 3
    assert "missing jupyter_book: pip install -e '.[book]'" in capsys.readouterr().err


@pytest.mark.parametrize(("command", "module"), [("test", "suite"), ("lab", "lab"), ("bench", "lab")])
def test_other_arguments_are_handed_on(monkeypatch, command, module):
    name = {"test": "run", "lab": "start", "bench": "bench"}[command]
    given = []
    monkeypatch.setattr(f"vglib.course.{module}.{name}", lambda rest: given.extend(rest) or 0)
    assert cli.main([command, "--", "-k", "clipping"]) == 0
    assert cli.main([command, "-x"]) == 0
    assert given == ["-k", "clipping", "-x"]


def test_an_interruption_is_no_traceback(capsys, monkeypatch):
    def interrupted(rest):
        raise KeyboardInterrupt

    monkeypatch.setattr("vglib.course.lab.start", interrupted)
    assert cli.main(["lab"]) == 1
    assert capsys.readouterr().err == "vglib lab: interrupted\n"


def test_starting_loads_nothing_heavy():
    code = (
        "import sys; from vglib.course import cli; cli.parser()\n"
        "heavy = {'torch', 'matplotlib', 'sphinx', 'jupyter_book', 'ipywidgets', 'pytest', 'grimp'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
