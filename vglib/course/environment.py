"""Set up ``.venv`` in the repository: ``python3 vglib/course/environment.py [EXTRA]``.

Standard library only, and it must not import vglib: it runs before anything is installed, with whatever
Python the reader has. Nothing is done when the environment is up to date.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST = (3, 11)
ROOT = Path(__file__).resolve().parents[2]


def digest(root: Path, extra: str) -> str:
    """Fingerprint all that decides what is installed, and where: an editable install holds the path."""
    parts = [str(root), extra, sys.version]
    parts += [(root / name).read_text(encoding="utf-8") for name in ("pyproject.toml", "constraints.txt")]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def python_of(venv: Path) -> Path:
    """Return the environment's interpreter."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def ensure(root: Path = ROOT, extra: str = "test") -> Path:
    """Create or update the environment if need be.

    A mark beside the environment stands from before the first change until success: where it is found, an
    interrupted installation may have left half a package behind, and the environment is made anew. One that
    somebody else made, with a PyTorch of their choice in it for instance, is kept and completed.

    Parameters
    ----------
    root
        The repository.
    extra
        Which of the extras of pyproject.toml to install.

    Returns
    -------
    Path
        The environment's interpreter.
    """
    venv = root / ".venv"
    stamp = venv / "vglib-stamp"
    python = python_of(venv)
    wanted = f"{sys.version}\n{digest(root, extra)}\n"
    unfinished = root / ".venv.unfinished"
    found = stamp.read_text(encoding="utf-8") if stamp.is_file() else ""
    usable = python.exists() and not unfinished.exists()
    if usable and found == wanted:
        return python
    unfinished.touch()
    other_python = found and not found.startswith(f"{sys.version}\n")
    if not usable or other_python:
        _create(venv)
    _install(python, root, extra)
    stamp.write_text(wanted, encoding="utf-8")
    unfinished.unlink()
    return python


def _create(venv: Path) -> None:
    try:
        import ensurepip  # noqa: F401
        import venv as venv_module  # noqa: F401
    except ImportError:
        sys.exit(
            "This Python cannot make virtual environments: ensurepip is missing.\n"
            f"On Debian and Ubuntu: apt-get install python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        )
    print(f"Making {venv} (once; this takes some minutes)", flush=True)
    if venv.exists():
        shutil.rmtree(venv)
    _run([sys.executable, "-m", "venv", str(venv)], "making the environment")


def _install(python: Path, root: Path, extra: str) -> None:
    print(f"Installing vglib[{extra}]", flush=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--constraint", str(root / "constraints.txt"), "--editable", f"{root}[{extra}]"]
    _run(command, "installing the packages")


def _run(command: list[str], what: str) -> None:
    status = subprocess.run(command, check=False).returncode
    if status != 0:
        sys.exit(f"{what.capitalize()} failed (exit status {status}): {' '.join(command)}")


def main(argv: list[str]) -> None:
    """Run as a script."""
    if sys.version_info < OLDEST:
        sys.exit(
            f"Python {OLDEST[0]}.{OLDEST[1]} or later is needed; this is {sys.version.split()[0]} "
            f"({sys.executable}).\nName another one with: make PYTHON=python3.12 …"
        )
    if len(argv) > 1 or any(argument.startswith("-") for argument in argv):
        sys.exit("usage: environment.py [EXTRA], one of the extras of pyproject.toml (default: test)")
    ensure(ROOT, *argv)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit("Interrupted; the next run starts the environment afresh.")
