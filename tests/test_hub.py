"""Sharing a model: pushed to a hub on this machine and fetched again, through the hub's own library; and refusals."""

import json
import os
import subprocess
import sys
from pathlib import Path

import hub_server
import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import animlab
from animlab import hub
from animlab.checkpoints import FILE

ROOT = Path(__file__).parent.parent
CARD = {"dataset": "shapes", "preset": "modern", "steps": 12, "seed": 3, "license": "mit"}
CARD |= {"seen": {"c1": "grows | shrinks <b>"}, "note": "It has seen no squares."}

# Runs what it is sent, a line of JSON [code, arguments] at a time, and answers with what was printed or went wrong.
WORKER = """
import contextlib, io, json, sys, time, traceback
import animlab
time.sleep = lambda seconds: None  # the hub's library waits 23 seconds in all between its attempts
answers = sys.stdout
for line in sys.stdin:
    code, arguments = json.loads(line)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            exec(code, {"animlab": animlab, "arguments": arguments})
            said = printed.getvalue()
        except Exception as error:
            said = traceback.format_exception_only(error)[-1]
    print(json.dumps(said), file=answers, flush=True)
"""
PUSH = "print(animlab.push(animlab.load(arguments[0]), arguments[1]))"
LOAD = "animlab.save(animlab.load(arguments[0]), arguments[1])"


def model_of(**card):
    torch.manual_seed(0)
    nets = animlab.networks.build("residual", animlab.LabelSpace(2, 3, 2), channels=3, width=0.05)
    return animlab.Model(*nets, card)


@pytest.fixture(scope="module")
def server():
    with hub_server.running() as server:
        yield server


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return animlab.save(model_of(**CARD), tmp_path_factory.mktemp("saved") / "mine")


@pytest.fixture(scope="module")
def process(server, tmp_path_factory):
    """Runs code in another process, one for each environment, since the hub's library reads its address once; gives
    the last line of what the code prints, or of its complaint."""
    home, workers = tmp_path_factory.mktemp("home"), {}

    def process(code, *arguments, endpoint=server.address, token=hub_server.TOKEN, offline="0"):
        own = {
            "HF_ENDPOINT": endpoint, "HF_TOKEN": token, "HF_HOME": str(home), "ANIMLAB_OFFLINE": offline,
            "PYTHONPATH": str(ROOT), "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1",
        }  # fmt: skip
        if tuple(own.values()) not in workers:
            others = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
            workers[tuple(own.values())] = subprocess.Popen(
                [sys.executable, "-c", WORKER], env=others | own, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        worker = workers[tuple(own.values())]
        print(json.dumps([code, [str(each) for each in arguments]]), file=worker.stdin, flush=True)
        return json.loads(worker.stdout.readline()).strip().splitlines()[-1:] or [""]

    yield process
    for worker in workers.values():
        worker.communicate(timeout=60)


def test_what_is_pushed_is_loaded_back_to_the_last_bit(process, server, saved, tmp_path):
    assert process(PUSH, saved, "me/my.model") == [f"{server.address}/me/my.model"]
    assert sorted(server.files["me/my.model"]) == ["README.md", FILE, "sliders.png"]
    assert process(LOAD, "hf://me/my.model", tmp_path / "back") == [""]
    mine, back = animlab.load(saved), animlab.load(tmp_path / "back")
    assert back.card == mine.card
    for one, other in ((mine.generator, back.generator), (mine.discriminator, back.discriminator)):
        there = other.state_dict()
        assert all(torch.equal(value, there[name]) for name, value in one.state_dict().items())
    labels = mine.space.sample(3)
    assert np.array_equal(mine.frames(labels), back.frames(labels))

    server.files["me/my.model"]["more.txt"] = b"left alone"
    assert process(PUSH, saved, "me/my.model") == [f"{server.address}/me/my.model"]
    assert server.files["me/my.model"]["more.txt"] == b"left alone"
    # what was fetched once is loaded without a network too
    assert process(LOAD, "hf://me/my.model", tmp_path / "again", endpoint="http://127.0.0.1:9", offline="1") == [""]


def test_the_card_says_what_is_known(tmp_path):
    text = hub.card(model_of(**CARD), "me/my.model")
    _, head, body = text.split("---\n", 2)
    assert yaml.safe_load(head) == {
        "library_name": "animlab", "pipeline_tag": "unconditional-image-generation", "license": "mit",
        "tags": ["gan", "infogan", "animation", "self-supervised"],
    }  # fmt: skip
    assert "\n# my.model\n" in body and 'animlab.load("hf://me/my.model")' in body
    assert "| labels | n_z = 2, n_d = 3, n_c = 2 |" in body and "| dataset | shapes |" in body
    assert "- c0\n- c1 · grows \\| shrinks &lt;b>\n" in body
    assert "What it cannot do: It has seen no squares." in body
    odd = hub.card(model_of(license=["mit"], seen=7, note=None, dataset="a\n| b", steps=None), "me/odd")
    assert "license" not in odd and "| dataset | a \\| b |" in odd and "steps" not in odd and "cannot do" not in odd


def test_the_shipped_cards_become_cards():
    for place in (ROOT / "data" / "pretrained").glob("*/filmstrip.jpg"):
        assert "animlab.LabelPlayer(model)" in hub.card(animlab.load(place.parent), f"me/{place.parent.name}")


def test_the_picture_has_a_row_for_each_c(process, server, saved, tmp_path):
    process(PUSH, saved, "me/picture")
    (tmp_path / "sliders.png").write_bytes(server.files["me/picture"]["sliders.png"])
    strip = np.asarray(Image.open(tmp_path / "sliders.png"))
    model = model_of(**CARD)
    assert np.array_equal(strip, animlab.filmstrip([model.animate(along=j, frames=9) for j in range(2)]))


@pytest.mark.parametrize(
    ("code", "args", "options", "says"),
    [
        (LOAD, ["hf://me/absent", "x"], {},
         "FileNotFoundError: 'hf://me/absent' could not be fetched: the hub has no such model that this account "),
        (LOAD, ["hf://me/empty", "x"], {},
         "FileNotFoundError: 'hf://me/empty' could not be fetched: it is on the hub, but holds no model.safe"),
        (LOAD, ["hf://me/bad", "x"], {}, "animlab.checkpoints.CheckpointError: "),
        (LOAD, ["hf://me/absent", "x"], {"offline": "1"}, "FileNotFoundError: 'hf://me/absent' is not on this machine"),
        (LOAD, ["hf://me/absent", "x"], {"endpoint": "http://127.0.0.1:9"},
         "OSError: 'hf://me/absent' could not be fetched, because the hub cannot be reached ("),
        (PUSH, ["mine", "me/other"], {"offline": "1"},
         "OSError: 'me/other' cannot be pushed, because the environment variable ANIMLAB_OFFLINE is set: "
         "unset it first."),
        (PUSH, ["mine", "me/other"], {"token": ""}, "OSError: 'me/other' could not be pushed"),
        (PUSH, ["mine", "other/mine"], {}, "OSError: 'other/mine' could not be pushed (HfHubHTTPError: "),
        (PUSH, ["mine", "me/other"], {"endpoint": "http://127.0.0.1:9"}, "OSError: 'me/other' could not be pushed ("),
    ],
    ids=["absent", "empty", "no checkpoint", "offline", "no network", "push offline", "no token", "not mine", "no way"],
)  # fmt: skip
def test_what_fails_is_said_in_one_sentence(process, server, saved, tmp_path, code, args, options, says):
    args = [{"mine": saved, "x": tmp_path / "x"}.get(each, each) for each in args]
    server.files |= {"me/empty": {}, "me/bad": {FILE: b"no checkpoint"}}
    (said,) = process(code, *args, **options)
    assert said.startswith(says) and said.endswith(".")


@pytest.mark.parametrize(
    "name", ["", "mine", "me/", "a/b/c", "/me/mine", "me/../x", "me/mi ne", "me/mine\n", "é/a", 7, None]
)
def test_other_names_are_refused_before_anything_is_asked(name):
    with pytest.raises(ValueError, match=r"^A model on the hub is called 'owner/name', got .*\.$"):
        animlab.push(model_of(), name)
    if isinstance(name, str):
        with pytest.raises(ValueError, match=r"^A model on the hub is called 'owner/name', got .*\.$"):
            animlab.load(f"hf://{name}")


def test_only_models_are_pushed():
    with pytest.raises(TypeError, match=r"^push takes a Model, such as .* got str\.$"):
        animlab.push("runs/mine", "me/mine")
    with pytest.raises(ValueError, match=r"^private must be True or False, got 'no'\.$"):
        animlab.push(model_of(), "me/mine", private="no")
