"""The Basel Face Model: 2009 from its Matlab file, 2017 from its HDF5 files.

2009: Paysan, Knothe, Amberg, Romdhani and Vetter, "A 3D Face Model for Pose and Illumination Invariant Face
Recognition", AVSS 2009: 53,490 vertices, 199 components of shape and of colour, no expressions; the paper's set. 2017:
Gerig et al., "Morphable Face Models - An Open Framework", FG 2018: 199 + 199 components and 100 of expression. Both are
free for research after registration with the University of Basel, and may not be passed on.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import scipy.io
from scipy.io.matlab import MatReadError

from . import limits
from .files import check_file, is_file
from .morphable import MorphableModel, outward

MATLAB_FILE = "01_MorphableModel.mat"
HDF5_FILES = ("model2017-1_bfm_nomouth.h5", "model2017-1_face12_nomouth.h5")
COMPONENTS = 60  # of 199, in order of variance: the rest moves vertices by less than a pixel can show
EXPRESSIONS = ("expression_0", "expression_1", "expression_2")  # principal components have no names
EXPRESSION_STEP = 2.5  # standard deviations at weight 1
GLOSS = 16.0  # of skin; the model has none
MATLAB_NAMES = ("shapeMU", "shapePC", "shapeEV", "texMU", "texPC", "texEV", "tl")
# What scipy and h5py raise for files that are damaged or of another kind.
READ_ERRORS = (OSError, ValueError, KeyError, TypeError, IndexError, EOFError, NotImplementedError, MatReadError)


def find_basel(root: Path) -> Path | None:
    """Finds a Basel Face Model in a folder, the paper's of 2009 before that of 2017.

    Args:
        root: the folder.

    Returns:
        The file, or None.
    """
    return next((root / name for name in (MATLAB_FILE, *HDF5_FILES) if is_file(root / name)), None)


def read_basel(path: Path) -> MorphableModel:
    """Reads one of the published models, on a coarser mesh that suits 64 x 64 pixels.

    Args:
        path: the Matlab file of 2009 or an HDF5 file of 2017.

    Raises:
        ValueError: The file is damaged or has another layout; the message names it.
        ModuleNotFoundError: It is a file of 2017, and h5py is not installed.
    """
    check_file(path)
    size = path.stat().st_size
    if size > limits.MAX_MODEL_BYTES:
        most = limits.MAX_MODEL_BYTES >> 30
        raise ValueError(f"{path} has more than {most} GB, too much for a face model: remove it.")
    try:
        model = _from_matlab(path) if path.suffix == ".mat" else _from_hdf5(path, _h5py(path))
    except READ_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"{path} is not a readable Basel Face Model ({size} bytes; {reason}): get it again."
        ) from error
    if len(model.mean) > 20_000:
        model = model.reduced(fixed=np.zeros(len(model.mean), bool))
    return model


def _from_matlab(path: Path) -> MorphableModel:
    """2009: lengths in micrometres, colours 0 to 255, corners counted from 1, `EV` holding standard deviations."""
    stored = scipy.io.loadmat(path, variable_names=MATLAB_NAMES)
    missing = [name for name in MATLAB_NAMES if name not in stored]
    if missing:
        raise ValueError(f"it has no {', '.join(missing)}")
    identity = _directions(stored["shapePC"], stored["shapeEV"])
    tint = _directions(stored["texPC"], stored["texEV"])
    mean, colour = _vertices(stored["shapeMU"]), _vertices(stored["texMU"])
    return _model(mean, identity, colour, tint, stored["tl"].astype(np.int64) - 1)


def _from_hdf5(path: Path, h5py: ModuleType) -> MorphableModel:
    """2017: lengths in millimetres, colours 0 to 1, corners (3, F) counted from 0, variances."""
    with h5py.File(path, "r") as file:
        parts = {name: _statismo(file[f"{name}/model"]) for name in ("shape", "color", "expression")}
        triangles = np.asarray(file["shape/representer/cells"], np.int64)
    mean, identity = parts["shape"]
    colour, tint = parts["color"]
    offset, expression = parts["expression"]
    expression = EXPRESSION_STEP * expression[: len(EXPRESSIONS)]
    return _model(mean + offset, identity, 255 * colour, 255 * tint, triangles.T, expression)


def _statismo(group: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean (V, 3) and directions (K, V, 3) of one statistical model in a file of the library Statismo."""
    deviation = np.sqrt(np.asarray(group["pcaVariance"], np.float32)[:COMPONENTS])
    return _vertices(group["mean"]), _directions(group["pcaBasis"], deviation)


def _vertices(flat: Any) -> np.ndarray:
    """x1 y1 z1 x2 ... as (V, 3) float32."""
    return np.asarray(flat, np.float32).reshape(-1, 3)


def _directions(basis: Any, deviation: np.ndarray) -> np.ndarray:
    """The first columns of a basis (3V, K), each times its standard deviation, as (K, V, 3) float32."""
    deviation = np.asarray(deviation, np.float32).ravel()[:COMPONENTS]
    columns = np.asarray(basis[:, :COMPONENTS], np.float32)
    if columns.shape[1] != len(deviation):
        raise ValueError(f"it has {columns.shape[1]} components but {len(deviation)} deviations")
    return np.ascontiguousarray((columns * deviation).T).reshape(len(deviation), -1, 3)


def _model(
    mean: np.ndarray,
    identity: np.ndarray,
    colour: np.ndarray,
    tint: np.ndarray,
    triangles: np.ndarray,
    expression: np.ndarray | None = None,
) -> MorphableModel:
    """Checks that the parts fit each other, and builds the model from them."""
    if expression is None:
        expression = np.empty((0, *mean.shape), np.float32)
    wrong = [part.shape for part in (identity, tint, expression, colour[None]) if part.shape[1:] != mean.shape]
    if wrong or triangles.ndim != 2 or triangles.shape[1] != 3 or not len(triangles):
        raise ValueError(f"its parts do not fit: {len(mean)} vertices, {wrong}, triangles {triangles.shape}")
    if triangles.min() < 0 or triangles.max() >= len(mean):
        raise ValueError(f"its triangles name vertices {triangles.min()} to {triangles.max()} of {len(mean)}")
    if not all(np.isfinite(part).all() for part in (mean, identity, colour, tint, expression)):
        raise ValueError("some of its values are not finite")
    low, high = mean.min(axis=0), mean.max(axis=0)
    centre = (low + high) / 2
    centre[2] = low[2] + 0.3 * (high[2] - low[2])  # a mask without a back: its head turns around a point behind it
    return MorphableModel(
        mean=mean,
        identity=identity,
        expression=expression,
        expressions=EXPRESSIONS[: len(expression)],
        colour=colour,
        tint=tint,
        gloss=np.full(len(mean), GLOSS, np.float32),
        follows=np.ones(len(mean), np.float32),
        triangles=outward(triangles, mean),
        centre=centre,
        radius=float(high[1] - low[1]) / 2,
        expression_low=-1.0,
    )


def _h5py(path: Path) -> ModuleType:
    """h5py, which only the files of 2017 need."""
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{path} is an HDF5 file, and reading it needs h5py: pip install h5py.") from error
    return h5py
