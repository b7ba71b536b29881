"""The page that export_player writes, in a real browser without a network: pixels, controls, Play, the GIF."""

import base64
import errno
import io
import json
import os
import re
import shutil
import signal
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import expect, sync_playwright
from torch import nn
from torch.nn import functional as F

import animlab
from animlab import networks, web
from animlab.checkpoints import LARGE, to_int8
from animlab.frames import to_uint8
from animlab.networks.common import Network, join_labels
from animlab.web import layers, weights
from animlab.web.assembler import assemble

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
needs_chromium = pytest.mark.skipif(
    not (CHROMIUM or os.environ.get("CI")), reason="no Chromium found: install it or name it in CHROMIUM"
)
SEEN = "grows </script> & shrinks"
CARD = {"dataset": "shapes-synthetic", "seen": {"c1": SEEN}, "influence": {"c1": {"strength": 1.0, "focus": 0.5}}}

# Draws many labels as the page draws one; RGB bytes as base64.
DRAW = """async labels => {
  const parts = [];
  for (const one of labels) {
    const pixels = (await ask('draw', {labels: one})).filter((_, i) => i % 4 < 3);
    parts.push(String.fromCharCode(...pixels));
  }
  return btoa(parts.join(''));
}"""


# Saves the film, and asks for pictures meanwhile: how long each took, and the whole, in milliseconds.
FILM = """async () => {
  const start = performance.now(), waits = [];
  $('film').click();
  if (!$('save').disabled) throw new Error('two files at a time');
  while ($('film').disabled) {
    const asked = performance.now();
    await ask('draw', {labels: labelsOf(state)});
    waits.push(performance.now() - asked);
  }
  return [waits, performance.now() - start];
}"""


def lively(generator):
    """With weights that leave no part of the network at its start, where it would do nothing."""
    rng = torch.Generator().manual_seed(1)
    for module in generator.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.running_mean = torch.randn(module.running_mean.shape, generator=rng)
            module.running_var = 0.5 + torch.rand(module.running_var.shape, generator=rng)
        if isinstance(module, networks.residual.Block):
            nn.init.normal_(module.second.weight, 0.0, 0.04, rng)
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if parameter.ndim == 1:  # biases, and the batch norms' two
                parameter.add_(torch.rand(parameter.shape, generator=rng), alpha=0.3)
            if name == "embed.0.weight":
                parameter[:, -generator.space.n_c :] *= 8  # so that a slider shows
    return generator


def model_of(architecture="paper", channels=3, width=0.15, n_z=4, n_d=3, n_c=3, card=CARD):
    torch.manual_seed(0)
    space = animlab.LabelSpace(n_z, n_d, n_c)
    return animlab.Model(lively(networks.build(architecture, space, channels, width=width)[0]), card=card)


class Third(Network):
    """None of the project's: other kernels, a joined input, one output read twice."""

    def __init__(self, space, channels=3, width=1.0, centre_c=False, odd=None):
        super().__init__(space, channels, width=width, centre_c=centre_c)
        self.embed = nn.Sequential(nn.Linear(space.size, 6 * 8 * 8), nn.Tanh())
        self.wide, self.narrow = nn.Conv2d(6, 10, 5, 1, 2), nn.Conv2d(10, 6, 1, bias=False)
        self.up = nn.ConvTranspose2d(12, 9, 6, 2, 2)
        self.last = nn.Sequential(nn.Upsample(scale_factor=4, mode="bilinear"), odd or nn.Identity())
        self.show = nn.Conv2d(9, channels, 3, padding=1)

    def forward(self, labels):
        x = self.embed(join_labels(labels, self.centre_c)).view(-1, 6, 8, 8)
        y = self.narrow(torch.relu(self.wide(x))) + x
        return self.show(self.last(self.up(torch.cat([y, 1 - 0.5 * x], dim=1))))


def third(odd=None):
    torch.manual_seed(0)
    return animlab.Model(Third(animlab.LabelSpace(3, 2, 2), odd=odd))


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as browser:
        yield browser


@pytest.fixture
def play(browser, tmp_path):
    """Opens a model's page, or a page's text, without a network; says afterwards that nothing went wrong on it."""
    troubles, requests, contexts = [], [], []

    def play(what, motion="reduce", until="body.ready", **options):
        path = tmp_path / "player.html"
        if isinstance(what, str):
            path.write_text(what, encoding="utf-8")
        else:
            animlab.export_player(what, path)
        assert path.stat().st_size < 6_000_000
        context = browser.new_context(offline=True, reduced_motion=motion, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        context.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector(until, timeout=60_000)
        return page

    yield play
    for context in contexts:
        context.close()
    assert troubles == []
    assert [url for url in requests if not url.startswith(("file:///", "blob:", "data:,"))] == []


def drawn(page, labels):
    """The page's pictures: uint8 (N, 64, 64, 3)."""
    asked = [{name: getattr(labels, name)[i].tolist() for name in ("z", "d", "c")} for i in range(len(labels))]
    return np.frombuffer(base64.b64decode(page.evaluate(DRAW, asked)), np.uint8).reshape(-1, 64, 64, 3)


def shown(page, name="picture"):
    """What stands on one of the page's canvases: uint8 (64, 64, 3)."""
    address = page.evaluate("name => document.getElementById(name).toDataURL()", name)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGB"))


def difference(a, b):
    return np.abs(a.astype(int) - b)


def settled(page):
    page.evaluate("async () => { while (drawing || wanted) await new Promise(resolve => setTimeout(resolve, 5)); }")


# ---- Pixels ----


@needs_chromium
@pytest.mark.parametrize("name", ["paper", "residual", "grey", "third", "pretrained/actions"])
def test_the_page_draws_what_pytorch_draws(play, name):
    models = {
        "paper": lambda: model_of("paper", width=0.3),
        "residual": lambda: model_of("residual", width=0.5),
        "grey": lambda: model_of("residual", channels=1, n_d=20, n_c=10, n_z=0),
        "third": third,
    }
    model = models[name]() if name in models else animlab.load(name)
    text, restored = web.page_of(model)
    page = play(text)
    labels = model.space.sample(30 if name in ("grey", "third") else 200, torch.Generator().manual_seed(2))
    found, expected = drawn(page, labels), to_uint8(layers.draw(restored, labels))
    off, rounded = difference(found, expected), difference(expected, model.frames(labels))
    print(f"{name}: page from PyTorch at most {off.max()}; rounded weights from float32 mean {rounded.mean():.3f}, "
          f"at most {rounded.max()}; {len(text.encode()):,} bytes")  # fmt: skip
    assert off.max() <= 2
    assert rounded.mean() < 0.5 and rounded.max() <= 6
    assert expected.std(axis=0).mean() > 1  # the labels do something
    expect(page.get_by_role("radio")).to_have_count(model.space.n_d)
    expect(page.locator("#cs input")).to_have_count(model.space.n_c)


@needs_chromium
def test_without_simd_it_draws_the_same(play):
    for architecture in ("paper", "residual"):
        model = model_of(architecture)
        text, restored = web.page_of(model)
        page = play(re.sub(r'"kernels": \[[^]]*\]', '"kernels": []', text))
        labels = model.space.sample(10, torch.Generator().manual_seed(2))
        assert difference(drawn(page, labels), to_uint8(layers.draw(restored, labels))).max() <= 2


@needs_chromium
def test_it_starts_with_the_notebooks_picture_and_goes_on_with_its_z(play):
    model = model_of()
    page = play(model)
    for seed in range(3):
        assert page.locator("#picture-caption").inner_text() == f"d 0 · z {seed}\nc 0.50 0.50 0.50"
        (frame,) = model.frames(model.space.still(d=0, seed=seed))
        assert difference(shown(page), frame).max() <= 2
        page.get_by_role("button", name="New z").click()
        settled(page)
    numbers = np.array(page.evaluate("Array.from({length: 3000}, (_, i) => normals(i + 8, 4))"))
    assert np.abs(numbers.mean(axis=0)).max() < 0.07 and np.abs(numbers.std(axis=0) - 1).max() < 0.05
    assert np.abs(np.corrcoef(numbers.T) - np.eye(4)).max() < 0.07


# ---- Controls ----


@needs_chromium
def test_every_control_moves_the_picture(play):
    model = model_of()
    page = play(model)
    assert page.title() == "shapes-synthetic: pictures to move · animlab"
    slider = page.get_by_role("slider", name=f"c1 · {SEEN}")
    slider.fill("1")
    settled(page)
    assert difference(shown(page), model.frames(model.space.still(0, [0.5, 1, 0.5]))[0]).max() <= 2
    page.get_by_role("radio", name="2").check()
    slider.press("Home")
    settled(page)
    assert difference(shown(page), model.frames(model.space.still(2, [0.5, 0, 0.5]))[0]).max() <= 2
    expect(page.locator("#live")).to_contain_text(f"d 2, z 0; c0: 0.50; c1, {SEEN}: 0.00")
    assert page.locator("#picture").get_attribute("aria-label") == page.locator("#live").inner_text()
    before = shown(page)
    page.get_by_role("button", name="Surprise me").click()
    settled(page)
    assert difference(shown(page), before).max() > 2
    page.get_by_role("button", name="Back to the start").click()
    settled(page)
    assert difference(shown(page), model.frames(model.space.still())[0]).max() <= 2


@needs_chromium
def test_pictures_side_by_side(play):
    page = play(model_of())
    expect(page.locator("#beside")).to_be_hidden()
    page.get_by_role("combobox", name="compare with").select_option("this picture, kept as it is now")
    settled(page)
    kept = shown(page, "beside")
    assert (kept == shown(page)).all()
    page.locator("#c0").fill("1")
    settled(page)
    assert (shown(page, "beside") == kept).all()
    assert difference(shown(page), kept).max() > 2
    page.get_by_role("combobox", name="compare with").select_option("the same, but d 1")
    settled(page)
    expect(page.locator("#beside-caption")).to_have_text("d 1 · z 0\nc 1.00 0.50 0.50")
    other = shown(page, "beside")
    assert difference(other, kept).max() > 2
    page.get_by_role("radio", name="1").check()
    settled(page)
    assert (shown(page) == other).all()


@needs_chromium
def test_by_keyboard_alone(play):
    page = play(model_of())
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "c0":
            break
    page.keyboard.press("End")
    assert page.locator("#c0-value").inner_text() == "1.00"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    while page.evaluate("document.activeElement.id") != "play":
        page.keyboard.press("Tab")
    assert page.locator("#along").input_value() == "1"  # the liveliest c, as the card has it
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Pause")).to_be_focused()
    seen = set()
    for _ in range(20):
        seen.add(page.locator("#picture-caption").inner_text())
        page.wait_for_timeout(30)
    assert len(seen) > 5
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Play")).to_be_focused()


@needs_chromium
@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_it_moves_by_itself_once_if_the_reader_does_not_mind(play, motion):
    page = play(model_of(), motion)
    moves = motion == "no-preference"
    expect(page.locator("#play")).to_have_text("Pause" if moves else "Play")
    if moves:
        expect(page.locator("#play")).to_have_text("Play", timeout=8000)
    settled(page)
    assert page.locator("#picture-caption").inner_text() == "d 0 · z 0\nc 0.50 0.50 0.50"


@needs_chromium
@pytest.mark.parametrize("size", [(360, 740), (320, 256)], ids=["phone", "400 %"])
def test_nothing_is_cut_off_on_a_narrow_screen(play, size):
    page = play(model_of(n_d=20, n_c=10), viewport=dict(zip(("width", "height"), size)))
    page.get_by_role("combobox", name="compare with").select_option("the same, but d 1")
    page.locator("summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    for control in page.locator("button, select, input").all():
        box = control.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= size[0]


@needs_chromium
@pytest.mark.parametrize("space", [{"n_c": 0}, {"n_d": 1}, {"n_z": 0}])
def test_no_control_for_what_a_model_does_not_have(play, space):
    page = play(model_of(**space), motion="no-preference")
    settled(page)
    hidden = {"n_c": "#save", "n_d": "#ds", "n_z": "#new-z"}
    for name, control in hidden.items():
        assert page.locator(control).is_visible() == (name not in space)


@needs_chromium
def test_a_damaged_page_says_so(play):
    text, _ = web.page_of(model_of())
    page = play(re.sub(r'(id="weights">).{400}', r"\1", text), until="#status.error")
    assert page.locator("#status").inner_text().startswith("This page cannot draw here (")


@needs_chromium
def test_a_page_that_is_come_back_to_begins_anew(play):
    page = play(model_of())
    page.locator("summary").click()
    page.locator("#crisp").check()
    page.locator("#loop").uncheck()
    page.locator("#speed").fill("4")
    page.locator("#compare").select_option("kept")
    page.goto("about:blank")
    page.go_back()
    page.wait_for_selector("body.ready")
    assert not page.locator("#crisp").is_checked() and page.locator("#loop").is_checked()
    assert page.locator("#speed").input_value() == "1.5" and page.locator("#compare").input_value() == ""


# ---- The composer ----


def key_at(page, time, d, c, new_z=0, ease="smooth"):
    """Sets the player's controls, and with them a key."""
    page.locator("#time").fill(str(time))
    page.locator("#ease").select_option(ease)
    for _ in range(new_z):
        page.get_by_role("button", name="New z").click()
    page.get_by_role("radio", name=str(d)).check()
    for j, value in enumerate(c):
        page.locator(f"#c{j}").fill(str(value))
    page.get_by_role("button", name="Set key").click()
    settled(page)


@needs_chromium
def test_a_film_is_composed_and_is_that_of_the_library(play, tmp_path):
    model = model_of()
    page = play(model, accept_downloads=True)
    page.get_by_text("Compose a film").click()
    page.get_by_role("button", name="Play the film").click()
    expect(page.locator("#status")).to_have_text("There is no key yet: set one first.")
    key_at(page, 0, 0, (0.2, 0.5, 0.5))
    key_at(page, 2.5, 2, (1, 0, 0.25), new_z=2, ease="linear")  # from "as keyed" to z 0 and z 1
    space = model.space
    expected = animlab.Timeline(space).with_key(0, space.still(0, [0.2, 0.5, 0.5]))
    expected = expected.with_key(2.5, space.still(2, [1, 0, 0.25], 1), "linear")

    with page.expect_download() as download:
        page.get_by_role("button", name="Save as JSON").click()
    saved = animlab.Timeline.from_json(download.value.path().read_text())
    assert [(key.time, key.d, key.ease) for key in saved.keys] == [(0, 0, "smooth"), (2.5, 2, "linear")]
    for name in "zdc":
        assert torch.allclose(getattr(saved.labels(40), name), getattr(expected.labels(40), name), atol=1e-6)

    for time in (0, 0.7, 1.25, 3.6, 4):  # what is drawn, d blended too
        page.locator("#time").fill(str(time))
        settled(page)
        assert difference(shown(page), model.frames(expected.at([time]))[0]).max() <= 2
    expect(page.locator("#picture-caption")).to_contain_text("z as keyed")

    page.locator("#time").fill("2.5")
    assert page.locator("#keys").input_value() == "2.5"
    page.get_by_role("combobox", name="pace after it").select_option("hold")
    page.get_by_label("length, s").fill("1")
    page.get_by_label("length, s").press("Tab")
    assert page.get_by_label("length, s").input_value() == "2.5"  # no key falls off the end
    page.get_by_role("button", name="Delete key").click()
    expect(page.locator("#keys option")).to_have_text(["0.00 s · d 0 · then smooth"])
    for _ in range(3):
        page.get_by_role("button", name="Undo").click()
    expect(page.locator("#keys option")).to_have_text(["0.00 s · d 0 · then smooth", "2.50 s · d 2 · then linear"])
    assert page.get_by_label("length, s").input_value() == "4"

    with page.expect_download() as download:
        page.get_by_role("button", name="Save the film as GIF").click()
    with Image.open(download.value.path()) as movie:
        assert (movie.size, movie.n_frames) == ((256, 256), 80)
        frames, lasts = [], 0
        for k in range(movie.n_frames):
            movie.seek(k)
            frames.append(np.asarray(movie.convert("RGB"))[::4, ::4])
            lasts += movie.info["duration"]
    assert lasts == 4000
    assert difference(np.stack(frames), model.frames(expected.labels(80))).mean() < 2.5


@needs_chromium
def test_a_film_plays_by_keyboard_and_stops_when_something_is_dragged(play):
    page = play(model_of())
    page.locator("summary").press("Enter")
    key_at(page, 0, 0, (0, 0, 0))
    key_at(page, 2, 1, (1, 1, 1))
    page.get_by_role("button", name="Play the film").press("Enter")
    seen = set()
    for _ in range(20):
        seen.add(page.locator("#picture-caption").inner_text())
        page.wait_for_timeout(30)
    assert len(seen) > 5
    expect(page.get_by_role("button", name="Pause the film")).to_be_focused()
    page.locator("#c0").press("Home")
    expect(page.locator("#run")).to_have_text("Play the film")
    settled(page)
    assert page.locator("#picture-caption").inner_text().splitlines()[1].startswith("c 0.00 ")
    page.get_by_role("button", name="New z").click()
    expect(page.locator("#picture-caption")).to_contain_text("z 0")
    page.locator("#loop").uncheck()
    page.locator("#time").fill("3.9")
    page.get_by_role("button", name="Play the film").click()
    expect(page.locator("#run")).to_have_text("Play the film", timeout=3000)  # at its end
    assert page.locator("#time").input_value() == "4"


@needs_chromium
def test_json_is_loaded_and_what_is_none_is_refused(play, tmp_path):
    model = model_of()
    page = play(model)
    page.locator("summary").click()
    timeline = animlab.Timeline(model.space, 3, False)
    for k, time in enumerate((1 / 3, 2)):
        timeline = timeline.with_key(time, model.space.still(k, seed=20 + k), "hold")

    def load(text):
        (tmp_path / "film.json").write_text(text)
        page.evaluate("say('')")
        page.locator("#open").set_input_files(tmp_path / "film.json")
        expect(page.locator("#status")).not_to_have_text("")
        settled(page)
        return page.locator("#status").inner_text()

    assert load(timeline.to_json()) == "Loaded film.json."
    page.locator("#keys").select_option("0.33 s · d 0 · then hold")
    settled(page)
    assert difference(shown(page), model.frames(model.space.still(0, seed=20))[0]).max() <= 2
    assert not page.locator("#loop").is_checked() and page.locator("#time").get_attribute("max") == "3"
    content = json.loads(timeline.to_json())
    other = animlab.Timeline(animlab.LabelSpace(4, 9, 3)).to_json()
    assert load("{") == "film.json cannot be loaded: it is no JSON."
    assert load("null") == load("[1]") == "film.json cannot be loaded: it is no timeline."
    assert load(other) == "film.json cannot be loaded: it belongs to a model with other labels."
    assert load(" " * 10_000_001) == "film.json cannot be loaded: it is too large for a timeline."
    twice, many = content["keys"] * 2, [content["keys"][0] | {"time": k / 1000} for k in range(1001)]
    damages = [
        {"seconds": 1e9},
        {"seconds": 1},
        {"loop": 1},
        {"keys": 3},
        {"keys": [7]},
        {"keys": twice},
        {"keys": many},
    ]
    for part in damages:
        assert load(json.dumps(content | part)) == "film.json cannot be loaded: it is damaged."
    for part in (
        {"d": 3},
        {"d": 0.5},
        {"c": [0.5]},
        {"c": [2e6] * 3},
        {"z": ["0"] * 4},
        {"ease": "toString"},
        {"time": -1},
    ):
        keys = [content["keys"][0] | part]
        assert load(json.dumps(content | {"keys": keys})) == "film.json cannot be loaded: it is damaged."
    expect(page.locator("#keys option")).to_have_count(2)


@needs_chromium
@pytest.mark.parametrize("size", [(390, 844), (1280, 720)], ids=["phone", "laptop"])
def test_the_picture_stays_in_sight_while_a_film_is_composed(play, size):
    page = play(model_of(n_c=5), viewport=dict(zip(("width", "height"), size)))
    page.locator("summary").click()
    for name in ("#time", "#set-key", "#run", "#keys", "#delete"):
        page.locator(name).focus()
        control, picture = page.locator(name).bounding_box(), page.locator("#picture").bounding_box()
        assert picture["y"] >= 0 and picture["y"] + picture["height"] <= size[1], name
        beside = control["x"] >= picture["x"] + picture["width"]
        assert beside or control["y"] >= picture["y"] + picture["height"], name
        assert control["y"] + control["height"] <= size[1], name


# ---- The GIF ----


@needs_chromium
def test_sliders_move_while_a_film_is_written(play):
    page = play(model_of())
    page.locator("summary").click()
    key_at(page, 0, 0, (0, 0, 0))
    key_at(page, 2, 1, (1, 1, 1))
    with page.expect_download():
        waits, took = page.evaluate(FILM)
    print(f"a picture waits for at most {max(waits):.0f} ms while a film is written, which takes {took:.0f} ms")
    assert max(waits) < took / 4


@needs_chromium
@pytest.mark.parametrize("channels", [1, 3])
def test_the_gif_shows_what_play_shows(play, channels):
    model = model_of(channels=channels)
    page = play(model)
    page.locator("#c0").fill("0.2")
    page.locator("#speed").fill("0.7")
    settled(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as GIF").click()
    assert download.value.suggested_filename == "shapes-synthetic-d0-c1.gif"
    expect(page.locator("#status")).to_contain_text("Saved a GIF of 28 frames")
    with Image.open(download.value.path()) as movie:
        assert (movie.size, movie.n_frames, movie.info["loop"]) == ((256, 256), 28, 0)
        frames, times = [], []
        for k in range(movie.n_frames):
            movie.seek(k)
            frames.append(np.asarray(movie.convert("RGB")))
            times.append(movie.info["duration"])
    assert sum(times) == 1400
    frames = np.stack(frames)
    assert (frames[:, ::4, ::4] == frames[:, 3::4, 3::4]).all()  # each pixel a square
    labels = model.space.sweep(model.space.still(0, [0.2, 0.5, 0.5]), 1, 15)
    there = model.frames(labels)
    off = difference(frames[:, ::4, ::4], np.concatenate([there, there[-2:0:-1]]))
    print(f"GIF from PyTorch: mean {off.mean():.2f}, at most {off.max()}")
    assert off.mean() < 2.5 and off.max() <= 24  # these pictures have more colours than any that a network learns
    assert channels == 3 or off.max() <= 2  # a palette holds every grey


@needs_chromium
def test_a_gif_of_a_comparison_shows_both(play):
    model = model_of("residual")
    page = play(model)
    page.get_by_role("combobox", name="compare with").select_option("this picture, kept as it is now")
    page.locator("#speed").fill("0.5")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as GIF").click()
    with Image.open(download.value.path()) as movie:
        assert (movie.size, movie.n_frames) == ((4 * (64 + 2 + 64), 4 * 64), 20)
        for frame, c1 in ((0, 0.0), (10, 1.0)):
            movie.seek(frame)
            left, gap, right = np.split(np.asarray(movie.convert("RGB"))[::4, ::4], [64, 66], axis=1)
            assert (gap == 255).all()
            assert difference(left, model.frames(model.space.still(0, [0.5, c1, 0.5]))[0]).mean() < 2.5
            assert difference(right, model.frames(model.space.still())[0]).mean() < 2.5
            assert difference(left, right).mean() > 2.5


# ---- The file ----


def test_a_page_is_one_file_and_takes_the_place_of_the_last(tmp_path):
    path = tmp_path / "player.html"
    path.write_text("old")
    assert animlab.export_player(model_of(), str(path)) == path
    assert list(tmp_path.iterdir()) == [path]
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>") and "{{" not in text
    assert re.findall(r'(?:src|href)="(?!data:,|https://doi\.org/)', text) == []
    (content,) = re.findall(r'<script type="application/json" id="model">(.*?)</script>', text, re.S)
    assert json.loads(content)["names"] == ["c0", f"c1 · {SEEN}", "c2"]


def test_the_page_says_what_is_seen_and_where_its_words_come_from():
    card = {"dataset": "faces3d", "steps": 12000, "frames": 40000, "note": "Eyes <blur>.", "licence": "MIT, the lab."}
    text, _ = web.page_of(model_of(card=card))
    for words in ("computer-drawn heads that turn and smile", "in 12,000 steps on 40,000 frames", "Eyes &lt;blur&gt;.",
                  "MIT, the lab.", "Nobody has named the sliders"):  # fmt: skip
        assert words in text
    named, _ = web.page_of(model_of())
    assert "come from the model's card" in named
    assert "MIT, the lab." not in named
    web.page_of(model_of(card={"seen": 3, "influence": {"c0": None}, "note": 7}))  # a card may hold anything


@pytest.mark.parametrize("model", ["pretrained/actions", None, nn.Identity()])
def test_only_models_are_exported(model, tmp_path):
    with pytest.raises(TypeError, match="export_player writes a Model"):
        animlab.export_player(model, tmp_path / "player.html")


@pytest.mark.parametrize("name", ["player", "player.png", "html"])
def test_another_ending(name, tmp_path):
    with pytest.raises(ValueError, match=r"a page whose name ends in \.html, got"):
        animlab.export_player(model_of(), tmp_path / name)


def test_a_folder_that_is_not_there_is_made_as_for_an_animation(tmp_path):
    path = tmp_path / "pages" / "today" / "player.html"
    assert animlab.export_player(model_of(), path) == path
    assert [file.name for file in path.parent.iterdir()] == ["player.html"] and path.stat().st_size > 10_000


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_page_that_cannot_be_written_leaves_the_last_one_and_says_so(tmp_path):
    import resource

    path, clip = tmp_path / "player.html", np.random.default_rng(0).integers(0, 256, (9, 64, 64, 3), np.uint8)
    path.write_text("old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
        with pytest.raises(OSError) as page:
            animlab.export_player(model_of(), path)
        with pytest.raises(OSError) as movie:
            animlab.save_animation(clip, tmp_path / "clip.gif")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    why = f"could not be written: {os.strerror(errno.EFBIG)}"
    assert page.value.strerror == f"{path} {why}, and what was there is kept."
    assert movie.value.strerror == f"{tmp_path / 'clip.gif'} {why}."
    assert [file.name for file in tmp_path.iterdir()] == ["player.html"] and path.read_text() == "old"


def test_a_folder_in_the_files_place(tmp_path):
    (tmp_path / "player.html").mkdir()
    with pytest.raises(OSError, match=r"player\.html could not be written"):
        animlab.export_player(model_of(), tmp_path / "player.html")
    assert [path.name for path in tmp_path.iterdir()] == ["player.html"]


@pytest.mark.parametrize(
    "odd, reason",
    [
        (nn.MaxPool2d(3, 1, 1), "it has no layer for MaxPool2d"),
        (nn.Softplus(), "it has no layer for Softplus"),
        (nn.Conv2d(9, 9, 3, stride=2), "it convolves in steps of 1"),
        (nn.Conv2d(9, 9, 3, padding=1, groups=3), "it convolves in steps of 1"),
        (nn.ConvTranspose2d(9, 9, 3, 2, 1), "it convolves transposed so that the size grows by the stride"),
        (nn.BatchNorm2d(9), "a batch norm must follow"),
        (nn.Upsample(scale_factor=2), "it enlarges by a whole number and bilinearly"),
        (nn.LeakyReLU(-0.5), "a leaky ReLU's slope is from 0 to 1"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)  # fmt: skip
def test_what_the_page_cannot_run_is_said_in_a_sentence(odd, reason, tmp_path):
    with pytest.raises(ValueError) as error:
        animlab.export_player(third(odd), tmp_path / "player.html")
    assert str(error.value).startswith(f"The page cannot run this generator: {reason}")
    assert "\n" not in str(error.value) and str(error.value).endswith(".")
    assert list(tmp_path.iterdir()) == []


def test_a_forward_that_depends_on_its_numbers_is_refused():
    class Moody(Third):
        def forward(self, labels):
            return super().forward(labels) if labels.c.sum() > 0 else F.relu(super().forward(labels))

    with pytest.raises(ValueError, match="it cannot be read as layers"):
        web.page_of(animlab.Model(Moody(animlab.LabelSpace(3, 2, 2))))


def test_frames_of_two_channels_are_refused():
    with pytest.raises(ValueError, match=r"its frames should be \(1 or 3, H, W\), not \(2, 64, 64\)\.$"):
        web.page_of(model_of(channels=2))


def test_a_generator_too_large_for_a_page(monkeypatch):
    monkeypatch.setattr(web, "LARGEST", 120_000)
    with pytest.raises(ValueError, match=r"This generator has [\d,]+ weights, too many for a page"):
        web.page_of(model_of(width=0.4))


# ---- The parts ----


@pytest.mark.parametrize("architecture", ["paper", "residual"])
def test_layers_are_the_generator(architecture):
    model = model_of(architecture)
    labels = model.space.sample(8)
    found = layers.layers_of(model.generator)
    with torch.inference_mode():
        assert torch.allclose(layers.draw(found, labels), model.generator(labels), atol=1e-5)
    assert found[-1].shape == (3, 64, 64)


def test_weights_are_int8_as_in_checkpoints():
    model = model_of("residual", width=0.5)
    before = layers.layers_of(model.generator)
    _, described, after = weights.pack(before, model.space, 10**7)
    for entry, old, new in zip(described, before, after):
        if old.weight is None:
            continue
        whole, scale = to_int8(old.weight)
        assert ("scale" in entry["weight"]) == (old.weight.numel() >= LARGE)
        assert torch.equal(new.weight, whole * scale if "scale" in entry["weight"] else old.weight)
        assert torch.equal(new.bias, old.bias)


def test_rounding_together_is_nearer_than_rounding_alone(rng):
    inputs = torch.randn(2000, 8, generator=rng) @ torch.randn(8, 60, generator=rng)
    inputs += 0.1 * torch.randn(2000, 60, generator=rng)
    weight = torch.randn(30, 60, generator=rng)

    def error(whole, scale):
        return ((whole * scale - weight) @ inputs.T).square().mean().sqrt()

    together, alone = weights.round_together(weight, inputs, 7), to_int8(weight, 7)
    assert together[0].dtype == torch.int8 and together[0].abs().max() <= 7
    assert torch.equal(together[1], alone[1])
    assert error(*together) < 0.4 * error(*alone)


def test_the_assembler_writes_what_the_standard_says():
    text = '(module (import "page" "memory" (memory 1)) (func (export "f") (param $x i32) (local $y v128) ;; a remark\n'
    text += "(loop $l (v128.store offset=16 (local.get $x) (v128.load (i32.const -200))) (br_if $l (local.get $x)))))"
    expected = (
        "0061736d01000000" "01050160017f00" "021001047061676506 6d656d6f7279 020001" "03020100" "07050101660000"
        "0a1a01 18 01017b 0340 2000 41b87e fd000200 fd0b0210 2000 0d00 0b 0b"
    )  # fmt: skip
    assert assemble(text).hex() == re.sub(r"\s", "", expected)
    with pytest.raises(ValueError, match=r"does not know 'i64\.add'"):
        assemble(text.replace("br_if $l (local.get $x)", "i64.add"))
