"""JupyterLab as `vglib lab` starts it: chapters open as notebooks and their sliders are alive."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from vglib.course.lab import CONFIG, lab_command, lab_environment

CHAPTER = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
    format_version: 0.13
kernelspec:
  display_name: Python 3 (ipykernel)
  language: python
  name: python3
---

# A chapter

```{code-cell} ipython3
from vglib.show import explore

def powers(ax, w):
    ax.plot([w**t for t in range(9)])

explore(powers, w=[0.5, 0.9], alt="Powers of w.")
```
"""

GATES = CHAPTER.partition("from vglib")[0] + "from vglib.show import gates\n\ngates(i=0, f=0.95, o=1)\n```\n"


def test_sliders_are_alive_in_lab():
    assert "VGLIB_STATIC" not in lab_environment({"VGLIB_STATIC": "1"})


def test_own_settings_come_before_ours():
    environment = lab_environment({"JUPYTER_CONFIG_PATH": "/mine"})
    assert environment["JUPYTER_CONFIG_PATH"].split(os.pathsep) == ["/mine", str(CONFIG)]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Address of a running JupyterLab on a folder with two chapters."""
    pytest.importorskip("jupyterlab")
    folder = tmp_path_factory.mktemp("lab")
    (folder / "chapters").mkdir()
    (folder / "chapters" / "one.md").write_text(CHAPTER, encoding="utf-8")
    (folder / "chapters" / "two.md").write_text(GATES, encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Whoever runs the tests keeps their own settings and workspaces out of it, and intact.
    private = {
        name: str(folder / ".jupyter" / name)
        for name in (
            "JUPYTER_CONFIG_DIR",
            "JUPYTERLAB_SETTINGS_DIR",
            "JUPYTERLAB_WORKSPACES_DIR",
            "IPYTHONDIR",
        )
    }
    options = ["--no-browser", "--allow-root", f"--port={port}", "--ServerApp.port_retries=0"]
    options += ["--IdentityProvider.token=t", "--ServerApp.ip=127.0.0.1"]
    environment = {**lab_environment(), **private, "VGLIB_STATIC": ""}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [*lab_command(folder), *options], env=environment, stdout=log, stderr=log, start_new_session=True
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/api?token=t", server, folder / "log")
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def _wait_for(address, server, log):
    end = time.monotonic() + 60
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start:\n{Path(log).read_text()[-2000:]}")


def test_settings_are_served(lab):
    with urllib.request.urlopen(f"{lab}/lab/api/settings?token=t", timeout=30) as answer:
        settings = {one["id"]: one for one in json.load(answer)["settings"]}
    viewers = settings["@jupyterlab/docmanager-extension:plugin"]["schema"]["properties"]["defaultViewers"]
    assert viewers["default"]["markdown"] == "Jupytext Notebook"
    news = settings["@jupyterlab/apputils-extension:notification"]["schema"]["properties"]
    assert news["fetchNews"]["default"] == "false"
    assert news["checkForUpdates"]["default"] is False


@pytest.fixture
def run_first_cell(lab, browser):
    """Function that opens a chapter by a double click and runs its first cell."""
    pages = []

    def run(name):
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        pages.append(page)
        page.goto(f"{lab}/lab?token=t")
        page.locator(".jp-DirListing-item", has_text=name).dblclick(timeout=60_000)
        panel = page.locator(".jp-NotebookPanel:visible")
        panel.locator(".jp-CodeCell").first.wait_for(timeout=60_000)
        # Until the kernel is there, running a cell would ask for one.
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60_000)
        panel.locator(".jp-CodeCell .cm-content").first.click()
        page.keyboard.press("Shift+Enter")
        return page

    yield run
    for page in pages:
        page.close()


def test_double_click_opens_a_notebook_with_sliders(run_first_cell):
    page = run_first_cell("one.md")
    slider = page.locator(
        ".jp-OutputArea-output .widget-hslider, .jp-OutputArea-output .jupyter-widget-hslider"
    )
    slider.first.wait_for(timeout=60_000)
    label = page.locator(".jp-OutputArea-output svg[role=img]").first.get_attribute("aria-label")
    assert label == "Powers of w."


def test_a_figure_that_brings_its_own_script_is_alive(run_first_cell):
    page = run_first_cell("two.md")
    slider = page.get_by_role("slider", name="forget gate f")
    slider.wait_for(timeout=60_000)
    says = page.locator(".jp-OutputArea-output .vg-says")
    assert says.inner_text().startswith("After 20 steps the cell holds 0.36 of what was written.")
    # Keys that move a slider are JupyterLab's, too.
    slider.press("End")
    assert says.inner_text().startswith("After 20 steps the cell holds all of what was written.")
    page.get_by_role("button", name="overwrite").click()
    assert says.inner_text().startswith("After 20 steps the cell holds nothing of what was written;")
    assert page.locator(".jp-OutputArea-output .vg-gates").get_attribute("data-ready") == "true"
