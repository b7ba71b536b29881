"""A reader in a real browser: notebooks in JupyterLab, all cells run, controls moved, the pictures move with them."""

import json
import os
import re
import shutil
import time
import urllib.request
from pathlib import Path

import nbformat
import numpy as np
import papermill
import pytest
from lab import CHROMIUM, ERROR, milliseconds, opened, run_all, running_lab, start_all, visitor, write_notebook
from PIL import Image
from playwright.sync_api import expect
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
COMPOSER = """import animlab
model = animlab.load("pretrained/actions")
composer = animlab.Composer(model, seed=3)
composer"""
LESSONS = ["01_gan_basics", "02_discrete_labels", "03_continuous_labels", "04_full_training", "05_ablations"]
LESSONS += ["06_metrics", "06b_label_measures", "07_comparisons", "08_computation", "09_beyond_the_paper"]
pytestmark = pytest.mark.skipif(
    not (CHROMIUM or os.environ.get("CI")), reason="no Chromium found: install it or name it in CHROMIUM"
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab, serving copies of the notebooks from a folder of their own."""
    folder = tmp_path_factory.mktemp("lab")
    for name in (FIRST, *LESSONS):  # their own training takes minutes, and its result is not what is looked at
        path = ROOT / "notebooks" / f"{name}.ipynb"
        notebook = papermill.execute_notebook(path, None, PARAMETERS[name], prepare_only=True)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.update(outputs=[], execution_count=None)
        nbformat.write(notebook, folder / f"{name}.ipynb")
    shutil.copy(ROOT / "notebooks" / f"{FIRST}.ipynb", folder / f"{UNTOUCHED}.ipynb")
    write_notebook(folder / f"{BUSY}.ipynb", PLAYER, EXPLORER, TRAINING)
    write_notebook(folder / f"{COMPOSING}.ipynb", COMPOSER)
    with running_lab(folder) as lab:
        yield lab


@pytest.fixture(scope="module")
def browser():
    with visitor() as browser:
        yield browser


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


def test_the_picture_follows_the_keyboard(page, player):
    """How soon is measured by tests/benchmarks/bench_browser.py."""
    handle = player.locator(".widget-hslider", has_text="c0").locator(".noUi-handle")
    assert max(milliseconds(page, handle, 5 * ["ArrowRight"])) < 5000


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
    page = start_all(browser, lab(BUSY))
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
    assert max(milliseconds(page, slider.locator(".noUi-handle"), 5 * ["ArrowLeft"])) < 5000
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
