"""Build the HTML book, every warning an error."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from vglib.course.checkout import require, root

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Sums must not depend on the number of cores. The libraries read this when they load."""


def page_environment(folder: Path, base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Environment in which pages are computed: the same outputs on every machine.

    Parameters
    ----------
    folder
        Root of the checkout.
    base
        Environment to start from.
    """
    build = folder / "_build"
    return {
        **base,
        "VGLIB_STATIC": "1",
        # The library of this checkout, whatever is installed.
        "PYTHONPATH": os.pathsep.join(filter(None, [str(folder), base.get("PYTHONPATH")])),
        "PYTHONHASHSEED": "0",
        **ONE_THREAD,
        # Nothing of the user's own settings reaches a page.
        "IPYTHONDIR": str(build / "ipython"),
        "JUPYTER_PREFER_ENV_PATH": "1",
        "MPLCONFIGDIR": str(build / "matplotlib"),
    }


def build(*, fresh: bool = False, quiet: bool = False) -> int:
    """Build the book and print where it is.

    Parameters
    ----------
    fresh
        Forget all pages and outputs first.
    quiet
        Print warnings and errors only.

    Returns
    -------
    int
        0, or 1 if anything failed, a warning included.
    """
    folder = root()
    require("book", "jupyter_book", "grimp", "sphinx_exercise", "sphinx_proof", "matplotlib")
    out = folder / "_build"
    if fresh:
        for name in ("html", ".doctrees", ".jupyter_cache"):
            shutil.rmtree(out / name, ignore_errors=True)
    os.environ.update(page_environment(folder))
    sys.path.insert(0, str(folder))
    _prepare(out)
    # Sphinx repeats no warning of a page that it need not read again, so that a second build would pass what
    # failed in the first, or was interrupted: without the mark of a good build, every page is read again.
    good = out / "html.good"
    reread = not good.exists()
    good.unlink(missing_ok=True)
    status = _sphinx(folder, out, reread=reread, quiet=quiet)
    if status != 0:
        print("\nThe book was NOT built: see the warnings above.", file=sys.stderr)
        return 1
    good.touch()
    print(f"\nThe book: {out / 'html' / 'index.html'}")
    return 0


def _sphinx(folder: Path, out: Path, *, reread: bool, quiet: bool) -> object:
    """Run Jupyter Book as ``jupyter-book build -W -n --keep-going`` does; 0 is success."""
    from jupyter_book.sphinx import build_sphinx

    return build_sphinx(
        folder,
        out / "html",
        noconfig=True,
        path_config=folder / "_config.yml",
        confoverrides={
            "external_toc_path": (folder / "_toc.yml").as_posix(),
            "latex_individualpages": False,
            "nitpicky": True,
        },
        doctreedir=out / ".doctrees",
        freshenv=reread,
        warningiserror=True,
        keep_going=True,
        quiet=quiet,
    )


def _prepare(out: Path) -> None:
    """Keep two lines that are nobody's output off the pages and the terminal."""
    profile = out / "ipython" / "profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    # ipykernel warns that it talks over loopback TCP, once a kernel.
    (profile / "ipython_kernel_config.json").write_text('{"IPKernelApp": {"log_level": 40}}\n')
    # matplotlib announces on stderr, which would end up in the first page, that it is listing the fonts.
    if not list((out / "matplotlib").glob("fontlist-*.json")):
        subprocess.run(
            [sys.executable, "-c", "import matplotlib.font_manager"], check=True, capture_output=True
        )
