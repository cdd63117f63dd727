"""Transforms of images: values, kinds of images, randomness, mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fusegrad as fg
from fusegrad.errors import FusegradError
from fusegrad.utils.data import DataLoader
from fusegrad.vision import transforms as T
from fusegrad.vision.transforms import functional as F

RNG = np.random.default_rng(1)
COLOUR = RNG.integers(0, 256, (6, 9, 3), np.uint8)
GREY = RNG.integers(0, 256, (6, 9), np.uint8)


def as_tensor(array: np.ndarray) -> fg.Tensor:
    return fg.tensor(array[None] if array.ndim == 2 else array.transpose(2, 0, 1))


def as_array(image: Any) -> np.ndarray:
    """Any kind of image as (H, W) or (H, W, C)."""
    if isinstance(image, fg.Tensor):
        array = image.numpy()
        return array[0] if len(array) == 1 else array.transpose(1, 2, 0)
    return np.asarray(image)


def kinds(array: np.ndarray) -> list[Any]:
    """The same image as an array, a tensor and, where it is installed, of Pillow."""
    images: list[Any] = [array, as_tensor(array)]
    try:
        from PIL import Image
    except ImportError:
        return images
    return [*images, Image.fromarray(array)]


def test_to_tensor() -> None:
    x = F.to_tensor(COLOUR)
    assert x.dtype is fg.float32 and x.shape == (3, 6, 9)
    np.testing.assert_array_equal(x.numpy(), (COLOUR.transpose(2, 0, 1) / 255).astype(np.float32))
    assert F.to_tensor(GREY).shape == (1, 6, 9)
    for dtype in (np.int16, np.float64, np.bool_):
        kept = F.to_tensor(GREY.astype(dtype))
        assert kept.dtype.np == dtype and float(kept.sum()) == GREY.astype(dtype).sum()
    assert F.to_tensor(COLOUR[::-1, ::2]).numpy()[2, 0, 1] == np.float32(COLOUR[5, 2, 2] / 255)


def test_pillow_images() -> None:
    Image = pytest.importorskip("PIL.Image")
    image = Image.fromarray(COLOUR)
    np.testing.assert_array_equal(F.to_tensor(image).numpy(), F.to_tensor(COLOUR).numpy())
    assert F.pil_to_tensor(image).dtype is fg.uint8
    two = Image.fromarray(GREY).convert("1")
    assert set(np.unique(F.to_tensor(two).numpy())) <= {0.0, 1.0}
    assert F.to_tensor(Image.fromarray(GREY.astype(np.int32))).dtype is fg.int32
    assert F.hflip(two).mode == "1" and F.hflip(image.convert("P")).mode == "P"
    flipped = F.hflip(image.convert("P")).convert("RGB")
    np.testing.assert_array_equal(
        np.asarray(flipped), np.asarray(image.convert("P").convert("RGB"))[:, ::-1]
    )
    small = F.resize(image, (3, 4))
    assert small.size == (4, 3)
    difference = np.asarray(small).astype(int) - F.resize(COLOUR, (3, 4)).astype(int)
    assert abs(difference).max() <= 1


@pytest.mark.parametrize("array", [COLOUR, GREY], ids=["colour", "grey"])
def test_geometry_is_the_same_for_every_kind(array: np.ndarray) -> None:
    wanted = {
        "hflip": (F.hflip, array[:, ::-1]),
        "vflip": (F.vflip, array[::-1]),
        "crop": (lambda x: F.crop(x, 1, 2, 3, 4), array[1:4, 2:6]),
        "center": (lambda x: F.center_crop(x, (2, 5)), array[2:4, 2:7]),
        "outside": (
            lambda x: F.crop(x, -1, 7, 4, 4),
            np.pad(array[:3, 7:], [(1, 0), (0, 2)] + [(0, 0)] * (array.ndim - 2)),
        ),
        "pad": (
            lambda x: F.pad(x, (1, 2, 3, 4), 7),
            np.pad(array, [(2, 4), (1, 3)] + [(0, 0)] * (array.ndim - 2), constant_values=7),
        ),
        "reflect": (
            lambda x: F.pad(x, (2, 1), padding_mode="reflect"),
            np.pad(array, [(1, 1), (2, 2)] + [(0, 0)] * (array.ndim - 2), "reflect"),
        ),
    }
    for name, (function, result) in wanted.items():
        for image in kinds(array):
            out = function(image)
            assert isinstance(out, type(image)) or "PIL" in type(image).__module__
            np.testing.assert_array_equal(as_array(out), result, err_msg=name)


def test_resize() -> None:
    ramp = np.arange(8, dtype=np.float32) * np.ones((4, 1), np.float32)
    half = F.resize(fg.tensor(ramp[None]), (2, 4))
    # the filter is as wide as two pixels and is cut at the edges
    np.testing.assert_allclose(half.numpy()[0, 0, 1:3], [2.5, 4.5], rtol=1e-6)
    assert half.numpy()[0, 0, 0] == pytest.approx(5 / 7)
    plain = F.resize(fg.tensor(ramp[None]), (2, 4), antialias=False)
    np.testing.assert_allclose(plain.numpy()[0, 1], [0.5, 2.5, 4.5, 6.5], rtol=1e-6)
    nearest = F.resize(ramp, (2, 4), T.InterpolationMode.NEAREST)
    np.testing.assert_array_equal(nearest[0], [0, 2, 4, 6])
    for mode in T.InterpolationMode:
        for image in kinds(COLOUR):
            assert F.images.size_of(F.resize(image, (5, 12), mode)) == (5, 12)
        same = F.resize(np.full((5, 6, 3), 200, np.uint8), (9, 4), mode)
        assert (same == 200).all() and same.dtype == np.uint8
    sizes = {3: (3, 4), (4,): (4, 6), 12: (12, 18)}
    for size, result in sizes.items():
        assert F.resize(COLOUR, size).shape[:2] == result
        assert F.resize(COLOUR.transpose(1, 0, 2), size).shape[:2] == result[::-1]
    assert F.resize(COLOUR, 4, max_size=5).shape[:2] == (3, 5)
    assert F.resize(COLOUR, (6, 9)) is not None


def test_normalize() -> None:
    x = fg.tensor(RNG.random((2, 3, 4, 5)))
    y = F.normalize(x, (0.1, 0.2, 0.3), (1.0, 2.0, 4.0))
    np.testing.assert_allclose(y.numpy()[:, 2], (x.numpy()[:, 2] - 0.3) / 4, rtol=1e-12)
    z = x.clone()
    assert T.Normalize((0.1, 0.2, 0.3), (1.0, 2.0, 4.0), inplace=True)(z) is z
    np.testing.assert_array_equal(z.numpy(), y.numpy())
    jitted = fg.jit(T.Normalize((0.1, 0.2, 0.3), (1.0, 2.0, 4.0)))(x)
    np.testing.assert_allclose(jitted.numpy(), y.numpy(), rtol=1e-12)


def test_grayscale_and_dtypes() -> None:
    one = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    for image in kinds(one):
        green = 150 if "PIL" in type(image).__module__ else 149  # Pillow rounds
        assert as_array(F.rgb_to_grayscale(image)).squeeze().tolist() == [76, green, 29]
        assert as_array(T.Grayscale(3)(image)).shape == (1, 3, 3)
    assert F.rgb_to_grayscale(GREY, 3).shape == (6, 9, 3)
    x = F.convert_image_dtype(fg.tensor([0, 128, 255], dtype=fg.uint8))
    assert x.tolist() == pytest.approx([0, 128 / 255, 1])
    assert F.convert_image_dtype(x, fg.uint8).tolist() == [0, 128, 255]
    wide = F.convert_image_dtype(fg.tensor([0, 255], dtype=fg.uint8), fg.int32)
    assert F.convert_image_dtype(wide, fg.uint8).tolist() == [0, 255]


def test_random_transforms() -> None:
    fg.manual_seed(0)
    flip, turn = T.RandomHorizontalFlip(0.25), T.RandomVerticalFlip(0.75)
    flips = sum((flip(GREY) == GREY[:, ::-1]).all() for _ in range(400))
    turns = sum((turn(GREY) == GREY[::-1]).all() for _ in range(400))
    assert 70 < flips < 130 and 270 < turns < 330
    assert (T.RandomHorizontalFlip(1.0)(GREY) == GREY[:, ::-1]).all()
    assert T.RandomVerticalFlip(0.0)(GREY) is GREY
    places = np.arange(54).reshape(6, 9)
    corners = {int(T.RandomCrop((5, 7))(places)[0, 0]) for _ in range(200)}
    assert corners == {9 * i + j for i in range(2) for j in range(3)}
    padded = T.RandomCrop(6, padding=4)
    assert {padded(GREY).shape for _ in range(9)} == {(6, 6)}
    assert T.RandomCrop((8, 12), pad_if_needed=True)(COLOUR).shape == (8, 12, 3)

    def draw() -> list[Any]:
        fg.manual_seed(4)
        pipeline = T.Compose([T.RandomCrop(4), T.RandomHorizontalFlip(), T.ToTensor()])
        return [pipeline(COLOUR).tolist() for _ in range(5)]

    assert draw() == draw() and len({str(x) for x in draw()}) > 1


def test_random_erasing() -> None:
    fg.manual_seed(0)
    x = fg.ones(3, 20, 30)
    shares = []
    for _ in range(50):
        y = T.RandomErasing(p=1.0, value=(0.0, 5.0, 0.0))(x)
        covered = y.numpy()[0] == 0
        assert (y.numpy()[1] == np.where(covered, 5, 1)).all()
        rows, columns = np.where(covered)
        assert covered[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].all()
        shares.append(covered.mean())
    assert 0.01 < min(shares) and max(shares) < 0.36 and float(x.min()) == 1
    assert T.RandomErasing(p=0.0)(x) is x
    noise = T.RandomErasing(p=1.0, value="random", inplace=True)(x)
    assert noise is x and float((x - 1).abs().max()) > 0


def test_workers_draw_differently_and_repeatably() -> None:
    data = Crops()

    def epoch() -> list[int]:
        generator = fg.Generator().manual_seed(0)
        return [int(v) for v in DataLoader(data, num_workers=2, generator=generator)]

    assert epoch() == epoch() and len(set(epoch())) > 3


class Crops:
    """The corner of a random crop."""

    transform = T.RandomCrop(10)

    def __getitem__(self, index: int) -> int:
        return int(self.transform(np.arange(10_000).reshape(100, 100))[0, 0])

    def __len__(self) -> int:
        return 8


def test_reprs() -> None:
    pipeline = T.Compose([T.Resize(8), T.ToTensor(), T.Normalize((0.5,), (0.5,))])
    assert repr(pipeline) == (
        "Compose(\n    Resize(size=8, interpolation=bilinear, max_size=None, antialias=True)\n"
        "    ToTensor()\n    Normalize(mean=(0.5,), std=(0.5,))\n)"
    )


MISTAKES = [
    (lambda: F.to_tensor([1, 2]), TypeError, "list"),
    (lambda: F.to_tensor(np.zeros((1, 2, 3, 4))), ValueError, "4 axes"),
    (lambda: F.pil_to_tensor(GREY), TypeError, "ndarray"),
    (lambda: F.hflip("image"), TypeError, "str"),
    (lambda: F.hflip(fg.ones(3, 2, 2).requires_grad_()), RuntimeError, "requires grad"),
    (lambda: F.resize(np.zeros(3), 2), TypeError, "ndarray"),
    (lambda: F.resize(GREY, (2, 3), max_size=9), ValueError, "max_size=9"),
    (lambda: F.resize(GREY, 5, max_size=5), ValueError, "max_size=5"),
    (lambda: F.pad(GREY, (1, 2, 3)), ValueError, "(1, 2, 3)"),
    (lambda: F.pad(GREY, 1, padding_mode="wrap"), ValueError, "wrap"),
    (lambda: F.normalize(fg.ones(1, 2, 2, dtype=fg.uint8), (0,), (1,)), TypeError, "uint8"),
    (lambda: F.normalize(GREY, (0,), (1,)), TypeError, "ndarray"),
    (lambda: F.normalize(fg.ones(2, 2), (0,), (1,)), ValueError, "f32[2,2]"),
    (lambda: F.normalize(fg.ones(1, 2, 2), (0,), (0,)), ValueError, "std [0]"),
    (lambda: F.rgb_to_grayscale(fg.ones(2, 3, 3)), ValueError, "2 channels"),
    (lambda: F.rgb_to_grayscale(GREY, 2), ValueError, "num_output_channels=2"),
    (lambda: F.convert_image_dtype(GREY), TypeError, "ndarray"),
    (lambda: F.convert_image_dtype(fg.ones(1), fg.int64), RuntimeError, "int64"),
    (lambda: F.erase(GREY, 0, 0, 1, 1, 0), TypeError, "ndarray"),
    (lambda: T.RandomCrop(7)(GREY), ValueError, "(6, 9)"),
    (lambda: T.CenterCrop((1, 2, 3)), ValueError, "(1, 2, 3)"),
    (lambda: T.Resize((1, 2, 3)), ValueError, "(1, 2, 3)"),
    (lambda: T.RandomHorizontalFlip(2), ValueError, "p=2"),
    (lambda: T.RandomErasing(value="noise"), ValueError, "noise"),
    (lambda: T.RandomErasing(scale=(0.5, 0.1)), ValueError, "scale"),
    (lambda: T.RandomErasing(1.0)(GREY), TypeError, "ndarray"),
    (lambda: T.RandomErasing(1.0, value=(1, 2))(fg.ones(3, 20, 20)), ValueError, "3 channels"),
    (lambda: T.Lambda(3), TypeError, "int"),
    (lambda: T.ConvertImageDtype("float"), TypeError, "float"),
]


@pytest.mark.parametrize(("mistake", "kind", "words"), MISTAKES)
def test_mistakes(mistake: Any, kind: Any, words: str) -> None:
    with pytest.raises(kind) as caught:
        mistake()
    error: Any = caught.value
    assert isinstance(error, FusegradError) and words in error.what and error.why and error.hint
