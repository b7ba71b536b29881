"""Checkpoints: what goes in comes out; anything else is one clear sentence; kills and full disks harm nothing."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import pickle
import re
import resource
import stat
import time
import zlib
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import animlab
from animlab import Callback, Clips, Discriminator, Generator, LabelSpace, Model, Preset
from animlab.checkpoints import CheckpointError, write_checkpoint

ROOT = Path(__file__).parent.parent
SPACE = LabelSpace(n_z=3, n_d=4, n_c=2)
CARD = {"dataset": "noise", "preset": "stable", "steps": 7, "seed": 3}
FILE = "model.safetensors"
SHIPPED = sorted(path.parent.name for path in (ROOT / "data" / "pretrained").glob("*/animation.webp"))


def make_model(seed: int = 0, norm: str = "spectral") -> Model:
    torch.manual_seed(seed)
    nets = Generator(SPACE, 3, 0.1, centre_c=True), Discriminator(SPACE, 3, 0.1, centre_c=True, norm=norm)
    nets[0](SPACE.sample(8))  # so that its batch norms remember something
    return Model(*nets, dict(CARD))


def header_of(path: Path) -> dict:
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["animlab"])


def refuses(path: Path) -> str:
    """The one sentence with which `path` is refused; it names the file."""
    with pytest.raises(CheckpointError) as caught:
        animlab.load(path)
    said = str(caught.value)
    assert str(path) in said and "\n" not in said and said.endswith(".") and len(said) < 400
    assert caught.value.__context__ is None or caught.value.__suppress_context__  # no parser's traceback above it
    return said


# Round trips ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["spectral", "batch", "none"])
@pytest.mark.parametrize("place", ["run", "deeper/run", "weights.safetensors"])
def test_round_trip_is_exact(norm, place, tmp_path):
    model = make_model(norm=norm)
    path = animlab.save(model, tmp_path / place)
    again = animlab.load(tmp_path / place)
    for name in ("generator", "discriminator"):
        mine, there = getattr(model, name).state_dict(), getattr(again, name).state_dict()
        assert mine.keys() == there.keys()
        assert all(torch.equal(mine[key], there[key]) for key in mine)
    assert again.space == SPACE and again.card == CARD
    assert np.array_equal(again.animate(d=1, along=0, frames=3), model.animate(d=1, along=0, frames=3))
    assert not again.generator.training and not again.discriminator.training
    assert path.is_file() and [p for p in path.parent.iterdir()] == [path]  # nothing temporary stays


def test_float16_halves_the_file_and_hardly_moves_the_pictures(tmp_path):
    model = make_model()
    whole, half = (animlab.save(model, tmp_path / str(dtype), dtype) for dtype in (torch.float32, torch.float16))
    assert half.stat().st_size < 0.55 * whole.stat().st_size
    again = animlab.load(half)
    for mine, there in zip(model.generator.parameters(), again.generator.parameters()):
        assert there.dtype == torch.float32
        assert torch.allclose(mine, there, rtol=2**-11, atol=2**-24)  # half a unit in float16's last place
    pictures = [m.animate(frames=4).astype(int) for m in (model, again)]
    assert np.abs(pictures[0] - pictures[1]).max() <= 2  # of 255


def test_int8_stores_large_matrices_with_one_scale_a_row(tmp_path):
    torch.manual_seed(0)
    generator = Generator(SPACE, 3, 0.25)
    with torch.no_grad():
        generator.embed[3].weight[7] = 0  # a row without a largest number
        generator.embed[3].weight[8] *= 1000  # which must not coarsen the others
    path = animlab.save(Model(generator, None, {}), tmp_path, torch.int8)
    assert header_of(path)["int8"] == ["generator.embed.3.weight"]
    stored = load_file(path)
    assert {name for name, x in stored.items() if x.dtype == torch.int8} == {"generator.embed.3.weight"}
    kinds = {x.dtype for name, x in stored.items() if "embed.3.weight" not in name and "num_batches" not in name}
    assert kinds == {torch.float16}
    again = animlab.load(path).generator
    for (name, mine), there in zip(generator.named_parameters(), again.parameters()):
        error = (mine - there).abs().amax(dim=tuple(range(1, mine.ndim)))  # of each row
        if name == "embed.3.weight":
            assert ((error / mine.abs().amax(dim=1).clamp(min=1e-30)) <= 0.501 / 127).all(), name
        else:
            assert torch.equal(there, mine.half().float()), name
    assert {p.dtype for p in again.parameters()} == {torch.float32}


@pytest.mark.parametrize("name", SHIPPED)
def test_int8_quarters_the_shipped_models_and_hardly_moves_their_pictures(name, tmp_path):
    model = animlab.load(ROOT / "data" / "pretrained" / name)
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():  # anywhere between the steps, as when trained: what is stored as int8 is stored exactly again
        for net in (model.generator, model.discriminator):
            for p in net.parameters():
                if p.ndim == 2:
                    p += (torch.rand(p.shape, generator=rng) - 0.5) * p.abs().amax(dim=1, keepdim=True) / 127
    path = animlab.save(model, tmp_path, torch.int8)
    assert path.stat().st_size <= 10_000_000
    again = animlab.load(path)
    labels = model.space.sample(64, rng)
    one, other = (m.frames(labels).astype(int) for m in (model, again))
    away = np.abs(one - other)  # of 255; the edge of a white stroke on black moves more, by a hundredth of a pixel
    assert away.mean() <= 0.1 and (away > 3).mean() <= 0.002 and away.max() <= 15
    for mine, there in zip(model.read(one.astype(np.uint8)), again.read(one.astype(np.uint8))):
        assert np.abs(mine - there).mean() <= 0.005
    found = [animlab.metrics.label_influence(m.generator, pairs=16) for m in (model, again)]
    for label, value in found[0].items():
        assert found[1][label].strength == pytest.approx(value.strength, abs=0.005), label
        assert found[1][label].focus == pytest.approx(value.focus, abs=0.005), label


@pytest.mark.parametrize("dtype", [torch.float64, torch.int32, torch.bfloat16], ids=str)
def test_other_number_formats_are_refused(dtype, tmp_path):
    with pytest.raises(ValueError, match=rf"^A model is saved as torch.float32, float16 or int8, got {dtype}\.$"):
        animlab.save(make_model(), tmp_path, dtype)
    assert list(tmp_path.iterdir()) == []


def test_the_header_says_how_to_build_the_networks(tmp_path):
    path = animlab.save(make_model(), tmp_path)
    sums = {name: zlib.crc32(value.numpy().tobytes()) for name, value in load_file(path).items()}
    assert header_of(path) == {
        "format": 1,
        "architecture": "paper",
        "space": {"n_z": 3, "n_d": 4, "n_c": 2},
        "channels": 3,
        "generator": {"width": 0.1, "centre_c": True},
        "discriminator": {"width": 0.1, "centre_c": True, "norm": "spectral"},
        "card": CARD,
        "version": version("animlab"),
        "crc32": sums,
    }


def test_a_model_without_its_discriminator(tmp_path):
    model = make_model()
    animlab.save(Model(model.generator, None, model.card), tmp_path)
    again = animlab.load(tmp_path)
    assert again.discriminator is None
    assert np.array_equal(again.animate(frames=2), model.animate(frames=2))


def test_a_loaded_run_plays_the_average_and_can_be_saved_without_its_training(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), np.uint8)
    clips = Clips.single(frames)
    preset = Preset(norm="spectral", ema=0.9, batch=8)
    run = animlab.fit(clips, SPACE, preset, 3, 5, tmp_path / "run", width=0.1, precision="fp32", progress=False)
    loaded = animlab.load(tmp_path / "run")
    assert np.array_equal(loaded.animate(frames=2), run.model.animate(frames=2))
    known = {"dataset": "single", "seed": 5, "preset": "custom", "precision": "fp32", "steps": 3}
    assert {key: loaded.card[key] for key in known} == known and loaded.card["preset_values"]["ema"] == 0.9
    shipped = load_file(animlab.save(loaded, tmp_path / "small"))
    assert {name.split(".")[0] for name in shipped} == {"generator", "discriminator"}


def test_relative_paths_start_at_the_working_directory_then_data(tmp_path, monkeypatch):
    here, data = tmp_path / "here", tmp_path / "project" / "data"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(animlab.checkpoints, "PROJECT", tmp_path / "project")
    animlab.save(make_model(1), data / "pretrained" / "one")
    assert animlab.load("pretrained/one").card == CARD
    animlab.save(Model(make_model(2).generator, None, {"dataset": "mine"}), "pretrained/one")
    assert animlab.load("pretrained/one").card == {"dataset": "mine"}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_load_and_draw(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    model = animlab.load(f"pretrained/{name}")
    clip = model.animate(d=0, along=0, frames=4)
    assert clip.shape[:3] == (4, 64, 64) and clip.std() > 10  # a picture, not one colour
    score, d, c = model.read(clip)
    assert np.isfinite(score).all() and d.shape == (4, model.space.n_d) and c.shape == (4, model.space.n_c)
    assert {"dataset", "preset", "steps", "seed"} <= model.card.keys()


def test_loading_leaves_the_readers_random_numbers_alone(tmp_path):
    animlab.save(make_model(), tmp_path)
    before = torch.get_rng_state()
    animlab.load(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_others_may_read_what_is_saved(tmp_path):
    (tmp_path / "plain").touch()
    usual = stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    assert stat.S_IMODE(animlab.save(make_model(), tmp_path).stat().st_mode) == usual


# What is no checkpoint ------------------------------------------------------------------------------------------------


def test_truncated_at_any_length(tmp_path):
    whole = animlab.save(make_model(), tmp_path).read_bytes()
    (size,) = np.frombuffer(whole[:8], "<u8")  # a safetensors file: 8 bytes of length, the header, the weights
    cut = tmp_path / "cut.safetensors"
    edges = {0, 1, 7, 8, 9, int(size), int(size) + 7, int(size) + 8, int(size) + 9, len(whole) - 1}
    for length in sorted(edges | set(range(0, len(whole), len(whole) // 40))):
        cut.write_bytes(whole[:length])
        assert "damaged or no checkpoint at all" in refuses(cut), length
    cut.write_bytes(whole)
    animlab.load(cut)


def test_appended_bytes(tmp_path):
    path = animlab.save(make_model(), tmp_path)
    with path.open("ab") as file:
        file.write(b"more")
    assert "damaged" in refuses(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"Dear reader,\nthis is a text file.\n" * 50, pickle.dumps({"weights": [1.0] * 100}), b"\0" * 4096],
    ids=["empty", "text", "pickle", "zeros"],
)
def test_other_files_under_our_name(content, tmp_path):
    path = tmp_path / FILE
    path.write_bytes(content)
    said = refuses(tmp_path / FILE)
    assert "no checkpoint" in said or "not a checkpoint" in said


def test_a_pickle_is_never_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    path = tmp_path / FILE
    torch.save({"weights": Bomb()}, path)
    refuses(path)
    assert not (tmp_path / "exploded").exists()


def test_nothing_in_the_library_reads_pickles():
    pattern = re.compile(r"torch\.(load|save)\(|\b(c?pickle|dill|joblib|shelve|marshal)\b|allow_pickle=True")
    users = [
        f"{path.name}:{number}"
        for path in sorted((ROOT / "animlab").rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line) and "never pickle" not in line and "weights_only=True" not in line  # tensors alone
    ]
    assert users == []


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"animlab": "[1, 2]"}], ids=str)
def test_foreign_safetensors(metadata, tmp_path):
    path = tmp_path / FILE
    save_file({"unet.weight": torch.ones(3)}, path, metadata)
    assert "not a checkpoint written by animlab" in refuses(path)


def test_a_later_format(tmp_path):
    path = animlab.save(make_model(), tmp_path)
    save_file(load_file(path), path, {"animlab": json.dumps(header_of(path) | {"format": 99})})
    assert refuses(path).endswith("has checkpoint format 99, this animlab reads 1; update animlab.")


@pytest.mark.parametrize(
    "change",
    [
        {"space": {"n_z": 4, "n_d": 4, "n_c": 2}},
        {"space": {"n_z": 3, "n_d": 0, "n_c": 2}},
        {"space": {"n_q": 3}},
        {"space": 7},
        {"channels": 1},
        {"generator": {"width": 0.2, "centre_c": True}},
        {"generator": {}},
        {"discriminator": {"width": 0.1, "centre_c": True, "norm": "batch"}},
    ],
    ids=str,
)
def test_weights_that_do_not_fit_their_header(change, tmp_path):
    path = animlab.save(make_model(), tmp_path)
    save_file(load_file(path), path, {"animlab": json.dumps(header_of(path) | change)})
    assert "does not hold the networks that its header describes" in refuses(path)


@pytest.mark.parametrize("part", ["space", "channels", "generator", "discriminator", "card"])
def test_a_header_with_a_part_missing(part, tmp_path):
    path = animlab.save(make_model(), tmp_path)
    header = header_of(path)
    del header[part]
    save_file(load_file(path), path, {"animlab": json.dumps(header)})
    assert part in refuses(path)


def test_a_weight_missing(tmp_path):
    path = animlab.save(make_model(), tmp_path)
    header, tensors = header_of(path), load_file(path)
    del tensors["generator.decoder.6.bias"]
    save_file(tensors, path, {"animlab": json.dumps(header)})
    assert "decoder.6.bias" in refuses(path)


@pytest.mark.parametrize("path", ["runs/nowhere", "nowhere.safetensors", "notes.txt", "."])
def test_a_missing_model_names_the_remedy(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("not a model")
    with pytest.raises(FileNotFoundError, match=rf"^No trained model at '{re.escape(path)}'.*train one with animlab"):
        animlab.load(path)


@pytest.mark.parametrize("change", [{"int8": 7}, {"int8": ["generator.decoder.6.bias"]}], ids=str)
def test_a_scale_missing(change, tmp_path):
    path = animlab.save(make_model(), tmp_path)
    save_file(load_file(path), path, {"animlab": json.dumps(header_of(path) | change)})
    assert "damaged" in refuses(path)


# Damage that leaves the file readable ---------------------------------------------------------------------------------


def with_changes(path: Path, change, summed: bool) -> Path:
    """Other tensors in a file; summed: with checksums that fit them, as one who means harm would write it."""
    tensors, header = load_file(path), header_of(path)
    change(tensors)
    if summed:
        del header["crc32"]
    save_file(tensors, path, {"animlab": json.dumps(header)})
    return path


def test_one_flipped_bit_is_noticed(tmp_path):
    """In any tensor, of which a file is as full as it can be: none of its last bytes is without a meaning."""
    path = animlab.save(make_model(), tmp_path)
    whole = path.read_bytes()
    for back in (1, 1000, 100_000):
        damaged = bytearray(whole)
        damaged[-back] ^= 1
        path.write_bytes(damaged)
        assert "is not what was written" in refuses(path)
    path.write_bytes(whole)
    animlab.load(path)


def test_a_tensor_that_is_gone_is_missed(tmp_path):
    assert "generator.embed.0.bias" in refuses(
        with_changes(animlab.save(make_model(), tmp_path), lambda tensors: tensors.pop("generator.embed.0.bias"), False)
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(value, tmp_path):
    path = with_changes(
        animlab.save(make_model(), tmp_path), lambda tensors: tensors["generator.embed.0.bias"].fill_(value), True
    )
    assert "generator.embed.0.bias is not finite" in refuses(path)


@pytest.mark.parametrize("card", [5, None, [], "a card"])
def test_a_card_that_is_none(card, tmp_path):
    path = animlab.save(make_model(), tmp_path)
    save_file(load_file(path), path, {"animlab": json.dumps(header_of(path) | {"card": card})})
    assert f"the card is {card!r}, not an object" in refuses(path)


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is counted as Linux tells it")
@pytest.mark.parametrize(
    "promise", [{"generator": {"width": 20.0, "centre_c": True}}, {"space": {"n_z": 10_000, "n_d": 10_000, "n_c": 9}}]
)
def test_a_small_file_that_promises_large_networks_takes_no_memory(promise, tmp_path):
    path = animlab.save(make_model(), tmp_path)
    save_file(load_file(path), path, {"animlab": json.dumps(header_of(path) | promise)})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "by the header it is" in refuses(path)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10 < 50  # MB; the first would take 10,000


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (os.mkfifo, "not a regular file, but a pipe or a device"),
        (Path.mkdir, "a folder, not a file"),
        (lambda path: path.symlink_to("nothing"), "a link that leads nowhere"),
        (lambda path: path.symlink_to("/dev/zero"), "not a regular file, but a pipe or a device"),
    ],
)
def test_what_is_no_file_is_not_opened(make, reason, tmp_path):
    make(tmp_path / FILE)
    assert f"cannot be opened ({reason})" in refuses(tmp_path / FILE)
    frames = np.zeros((9, 64, 64, 3), np.uint8)
    clips = Clips.single(frames)
    with pytest.raises(CheckpointError, match="cannot be opened"):
        animlab.fit(clips, SPACE, Preset(batch=4), 1, out=tmp_path, width=0.1, resume=True, progress=False)
    with pytest.raises(FileExistsError):
        animlab.fit(clips, SPACE, Preset(batch=4), 1, out=tmp_path, width=0.1, progress=False)


@pytest.mark.skipif(os.name != "posix", reason="other systems have other rights")
@pytest.mark.parametrize("locked", ["the file", "its folder"])
def test_what_may_not_be_read_is_not_called_missing(locked, tmp_path):
    path = animlab.save(make_model(), tmp_path / "run")
    (path if locked == "the file" else path.parent).chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root may read everything")
    try:
        assert "cannot be opened (permission denied)" in refuses(path)
    finally:
        path.parent.chmod(0o700)


@pytest.mark.parametrize("device", ["nope", 5, "meta"])
def test_a_device_that_is_not_there(device, tmp_path):
    with pytest.raises(
        ValueError, match=rf"^device {device!r} cannot be used here \(.*\): leave it out, or take 'cpu'\.$"
    ):
        animlab.load(animlab.save(make_model(), tmp_path), device)


def test_the_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert animlab.save(make_model(), "~/run") == tmp_path / "run" / FILE
    assert animlab.load("~/run").card == CARD


# Kills and full disks -------------------------------------------------------------------------------------------------


def version_tensors(n: int) -> dict[str, torch.Tensor]:
    """6 MB of weights that all say which version they are."""
    return {f"generator.{i}": torch.full((500, 1000), float(n)) for i in range(3)}


def write_for_ever(folder: str, ready) -> None:
    n = 0
    while True:
        write_checkpoint(folder, version_tensors(n), {"format": 1, "version_written": n})
        ready.set()
        n += 1


def test_kill_9_leaves_a_whole_version(tmp_path):
    context = multiprocessing.get_context("forkserver")  # a new process each time, but PyTorch is imported once
    context.set_forkserver_preload(["animlab", "pytest"])
    delays = np.random.default_rng(0).uniform(0, 0.03, 60)
    leftovers = 0
    for number, delay in enumerate(delays):
        if number >= 12 and leftovers:  # on a busy machine it takes more kills until one hits a write
            break
        ready = context.Event()
        child = context.Process(target=write_for_ever, args=(str(tmp_path), ready))
        child.start()
        assert ready.wait(300)
        time.sleep(delay)
        child.kill()
        child.join()
        assert child.exitcode == -9
        tensors, header = animlab.checkpoints.read_checkpoint(tmp_path / FILE)
        expected = version_tensors(header["version_written"])
        assert all(torch.equal(tensors[name], value) for name, value in expected.items())
        leftovers = len(list(tmp_path.iterdir())) - 1
    assert leftovers > 0, "no kill hit a write, so this test has shown nothing"
    path = animlab.save(make_model(), tmp_path)  # half-written files beside it disturb nobody
    assert path == tmp_path / FILE and animlab.load(tmp_path).card == CARD


@pytest.fixture
def short_of_space():
    """No file of this process may grow beyond 100 kB: a write stops half way, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def assert_intact(path: Path, before: bytes, write) -> str:
    with pytest.raises(OSError) as caught:
        write()
    said = str(caught.value)
    assert said.startswith(f"{path} could not be written (") and said.endswith("the checkpoint before it is intact.")
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]  # and no half file beside it
    return said


def test_a_write_that_stops_half_way(tmp_path, short_of_space):
    path = animlab.save(make_model(1), tmp_path)
    before = path.read_bytes()
    assert len(before) > 200_000
    short_of_space()
    assert_intact(path, before, lambda: animlab.save(make_model(2), tmp_path))


@pytest.mark.parametrize("moment", ["animlab.checkpoints.save_file", "os.fsync", "os.replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES], ids=os.strerror)
def test_a_full_disk_or_a_read_only_one(moment, number, tmp_path, monkeypatch):
    path = animlab.save(make_model(1), tmp_path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(moment, fail)
    assert os.strerror(number) in assert_intact(path, before, lambda: animlab.save(make_model(2), tmp_path))


def test_a_run_whose_disk_fills_up_can_go_on_later(tmp_path, monkeypatch):
    """The second checkpoint fails; the first is there to resume from and ends where an uninterrupted run does."""
    frames = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), np.uint8)
    clips = Clips.single(frames)
    preset = Preset(norm="spectral", batch=8)

    def fit(place, **options):
        options = {"width": 0.1, "precision": "fp32", "progress": False, "checkpoint_every": 2} | options
        return animlab.fit(clips, SPACE, preset, 4, out=tmp_path / place, **options)

    class Full(Callback):
        def on_step(self, record):
            if record.step == 3:
                monkeypatch.setattr("animlab.checkpoints.save_file", self.fail)

        def fail(self, *_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match=r"No space left on device.*the checkpoint before it is intact"):
        fit("parts", callbacks=[Full()])
    monkeypatch.undo()
    assert animlab.load(tmp_path / "parts").card["steps"] == 2
    fit("parts", resume=True)
    fit("whole")
    one, other = (load_file(tmp_path / place / FILE) for place in ("parts", "whole"))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
