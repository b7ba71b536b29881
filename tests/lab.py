"""A reader's JupyterLab and a real browser that shows it, for tests and benchmarks."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import BrowserContext, Locator, Page, expect, sync_playwright

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
ERROR = ".jp-Notebook [data-mime-type='application/vnd.jupyter.error']"

# Counts from the key press to the first painted frame in which the picture's own pixels differ.
WATCH = """() => {
  const context = Object.assign(document.createElement('canvas'), {width: 64, height: 64})
    .getContext('2d', {willReadFrequently: true});
  const pixels = () => {
    const picture = document.querySelector('.animlab-picture img');
    if (!picture?.complete) return null;
    context.drawImage(picture, 0, 0, 64, 64);
    return context.getImageData(0, 0, 64, 64).data.join();
  };
  const before = pixels();
  window.milliseconds = new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error('the picture did not change within 5 s')), 5000);
    document.addEventListener('keydown', event => {
      const look = () => {
        const after = pixels();
        if (after && after !== before) resolve(performance.now() - event.timeStamp);
        else requestAnimationFrame(look);
      };
      requestAnimationFrame(look);
    }, {capture: true, once: true});
  });
}"""


class Lab(NamedTuple):
    """A running JupyterLab: called with a notebook's name, it gives its page, on which no tabs of others are open."""

    address: str
    token: str
    folder: Path

    def __call__(self, name: str) -> str:
        return f"{self.address}/lab/workspaces/{name}/tree/{name}.ipynb?token={self.token}"

    @property
    def sessions(self) -> str:
        return f"{self.address}/api/sessions"

    @property
    def key(self) -> dict[str, str]:
        return {"Authorization": f"token {self.token}"}


def write_notebook(path: Path, *sources: str) -> None:
    """A notebook of these code cells, none of them run."""
    cells = [new_code_cell(source) for source in sources]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)


@contextmanager
def running_lab(folder: Path) -> Iterator[Lab]:
    """JupyterLab on the notebooks in a folder, with settings of its own."""
    # No cell is left out of the page for being out of sight, and no news are fetched.
    settings = {
        "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
        "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    }
    (folder / "config" / "labconfig").mkdir(parents=True)
    (folder / "config" / "labconfig" / "default_setting_overrides.json").write_text(json.dumps(settings))
    own = {
        "JUPYTER_CONFIG_DIR": folder / "config",
        "JUPYTER_RUNTIME_DIR": folder / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": folder / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": folder / "workspaces",
        "IPYTHONDIR": folder / "ipython",
    }
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex()
    command = [
        sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}",
        "--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}", f"--IdentityProvider.token={token}",
        "--LabApp.extension_manager=readonly",
    ]  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, env=os.environ | {k: str(v) for k, v in own.items()}, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{address}/api?token={token}", timeout=5).close()
                break
            except urllib.error.URLError:
                assert server.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.2)
        yield Lab(address, token, folder)
    finally:
        server.terminate()
        server.wait(timeout=30)


@contextmanager
def visitor() -> Iterator[BrowserContext]:
    """One visitor's browser: what JupyterLab is made of is fetched for the first page and cached for the others."""
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as chromium:
        yield chromium.new_context(viewport={"width": 1280, "height": 1000})


def opened(browser: BrowserContext, address: str) -> Page:
    """The page of a notebook whose kernel waits."""
    page = browser.new_page()
    page.goto(address)
    expect(page.get_by_text(re.compile(r"\| Idle$"))).to_be_visible(timeout=60_000)  # the status bar on the kernel
    return page


def start_all(browser: BrowserContext, address: str) -> Page:
    """The page of a notebook whose cells have begun to run."""
    page = opened(browser, address)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    return page


def run_all(browser: BrowserContext, address: str) -> Page:
    """The page of a notebook with all its cells run."""
    page = start_all(browser, address)
    last = page.locator(".jp-Notebook .jp-CodeCell .jp-InputPrompt").last
    stopped = last.filter(has_text=re.compile(r"\[\d+\]")).or_(page.locator(ERROR)).first
    expect(stopped).to_be_visible(timeout=300_000)
    return page


def milliseconds(page: Page, handle: Locator, keys: list[str]) -> list[float]:
    """How long the first picture on the page takes to follow each of these keys, pressed on a slider's handle."""
    handle.focus()
    times = []
    for key in keys:
        page.evaluate(WATCH)
        page.keyboard.press(key)
        times.append(page.evaluate("window.milliseconds"))
    return times
