"""The z-buffer renderer against rays shot through single pixels, formulas by hand, and SciPy's rotations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from animlab.datasets.morphable import outward
from animlab.datasets.renderer import AMBIENT, DIFFUSE, SHININESS, Camera, Normals, render, rotation
from animlab.datasets.synthetic_faces3d import parametric_head

BLACK = np.zeros((24, 24, 3))


def shoot(vertices: np.ndarray, triangles: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Moeller and Trumbore's test of every pixel's ray with every triangle, in double precision.

    Returns the triangle that each pixel sees, (size, size), -1 for none; its distance along z; the hit's barycentric
    weights (size, size, 3). Triangles seen from behind are transparent.
    """
    corner, second, third = (vertices[triangles[:, k]].astype(float) for k in range(3))
    one, two = second - corner, third - corner
    eye = np.array([0, 0, camera.distance])
    seen = np.full((camera.size, camera.size), -1)
    depth, weights = np.full(seen.shape, np.inf), np.zeros((*seen.shape, 3))
    for row in range(camera.size):
        for column in range(camera.size):
            x, y = (column + 0.5) / camera.size - 0.5, 0.5 - (row + 0.5) / camera.size
            ray = np.array([x, y, -camera.focal])
            p = np.cross(ray, two)
            determinant = (one * p).sum(1)
            with np.errstate(divide="ignore", invalid="ignore"):
                u = ((eye - corner) * p).sum(1) / determinant
                q = np.cross(eye - corner, one)
                v = (q @ ray) / determinant
                t = (two * q).sum(1) / determinant
                hit = (determinant > 0) & (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0)
            if hit.any():
                best = np.flatnonzero(hit)[t[hit].argmin()]
                seen[row, column], depth[row, column] = best, t[best] * camera.focal
                weights[row, column] = 1 - u[best] - v[best], u[best], v[best]
    return seen, depth, weights


def soup(seed: int, count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Triangles that pierce and hide each other, all facing the camera."""
    rng = np.random.default_rng(seed)
    vertices = rng.uniform(-1, 1, (3 * count, 3)).astype(np.float32)
    vertices += np.repeat(rng.uniform(-0.5, 0.5, (count, 3)), 3, axis=0).astype(np.float32)
    triangles = np.arange(3 * count).reshape(-1, 3)
    return vertices, np.concatenate([outward(triangle[None], vertices) for triangle in triangles])


def by_hand(
    vertices: np.ndarray,
    triangles: np.ndarray,
    normals: np.ndarray,
    surface: np.ndarray,
    light: np.ndarray,
    background: np.ndarray,
    camera: Camera,
) -> np.ndarray:
    """What `render` draws with one sample a pixel, a pixel at a time, as floats."""
    seen, _, weights = shoot(vertices, triangles, camera)
    picture = background.astype(float).copy()
    half = light + np.array([0, 0, 1])
    half /= np.linalg.norm(half)
    for row, column in np.argwhere(seen >= 0):
        corners, share = triangles[seen[row, column]], weights[row, column]
        normal = share @ normals[corners].astype(float)
        normal /= np.linalg.norm(normal)
        *colour, gloss = share @ surface[corners].astype(float)
        cosine = normal @ light
        shade = np.array(colour) * (AMBIENT + DIFFUSE * max(cosine, 0))
        if cosine > 0:
            shade += gloss * max(normal @ half, 0) ** SHININESS
        picture[row, column] = np.clip(shade, 0, 255)
    return picture


def drawn(vertices, triangles, normals, surface, light, background, camera, samples=1):
    return render(camera.project(vertices), triangles, normals, surface, light, background, samples)


def toward(*direction: float) -> np.ndarray:
    return np.array(direction) / np.linalg.norm(direction)


# --- the camera -----------------------------------------------------------------------------------------------------


def test_the_camera_is_a_pin_hole() -> None:
    camera = Camera(distance=5.0, focal=2.0, size=100)
    column, row, near = camera.project(np.array([0.5, 0.25, 1.0]))
    assert (column, row, near) == pytest.approx((50 + 200 * 0.5 / 4, 50 - 200 * 0.25 / 4, 1 / 4))
    sizes = [np.diff(camera.project(np.array([[0, 0, z], [1.0, 0, z]]))[:, 0])[0] for z in (-1, 0, 2.5)]
    assert sizes == pytest.approx([200 / 6, 200 / 5, 200 / 2.5]), "twice as near is twice as large"


def test_angles_turn_the_face_the_way_they_say() -> None:
    nose, crown = np.array([0, 0, 1.0]), np.array([0, 1.0, 0])
    assert rotation(np.array(90.0), np.array(0.0), np.array(0.0)) @ nose == pytest.approx([1, 0, 0])
    assert rotation(np.array(0.0), np.array(90.0), np.array(0.0)) @ nose == pytest.approx([0, 1, 0])
    assert rotation(np.array(0.0), np.array(0.0), np.array(90.0)) @ crown == pytest.approx([1, 0, 0])


def test_rotations_agree_with_scipy() -> None:
    yaw, pitch, roll = np.random.default_rng(0).uniform(-180, 180, (3, 50))
    expected = Rotation.from_euler("YXZ", np.stack([yaw, -pitch, -roll], axis=1), degrees=True).as_matrix()
    assert np.allclose(rotation(yaw, pitch, roll), expected, atol=1e-12)


# --- what is seen ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_triangles_that_pierce_each_other_look_as_rays_see_them(seed: int) -> None:
    vertices, triangles = soup(seed)
    rng = np.random.default_rng(seed)
    normals = rng.normal(size=vertices.shape)
    normals = (normals / np.linalg.norm(normals, axis=1, keepdims=True)).astype(np.float32)
    surface = rng.uniform(0, 255, (len(vertices), 4)).astype(np.float32)
    camera, light, background = Camera(4.0, 1.2, 24), toward(0.3, 0.5, 0.8), rng.uniform(0, 255, (24, 24, 3))
    scene = (vertices, triangles, normals, surface, light, background, camera)
    expected = by_hand(*scene)
    wrong = np.abs(drawn(*scene) - expected).max(axis=-1) > 0.6  # half a grey level is rounding
    assert wrong.sum() <= 2, "a ray through an edge may fall to either side"
    assert (expected != background).any(-1).mean() > 0.3


def test_a_head_is_seen_as_rays_see_it() -> None:
    model = parametric_head()
    turn = rotation(np.array(25.0), np.array(-10.0), np.array(8.0)).astype(np.float32)
    points = (model.mean / np.float32(1.1)) @ turn.T
    normals = Normals(model.triangles, len(points))(points)
    surface = np.concatenate([model.colour, model.gloss[:, None]], axis=1)
    camera, light, background = Camera(6.0, 2.4, 24), toward(-0.5, 0.4, 0.7), np.full((24, 24, 3), 90.0)
    scene = (points, model.triangles, normals, surface, light, background, camera)
    difference = np.abs(drawn(*scene) - by_hand(*scene)).max(axis=-1)
    assert np.quantile(difference, 0.98) <= 0.6 and (difference > 20).sum() <= 3


def test_the_nearer_surface_wins_in_any_order() -> None:
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32)
    vertices = np.concatenate([np.c_[corners, np.full(4, z, np.float32)] for z in (-0.5, 0.5)])
    square = np.array([[0, 1, 2], [0, 2, 3]])
    surface = np.zeros((8, 4), np.float32)
    surface[:4, 0], surface[4:, 1] = 200, 200  # red behind, green in front
    normals = np.tile(np.array([0, 0, 1], np.float32), (8, 1))
    camera = Camera(4.0, 1.0, 24)
    for order in ([square, square + 4], [square + 4, square]):
        picture = drawn(vertices, np.concatenate(order), normals, surface, toward(0, 0, 1), BLACK, camera)
        assert picture[12, 12, 0] == 0 and picture[12, 12, 1] == round(200 * min(AMBIENT + DIFFUSE, 255 / 200))


def test_two_neighbours_leave_no_gap_and_backs_are_not_drawn() -> None:
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(np.linspace(-1.7, 1.7, 30), np.linspace(-1.7, 1.7, 30))
    vertices = np.stack([x + rng.uniform(-0.02, 0.02, x.shape), y, 0.02 * rng.normal(size=x.shape)], axis=-1)
    vertices = vertices.reshape(-1, 3).astype(np.float32)
    here = (np.arange(29)[:, None] * 30 + np.arange(29)).ravel()
    triangles = np.concatenate(
        [np.stack([here, here + 1, here + 31], axis=1), np.stack([here, here + 31, here + 30], axis=1)]
    )
    surface = np.tile(np.array([100, 100, 100, 0], np.float32), (len(vertices), 1))
    normals = Normals(triangles, len(vertices))(vertices)
    background = np.full((96, 96, 3), 255.0)
    camera = Camera(6.0, 2.0, 96)
    picture = drawn(vertices, triangles, normals, surface, toward(0, 0, 1), background, camera)
    assert picture.max() < 255, "the sheet covers the picture"
    behind = drawn(vertices, triangles[:, ::-1], normals, surface, toward(0, 0, 1), background, camera)
    assert (behind == 255).all()


def test_samples_of_a_pixel_are_averaged() -> None:
    vertices, triangles = soup(7)
    normals = np.tile(np.array([0, 0, 1], np.float32), (len(vertices), 1))
    surface = np.random.default_rng(7).uniform(0, 255, (len(vertices), 4)).astype(np.float32)
    light = toward(0, 0, 1)
    fine = drawn(vertices, triangles, normals, surface, light, np.zeros((72, 72, 3)), Camera(4.0, 1.2, 72))
    coarse = drawn(vertices, triangles, normals, surface, light, BLACK, Camera(4.0, 1.2, 72), samples=3)
    assert np.abs(coarse - fine.reshape(24, 3, 24, 3, 3).mean(axis=(1, 3))).max() <= 1


def test_a_scene_out_of_the_picture_leaves_the_background() -> None:
    vertices, triangles = soup(1)
    surface = np.full((len(vertices), 4), 200, np.float32)
    background = np.random.default_rng(0).integers(0, 256, (24, 24, 3))
    away = vertices + np.array([50, 0, 0], np.float32)
    picture = drawn(away, triangles, away, surface, toward(0, 0, 1), background, Camera(4.0, 1.2, 24))
    assert np.array_equal(picture, background)


# --- light ----------------------------------------------------------------------------------------------------------


def test_normals_are_area_weighted_means_of_the_triangles() -> None:
    vertices, triangles = soup(3, count=6)
    triangles = np.random.default_rng(3).integers(0, 10, (30, 3))  # shared corners
    expected = np.zeros_like(vertices, float)
    for a, b, c in triangles:
        area = np.cross(vertices[b] - vertices[a], vertices[c] - vertices[a])
        for corner in (a, b, c):
            expected[corner] += area
    length = np.linalg.norm(expected, axis=1, keepdims=True)
    expected = np.divide(expected, length, out=np.zeros_like(expected), where=length > 0)
    assert np.allclose(Normals(triangles, len(vertices))(vertices), expected, atol=1e-4)


def test_a_ball_is_lit_by_lamberts_law() -> None:
    polar, around = np.meshgrid(np.linspace(0, np.pi, 90), np.arange(90) * 2 * np.pi / 90, indexing="ij")
    ball = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], axis=-1)
    ball = ball.reshape(-1, 3).astype(np.float32)
    row, column = (grid.ravel() for grid in np.meshgrid(np.arange(89), np.arange(90), indexing="ij"))
    here, right = row * 90 + column, row * 90 + (column + 1) % 90
    triangles = np.concatenate([np.stack([here, here + 90, right + 90], 1), np.stack([here, right + 90, right], 1)])
    normals = Normals(triangles, len(ball))(ball)
    assert np.abs(normals - ball)[np.abs(ball[:, 2]) < 0.99].max() < 0.03
    surface = np.tile(np.array([150, 150, 150, 0], np.float32), (len(ball), 1))
    camera, light = Camera(1000.0, 400.0, 64), toward(0.6, 0.3, 0.7)  # as good as parallel rays
    picture = drawn(ball, triangles, normals, surface, light, np.zeros((64, 64, 3)), camera)[..., 0]
    y, x = np.mgrid[:64, :64]
    x, y = (x + 0.5 - 32) / 25.6, (32 - y - 0.5) / 25.6
    inside = np.hypot(x, y) < 0.93
    normal = np.stack([x, y, np.sqrt(np.maximum(1 - x**2 - y**2, 0))], axis=-1)
    expected = 150 * (AMBIENT + DIFFUSE * np.maximum(normal @ light, 0))
    assert np.abs(picture - expected)[inside].max() < 2
    assert (picture[np.hypot(x, y) > 1.05] == 0).all()
