"""What opens or runs beside the book: JupyterLab and the benchmarks."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from vglib.course.checkout import CannotRunError, require, root

# Holds labconfig/: Markdown opens as a notebook, no news are fetched (default_setting_overrides.json), and
# nbgrader's buttons, which are for instructors, stay away where it is installed (page_config.json).
CONFIG = Path(__file__).resolve().parent


def lab_environment(base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Environment of JupyterLab: the settings shipped here come after the user's own.

    Parameters
    ----------
    base
        Environment to start from.
    """
    environment = {**base}
    # Sliders are alive here.
    environment.pop("VGLIB_STATIC", None)
    paths = [base.get("JUPYTER_CONFIG_PATH"), str(CONFIG)]
    environment["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, paths))
    return environment


def lab_command(folder: Path) -> list[str]:
    """Command that starts JupyterLab in the checkout, its file browser on the chapters."""
    return [
        sys.executable,
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={folder}",
        f"--ServerApp.preferred_dir={folder / 'chapters'}",
    ]


def start(arguments: Sequence[str]) -> int:
    """Start JupyterLab on the chapters and wait until it ends.

    Parameters
    ----------
    arguments
        Handed on to JupyterLab.

    Returns
    -------
    int
        0, or 1 if it failed.
    """
    folder = root()
    require("lab", "jupyterlab", "jupytext", "matplotlib", "ipywidgets", "torch")
    command = [*lab_command(folder), *arguments]
    return min(subprocess.run(command, env=lab_environment(), check=False).returncode, 1)


def bench(arguments: Sequence[str]) -> int:
    """Run ``python -m benchmarks`` in the checkout.

    Parameters
    ----------
    arguments
        Handed on to the benchmarks.

    Returns
    -------
    int
        0, or 1 if they failed.
    """
    folder = root()
    if not (folder / "benchmarks" / "__main__.py").is_file():
        raise CannotRunError(f"no benchmarks in {folder}")
    require("torch", "torch")
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return min(subprocess.run(command, cwd=folder, check=False).returncode, 1)
