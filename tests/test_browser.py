"""A reader in a real browser: notebooks in JupyterLab, all cells run, controls moved, the pictures move with them."""

import json
import os
import re
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

import nbformat
import numpy as np
import papermill
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image
from playwright.sync_api import expect, sync_playwright
from test_notebooks import PARAMETERS

ROOT = Path(__file__).parent.parent
FIRST = "00_play_with_labels"
UNTOUCHED = "untouched"  # a copy of the first as a newcomer finds it
BUSY = "busy"  # a player, an explorer, and a training that does not end
PLAYER = """import animlab
model = animlab.load("pretrained/actions")
animlab.LabelPlayer(model)"""
EXPLORER = """from ipywidgets import FloatSlider
from animlab.widgets.explorer import Explorer
def draw(c):
    return model.frames(model.space.still(0, [c] * 5))[0], f"every c at {c:.2f}"
Explorer(draw, c=FloatSlider(0.5, max=1, step=0.01))"""
TRAINING = """clips = animlab.load_dataset("shapes-synthetic", progress=False)
run = animlab.fit(clips, animlab.LabelSpace(2, 2, 2), "stable", 10**6, width=0.1, progress=False)"""
COMPOSING = "composing"
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
COMPOSER = """import animlab
model = animlab.load("pretrained/actions")
composer = animlab.Composer(model, seed=3)
composer"""
LESSONS = ["01_gan_basics", "02_discrete_labels", "03_continuous_labels", "04_full_training", "05_ablations"]
LESSONS += ["06_metrics", "07_comparisons", "08_computation", "09_beyond_the_paper"]
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
pytestmark = pytest.mark.skipif(
    not (CHROMIUM or os.environ.get("CI")), reason="no Chromium found: install it or name it in CHROMIUM"
)

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


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab, serving copies of the notebooks from a folder of their own."""
    folder = tmp_path_factory.mktemp("lab")
    few = {FIRST: {"steps": 20}}  # the notebooks' own training takes minutes, and its result is not what is looked at
    few |= {name: PARAMETERS[name] for name in LESSONS}
    for name, parameters in few.items():
        notebook = papermill.execute_notebook(ROOT / "notebooks" / f"{name}.ipynb", None, parameters, prepare_only=True)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.update(outputs=[], execution_count=None)
        nbformat.write(notebook, folder / f"{name}.ipynb")
    shutil.copy(ROOT / "notebooks" / f"{FIRST}.ipynb", folder / f"{UNTOUCHED}.ipynb")
    busy = [new_code_cell(source) for source in (PLAYER, EXPLORER, TRAINING)]
    nbformat.write(new_notebook(cells=busy, metadata={"kernelspec": KERNEL}), folder / f"{BUSY}.ipynb")
    composing = new_notebook(cells=[new_code_cell(COMPOSER)], metadata={"kernelspec": KERNEL})
    nbformat.write(composing, folder / f"{COMPOSING}.ipynb")

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


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as browser:
        yield browser


def opened(browser, address):
    """The page of a notebook whose kernel waits."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.goto(address)
    expect(page.get_by_text(re.compile(r"\| Idle$"))).to_be_visible(timeout=60_000)  # the status bar on the kernel
    return page


def run_all(browser, address):
    """The page of a notebook with all its cells run."""
    page = opened(browser, address)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    last = page.locator(".jp-Notebook .jp-CodeCell .jp-InputPrompt").last
    stopped = last.filter(has_text=re.compile(r"\[\d+\]")).or_(page.locator(ERROR)).first
    expect(stopped).to_be_visible(timeout=300_000)
    return page


def close(page, lab, name):
    """Close a notebook's page and stop its kernel, which may hold a gigabyte and would go on playing a game."""
    page.close()
    with urllib.request.urlopen(urllib.request.Request(lab.sessions, headers=lab.key)) as answer:
        (own,) = (each["id"] for each in json.load(answer) if each["path"] == f"{name}.ipynb")
    urllib.request.urlopen(urllib.request.Request(f"{lab.sessions}/{own}", headers=lab.key, method="DELETE")).close()


@pytest.fixture(scope="module")
def page(browser, lab):
    """Notebook 00 with all its cells run."""
    return run_all(browser, lab(FIRST))


@pytest.fixture
def player(page):
    player = page.locator(".animlab-player").first
    expect(player.locator(".animlab-picture img")).to_be_visible()
    return player


def shot(page, name, folder):
    page.screenshot(path=Path(os.environ.get("ANIMLAB_SHOTS", folder)) / f"{name}.png")


def differs(picture, before):
    """Whether the picture on the screen becomes another one than `before` within five seconds."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if picture.screenshot() != before:
            return True
    return False


def assert_no_cell_shows_an_error(page):
    assert page.locator(ERROR).all_inner_texts() == []
    assert page.locator(".jp-OutputArea", has_text="Traceback (most recent call last)").all_inner_texts() == []
    assert page.locator(".jp-OutputArea", has_text="Error displaying widget").all_inner_texts() == []
    assert page.locator(".animlab-player").get_by_text(re.compile(r"^\w+Error: ")).all_inner_texts() == []  # its status


def test_no_cell_shows_an_error(page, tmp_path):
    shot(page, "run", tmp_path)
    assert_no_cell_shows_an_error(page)


def test_choosing_another_d_changes_the_picture(page, player, tmp_path):
    picture = player.locator(".animlab-picture img")
    before = picture.screenshot()
    player.locator(".widget-toggle-buttons", has_text="d (which clip)").get_by_role("button").nth(1).click()
    assert differs(picture, before)
    shot(page, "d", tmp_path)


def test_dragging_c_changes_the_picture(page, player, tmp_path):
    picture = player.locator(".animlab-picture img")
    before = picture.screenshot()
    slider = player.locator(".widget-hslider", has_text="c0")
    slider.locator(".noUi-handle").drag_to(slider.locator(".noUi-base"), target_position={"x": 5, "y": 2})
    assert differs(picture, before)
    shot(page, "c", tmp_path)


def test_the_picture_follows_the_keyboard_at_once(page, player):
    player.locator(".widget-hslider", has_text="c0").locator(".noUi-handle").focus()
    times = []
    for _ in range(50):
        page.evaluate(WATCH)
        page.keyboard.press("ArrowRight")
        times.append(page.evaluate("window.milliseconds"))
    p50, p95 = statistics.median(times), statistics.quantiles(times, n=20)[-1]
    print(f"key press to changed pixels over {len(times)} presses: p50 {p50:.0f} ms, p95 {p95:.0f} ms")
    assert p95 <= 150


def test_a_newcomer_drags_before_anything_is_trained(browser, lab, tmp_path):
    page = opened(browser, lab(UNTOUCHED))
    player = page.locator(".animlab-player").first
    page.locator(".jp-Notebook .jp-Cell").first.click()
    for _ in range(5):  # the cells down to the player
        page.keyboard.press("Shift+Enter")
    expect(player.locator(".animlab-picture img")).to_be_visible(timeout=60_000)
    picture, slider = player.locator(".animlab-picture img"), player.locator(".widget-hslider", has_text="c4")
    before = picture.screenshot()
    base = slider.locator(".noUi-base")
    for share, value in ((0.03, "0.0"), (0.97, "0.9")):
        target = {"x": share * base.bounding_box()["width"], "y": 2}
        slider.locator(".noUi-handle").drag_to(base, target_position=target)
        expect(player).to_contain_text(f"c 0.50 0.50 0.50 0.50 {value}")  # what the picture was drawn with
        assert differs(picture, before)
        before = picture.screenshot()
        shot(page, f"newcomer {value}", tmp_path)
    close(page, lab, UNTOUCHED)


def test_an_animation_is_composed_played_and_saved(browser, lab, tmp_path):
    page = run_all(browser, lab(COMPOSING))
    composer = page.locator(".animlab-composer")
    picture, strip = composer.locator(".animlab-picture img"), composer.locator("img.animlab-strip")
    expect(picture).to_be_visible()
    expect(picture).to_have_role("img")
    expect(picture).to_have_accessible_name(re.compile("^At 0.00 s. A picture that the model draws: d 0, z 3; c0"))
    expect(strip).to_have_accessible_name("The timeline of 4 s, a loop. Keys: no key yet.")
    empty = strip.screenshot()
    set_key = composer.get_by_role("button", name="Set key")
    set_key.click()
    assert differs(strip, empty)
    one_key = strip.screenshot()
    composer.locator(".widget-toggle-buttons").get_by_role("button").nth(2).click()
    slider = composer.locator(".widget-hslider", has_text="c4").locator(".noUi-handle")
    slider.focus()
    page.keyboard.press("End")
    expect(composer).to_contain_text("c 0.50 0.50 0.50 0.50 1.00")
    composer.locator(".widget-hslider", has_text="time").locator(".noUi-handle").focus()
    page.keyboard.press("End")  # there the one key still decides
    expect(composer).to_contain_text("z as keyed")
    for _ in range(4):
        page.keyboard.press("PageDown")
    composer.locator(".widget-toggle-buttons").get_by_role("button").nth(2).click()
    slider.focus()
    page.keyboard.press("End")
    expect(composer).to_contain_text("c 0.50 0.50 0.50 0.50 1.00")
    set_key.focus()
    page.keyboard.press("Enter")
    assert differs(strip, one_key)
    expect(composer.locator("select[multiple], select[size]").locator("option")).to_have_count(2)
    expect(picture).to_have_accessible_name(re.compile(r"^At \d\.\d\d s\. .* d 2, z as keyed; .* c4, .*: 1\.00\.$"))
    expect(strip).to_have_accessible_name(re.compile("Keys: 0.00 s, d 0, then smooth; .* s, d 2, then smooth\\.$"))
    shot(page, "composer", tmp_path)
    before = picture.screenshot()
    composer.get_by_role("button", name="Play").click()
    assert differs(picture, before)
    composer.get_by_role("button", name="Pause").click()
    composer.get_by_role("textbox", name="save as").fill("film.gif")
    composer.get_by_role("button", name=re.compile("Save$")).click()
    expect(composer).to_contain_text("Saved 48 frames as", timeout=30_000)
    with Image.open(lab.folder / "film.gif") as film:
        lasts, pictures = 0, []
        for k in range(film.n_frames):
            film.seek(k)
            lasts += film.info["duration"]
            pictures.append(np.asarray(film.convert("RGB"), int))
    assert film.size == (256, 256) and lasts == 48 * 80
    assert max(np.abs(one - pictures[0]).mean() for one in pictures) > 5  # it moves
    assert np.abs(pictures[-1] - pictures[0]).mean() < 3  # and comes round
    shot(page, "composer saved", tmp_path)
    assert_no_cell_shows_an_error(page)
    close(page, lab, COMPOSING)


def test_player_and_explorer_answer_while_another_cell_trains(browser, lab, tmp_path):
    page = opened(browser, lab(BUSY))
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    player = page.locator(".animlab-player")
    picture = player.locator(".animlab-picture img")
    expect(picture).to_be_visible(timeout=60_000)
    training = page.locator(".jp-Notebook .jp-CodeCell .jp-InputPrompt").last
    expect(training).to_have_text("[*]:")
    page.wait_for_timeout(5000)  # it has begun
    slider = player.locator(".widget-hslider", has_text="c4")
    base = slider.locator(".noUi-base")
    for share, value in ((0.03, "0.0"), (0.97, "0.9")):
        before = picture.screenshot()
        target = {"x": share * base.bounding_box()["width"], "y": 2}
        slider.locator(".noUi-handle").drag_to(base, target_position=target)
        expect(player).to_contain_text(f"c 0.50 0.50 0.50 0.50 {value}", timeout=10_000)
        assert differs(picture, before)
    before = picture.screenshot()
    player.get_by_role("button", name="New z").click()
    assert differs(picture, before)
    slider.locator(".noUi-handle").focus()
    times = []
    for _ in range(20):
        page.evaluate(WATCH)
        page.keyboard.press("ArrowLeft")
        times.append(page.evaluate("window.milliseconds"))
    print(
        f"key press to changed pixels beside a training: p50 {statistics.median(times):.0f}, most {max(times):.0f} ms"
    )
    explorer = page.locator(".animlab-explorer")
    picture = explorer.locator("img.animlab-picture")
    before = picture.screenshot()
    explorer.locator(".noUi-handle").focus()
    page.keyboard.press("End")
    expect(explorer).to_contain_text("every c at 1.00", timeout=10_000)
    assert differs(picture, before)
    shot(page, "busy", tmp_path)
    expect(training).to_have_text("[*]:")
    assert_no_cell_shows_an_error(page)
    close(page, lab, BUSY)


@pytest.mark.parametrize("name", LESSONS)
def test_every_widget_of_a_lesson_follows_its_controls(browser, lab, name, tmp_path):
    page = run_all(browser, lab(name))
    assert_no_cell_shows_an_error(page)
    explorers = page.locator(".animlab-explorer").all()
    assert explorers
    for k, explorer in enumerate(explorers):
        picture = explorer.locator("img.animlab-picture")
        picture.scroll_into_view_if_needed()
        start, handles = explorer.get_by_title("Play on from here"), explorer.locator(".noUi-handle")
        before = picture.screenshot()
        if start.count():  # a game: its controls show while it is played
            start.click()
            assert differs(picture, before)
            before = picture.screenshot()
        if handles.count():
            slider = explorer.locator(".widget-hslider").first
            handles.first.drag_to(slider.locator(".noUi-base"), target_position={"x": 90, "y": 2})
        else:
            explorer.locator(".widget-toggle-button").nth(3).click()
        assert differs(picture, before)
        shot(page, f"{name}-{k}", tmp_path)
    assert_no_cell_shows_an_error(page)
    close(page, lab, name)
