"""GamePlayer: it starts, pauses, begins anew, listens while it plays, and stops at an error."""

import asyncio
import io

import ipywidgets as widgets
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from animlab.widgets.games import GamePlayer, pixels


class Counter:
    """A game whose only move is to count."""

    def __init__(self, rate):
        self.steps, self.made_with, self.rate = 0, rate, rate

    def tune(self, rate):
        self.rate = rate

    def step(self):
        self.steps += 1
        if self.rate < 0:
            raise ValueError("counts <up> only")


def draw(game):
    return np.full((4, 6, 3), game.steps % 256, np.uint8), f"step {game.steps} at rate {game.rate}"


@pytest.fixture
def player():
    return GamePlayer(Counter, draw, limit=10**6, rate=widgets.IntSlider(3, min=-10, max=10))


def shown(player):
    return np.asarray(Image.open(io.BytesIO(player.picture.value)))


async def until(condition):
    async def wait():
        while not condition():
            await asyncio.sleep(0.001)

    await asyncio.wait_for(wait(), 20)


def test_it_shows_a_new_game_and_does_not_start_by_itself(player):
    assert player.caption.value == "step 0 at rate 3" and shown(player).shape == (4, 6, 3)
    assert player.running.value is False and player.game.steps == 0
    assert "rate" in repr(player)


def test_start_plays_on_and_pause_holds_it(player):
    async def scene():
        player.running.value = True
        assert player.running.description == "Pause"
        await until(lambda: player.game.steps > 5)
        player.running.value = False
        await until(player.playing.done)
        held = player.game.steps
        await asyncio.sleep(0.1)
        assert player.game.steps == held and player.caption.value == f"step {held} at rate 3"
        assert (shown(player) == held % 256).all() and player.running.description == "Start"
        player.running.value = True  # on from there
        await until(lambda: player.game.steps > held)
        player.running.value = False

    asyncio.run(scene())


def test_other_work_gets_its_turn_while_it_plays(player):
    async def scene():
        turns = 0
        player.running.value = True
        while player.game.steps < 200 or turns < 3:
            await asyncio.sleep(0)
            turns += 1
        player.running.value = False

    asyncio.run(asyncio.wait_for(scene(), 20))


def test_a_moved_control_tunes_the_game_in_play(player):
    player.play(7)
    player.controls["rate"].value = 5
    assert (player.game.steps, player.game.rate, player.game.made_with) == (7, 5, 3)
    assert player.caption.value == "step 7 at rate 5"


def test_restart_begins_a_new_game_with_the_controls_as_they_are(player):
    player.play(7)
    player.controls["rate"].value = 5
    player.restart.click()
    assert (player.game.steps, player.game.made_with) == (0, 5) and player.caption.value == "step 0 at rate 5"


def test_an_error_pauses_the_game_and_is_shown(player):
    async def scene():
        player.controls["rate"].value = -1
        player.running.value = True
        await until(player.playing.done)

    asyncio.run(scene())
    assert player.caption.value == "ValueError: counts &lt;up&gt; only" and player.running.value is False
    player.controls["rate"].value = 1
    player.play(1)
    assert player.caption.value == "step 2 at rate 1"


def test_it_pauses_by_itself_at_the_limit():
    player = GamePlayer(Counter, draw, limit=12, rate=widgets.IntSlider(3))

    async def scene(stops_at):
        player.running.value = True
        await until(player.playing.done)
        assert player.game.steps == stops_at and player.running.value is False

    asyncio.run(scene(12))
    asyncio.run(scene(24))  # Start goes on from there


def test_pixels_are_the_figure_s_own_size_whatever_is_in_it():
    figure = Figure(figsize=(3, 2))
    figure.add_axes((0, 0, 1, 1)).set_facecolor("#ff0000")
    image = pixels(figure, dpi=50)
    assert image.shape == (100, 150, 3) and image.dtype == np.uint8
    assert (image[50, 75] == [255, 0, 0]).all()
