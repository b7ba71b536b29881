"""Timeline: labels at chosen times, interpolated in between; the model behind the Composer widget."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .animation import write_whole
from .checks import flag, instance, path_of, real, shown, whole
from .datasets.files import MISSING, unsuited
from .labels import FARTHEST, MOST_FRAMES, Labels, LabelSpace

LONGEST = 600.0  # seconds of a timeline
MOST_KEYS, MOST_BYTES = 1000, 10_000_000
KIND = "animlab timeline"  # the "kind" of its JSON

# Fraction of the time between two keys that has passed → fraction of the way that is done; both 0 to 1.
EASINGS: dict[str, Callable[[float], float]] = {
    "smooth": lambda t: t * t * (3 - 2 * t),  # slow at both ends
    "linear": lambda t: t,
    "hold": lambda t: 0.0,  # stands still, then jumps
}


@dataclass(frozen=True)
class Key:
    """The labels at one time of a timeline.

    Args:
        time: in seconds, 0 to 600.
        d: discrete label, 0 to n_d - 1.
        c: n_c continuous labels, each within ±1e6; training draws them from [0, 1].
        z: n_z numbers, each within ±1e6; training draws them from N(0, 1).
        ease: pace from here to the next key: "smooth" (slow at both ends), "linear", or "hold" (stand still, then
            jump).
    """

    time: float
    d: int
    c: tuple[float, ...]
    z: tuple[float, ...]
    ease: str = "smooth"


@dataclass(frozen=True)
class Timeline:
    """Keys at certain times, and the labels interpolated between them. Immutable: every edit returns a new timeline.

    Between two keys z, d and c are all interpolated linearly, at the pace that the easing of the first key sets. Where
    the keys differ in d, their one-hot vectors are blended, which gives a dissolve.

    Example:
        >>> space = animlab.LabelSpace(n_z=4, n_d=5, n_c=5)
        >>> timeline = animlab.Timeline(space, seconds=3).with_key(0, space.still(d=0)).with_key(1.5, space.still(d=3))
        >>> clip = model.frames(timeline.labels(36))  # at 12 frames a second
        >>> animlab.save_animation(clip, "dissolve.gif", fps=12)

    Args:
        space: the LabelSpace of the model that draws it.
        seconds: its length, 0.1 to 600 seconds.
        loop: whether the last key leads back to the first, so that the clip repeats without a jump; otherwise the
            picture stands still before the first key and after the last.
        keys: at most 1,000 keys in any order, at distinct times from 0 to `seconds`.

    Raises:
        ValueError: A value is out of range, two keys share a time, or a key's labels do not fit the space.
        TypeError: space is not a LabelSpace, or a key is not a Key.
    """

    space: LabelSpace
    seconds: float = 4.0
    loop: bool = True
    keys: tuple[Key, ...] = ()

    def __post_init__(self) -> None:
        instance("A Timeline takes a LabelSpace, such as model.space", self.space, LabelSpace)
        seconds = real("seconds, the length of a timeline,", self.seconds, 0.1, LONGEST)
        keys = sorted((_checked(key, self.space) for key in self.keys), key=lambda key: key.time)
        if len(keys) > MOST_KEYS:
            raise ValueError(f"A timeline has at most {MOST_KEYS:,} keys, got {len(keys):,}.")
        for key, following in pairwise(keys):
            if key.time == following.time:
                raise ValueError(f"A timeline has one key at a time, got two at {key.time:g} s.")
        if keys and keys[-1].time > seconds:
            raise ValueError(
                f"A timeline of {seconds:g} s ends before its key at {keys[-1].time:g} s: make it longer, or take that "
                "key out."
            )
        for name, value in {"seconds": seconds, "loop": flag("loop", self.loop), "keys": tuple(keys)}.items():
            object.__setattr__(self, name, value)

    def with_key(self, time: float, labels: Labels, ease: str = "smooth") -> Timeline:
        """The timeline with one more key, which replaces a key at the same time.

        Args:
            time: in seconds, 0 to the length of the timeline.
            labels: one row, d one-hot.
            ease: pace to the next key, "smooth", "linear" or "hold".

        Raises:
            ValueError: There are several rows, d is a blend, or a value is out of range.
            TypeError: These are not Labels.
        """
        instance("A key takes Labels, such as model.space.still gives", labels, Labels)
        if len(labels) != 1:
            raise ValueError(f"A key takes one row of labels, got {len(labels)}.")
        d = labels.d[0].tolist()
        if sorted(d) != [0.0] * (len(d) - 1) + [1.0]:
            raise ValueError(f"A key takes labels of one d, got the blend {shown(d)}.")
        key = Key(time, d.index(1), tuple(labels.c[0].tolist()), tuple(labels.z[0].tolist()), ease)
        return replace(self, keys=(*(other for other in self.keys if other.time != time), key))

    def without_key(self, time: float) -> Timeline:
        """The timeline without its key at one time.

        Args:
            time: of the key, in seconds.

        Raises:
            ValueError: There is no key at that time.
        """
        if not any(key.time == time for key in self.keys):
            raise ValueError(f"This timeline has no key at {shown(time)} s.")
        return replace(self, keys=tuple(key for key in self.keys if key.time != time))

    def at(self, times: Sequence[float] | np.ndarray) -> Labels:
        """The labels at given times.

        Args:
            times: (N,) in seconds, clipped to the timeline.

        Returns:
            N rows of labels; d is blended between keys of different d.

        Raises:
            ValueError: The timeline has no key.
        """
        if not self.keys:
            raise ValueError("This timeline has no key yet: there is nothing to draw.")
        now = np.clip(np.asarray(times, float), 0, self.seconds)
        keys = np.array([[*key.z, *np.eye(self.space.n_d)[key.d], *key.c] for key in self.keys])
        starts = np.array([key.time for key in self.keys])
        length = self.seconds if self.loop else 2 * self.seconds  # without a loop, the next round is never reached
        first, last = (-1, 0) if self.loop else (0, -1)  # the keys before the first one, and after the last
        keys = np.concatenate([keys[first][None], keys, keys[last][None]])
        starts = np.array([starts[-1] - length, *starts, starts[0] + length])
        eases = [self.keys[-1].ease, *(key.ease for key in self.keys)]

        leg = np.clip(np.searchsorted(starts, now, "right") - 1, 0, len(eases) - 1)
        takes = np.maximum(starts[leg + 1] - starts[leg], 1e-9)  # 0 from a key at the end to one at the start
        passed = (now - starts[leg]) / takes
        done = np.array([EASINGS[eases[k]](share) for k, share in zip(leg, passed)])
        rows = torch.from_numpy(keys[leg] + (keys[leg + 1] - keys[leg]) * done[:, None]).float()
        return Labels(*rows.split([self.space.n_z, self.space.n_d, self.space.n_c], dim=1))

    def labels(self, frames: int) -> Labels:
        """The labels at equal time steps from the start of the timeline.

        Args:
            frames: number of rows, 1 to 100,000. The last one is at the end, or in a loop one step before it.

        Returns:
            `frames` rows of labels.

        Raises:
            ValueError: `frames` is out of range, or the timeline has no key.
        """
        frames = whole("frames", frames, 1, MOST_FRAMES)
        return self.at(np.linspace(0, self.seconds, frames, endpoint=not self.loop))

    def to_json(self) -> str:
        """The timeline as JSON text, which `from_json` and the pages of `export_player` read."""
        content = {"kind": KIND, "space": asdict(self.space), "seconds": self.seconds, "loop": self.loop}
        return json.dumps(content | {"keys": [asdict(key) for key in self.keys]}, indent=1) + "\n"

    def save(self, path: str | Path) -> None:
        """Writes the timeline to a JSON file.

        Args:
            path: the file; an older one stays until the new one is complete.

        Raises:
            OSError: The file cannot be written.
            ValueError: No file can be named `path`.
            TypeError: `path` is neither a string nor a Path.
        """
        write_whole(path_of("path", path), lambda part: part.write_text(self.to_json(), encoding="utf-8"))

    @classmethod
    def load(cls, path: str | Path) -> Timeline:
        """Reads a timeline that `save` wrote.

        Args:
            path: the JSON file.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file is not a timeline, or no file can be named `path`.
            TypeError: `path` is neither a string nor a Path.
        """
        path = path_of("path", path)
        reason = unsuited(path)
        if reason == MISSING:
            raise FileNotFoundError(f"There is no timeline {str(path)!r}.")
        if reason or path.stat().st_size > MOST_BYTES:
            raise ValueError(f"{path} cannot be opened ({reason or 'too large for a timeline'}).")
        return cls.from_json(path.read_text(encoding="utf-8", errors="replace"))

    @classmethod
    def from_json(cls, text: str) -> Timeline:
        """Reads a timeline from the text that `to_json` gives.

        Args:
            text: JSON.

        Raises:
            ValueError: The text is not a timeline, or a Timeline with its values is invalid.
        """
        try:
            content = json.loads(text)
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"This is not a timeline, because it is not JSON ({error}).") from None
        if not isinstance(content, dict) or content.get("kind") != KIND:
            raise ValueError(f"This is not a timeline, because its JSON does not begin with the kind {KIND!r}.")
        found = _object("A timeline", {name: value for name, value in content.items() if name != "kind"}, cls)
        if not isinstance(found["keys"], list):
            raise ValueError(f"A timeline's keys are a list […], got {shown(found['keys'])}.")
        space = LabelSpace(**_object("A timeline's space", found["space"], LabelSpace))
        keys = tuple(Key(**_object("A key", key, Key)) for key in found["keys"])
        return cls(**found | {"space": space, "keys": keys})


def _object(what: str, found: Any, kind: type) -> dict[str, Any]:
    """A JSON object that has exactly the fields of a dataclass; ValueError for any other value."""
    names = [field.name for field in fields(kind)]
    if not isinstance(found, dict) or sorted(found) != sorted(names):
        raise ValueError(f"{what} is an object of {', '.join(names)}, got {shown(found)}.")
    return found


def _checked(key: Key, space: LabelSpace) -> Key:
    """The key with plain Python numbers; ValueError where it does not fit the space."""
    instance("A Timeline's keys are Keys", key, Key)
    space.check_d(key.d)
    numbers = {}
    for name, count in (("c", space.n_c), ("z", space.n_z)):
        values = getattr(key, name)
        if not isinstance(values, (list, tuple)) or len(values) != count:
            raise ValueError(f"A key's {name} is a list of {count} numbers, got {shown(values)}.")
        numbers[name] = tuple(real(f"A key's {name}", value, -FARTHEST, FARTHEST) for value in values)
    if not isinstance(key.ease, str) or key.ease not in EASINGS:
        raise ValueError(f"A key's ease is one of {', '.join(EASINGS)}, got {shown(key.ease)}.")
    return Key(real("A key's time in seconds", key.time, 0, LONGEST), int(key.d), ease=key.ease, **numbers)
