"""Faces and photographs, all from scikit-image's wheel, and the windows that slide over them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from skimage import color, data, io, transform, util

from .detector import FEATURES, SIDE, hog

# Photographs in the wheel. Left out: `camera`, and what no camera took (logos, phantoms, chessboards, silhouettes).
# Two views of one scene count as one photo, so that they are never on both sides of a split.
PHOTOS = (
    ("astronaut.png",),
    ("brick.png",),
    ("cell.png",),
    ("chelsea.png",),
    ("clock_motion.png",),
    ("coffee.png",),
    ("coins.png",),
    ("grass.png",),
    ("gravel.png",),
    ("hubble_deep_field.jpg",),
    ("ihc.png",),
    ("moon.png",),
    ("motorcycle_left.png", "motorcycle_right.png"),
    ("page.png",),
    ("retina.jpg",),
    ("rocket.jpg",),
    ("text.png",),
)
# Windows that touch the astronaut's face are not used as negatives. (top, left, bottom, right), pixels of the file.
MASKED = {"astronaut.png": (0, 130, 260, 330)}
FACES = 100  # lfw_subset: 100 faces, then 100 crops without one, which are not used

LONGEST = 320  # photos are scaled down to this many pixels
SHRINK = 1 / 1.3  # from one scale to the next
STRIDE = 6
VARIANTS = ("as taken", "mirrored", "contrast")


@dataclass(frozen=True)
class Windows:
    """Every window of every photo: the id of a window is its row.

    Attributes:
        features: float16, shape (n, 576), a memory map that all processes share.
        boxes: float32 (n, 3): top, left, side in pixels of the scaled photo (of its mirror image, if mirrored).
        photos: int16 (n,), index into `names`.
        groups: int16 (n,), index into `PHOTOS`.
        variants: int8 (n,), index into `VARIANTS`.
        names: File names.
        widths: float32 (photos,), width of each scaled photo.
        patches: uint8 (n, 25, 25), a memory map, for pictures.
    """

    features: np.ndarray
    boxes: np.ndarray
    photos: np.ndarray
    groups: np.ndarray
    variants: np.ndarray
    names: list[str]
    widths: np.ndarray
    patches: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)


def load_grey(name: str) -> np.ndarray:
    """A photo of the wheel in grey, 0 to 1."""
    image = io.imread(Path(data.__file__).parent / name)
    image = color.rgb2gray(image[..., :3]) if image.ndim == 3 else util.img_as_float(image)
    return image.astype(np.float32)


def slide(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Windows of an image at every scale: patches (n, 25, 25) and boxes (n, 3) in pixels of the image."""
    patches, boxes, scale = [], [], 1.0
    while True:
        shape = (round(image.shape[0] * scale), round(image.shape[1] * scale))
        if min(shape) < SIDE:
            break
        level = transform.resize(image, shape, anti_aliasing=scale < 1).astype(np.float32)
        views = np.lib.stride_tricks.sliding_window_view(level, (SIDE, SIDE))[::STRIDE, ::STRIDE]
        rows, columns = np.mgrid[: views.shape[0], : views.shape[1]] * STRIDE
        side = np.full(rows.size, SIDE)
        patches.append(views.reshape(-1, SIDE, SIDE))
        boxes.append(np.stack([rows.ravel(), columns.ravel(), side], axis=1) / scale)
        scale *= SHRINK
    return np.concatenate(patches), np.concatenate(boxes).astype(np.float32)


def prepare(folder: Path) -> None:
    """Computes the features of every window once, and leaves them in a folder for all processes."""
    features, patches, boxes, photos, groups, variants = [], [], [], [], [], []
    names, widths = [], []
    for group, files in enumerate(PHOTOS):
        for name in files:
            image = load_grey(name)
            shrink = min(1.0, LONGEST / max(image.shape))
            masked = np.array(MASKED[name]) * shrink if name in MASKED else None
            if shrink < 1:
                shape = [round(side * shrink) for side in image.shape]
                image = transform.resize(image, shape, anti_aliasing=True).astype(np.float32)
            for variant in range(len(VARIANTS)):
                seen = image[:, ::-1] if variant == 1 else image
                if variant == 2:  # an S-curve: shadows darker, lights brighter
                    seen = 0.5 - np.sin(np.arcsin(1 - 2 * np.clip(seen, 0, 1)) / 3)
                cut, where = slide(seen)
                if masked is not None:
                    top, left, bottom, right = masked
                    if variant == 1:
                        left, right = image.shape[1] - right, image.shape[1] - left
                    clear = (where[:, 0] >= bottom) | (where[:, 0] + where[:, 2] <= top)
                    clear |= (where[:, 1] >= right) | (where[:, 1] + where[:, 2] <= left)
                    cut, where = cut[clear], where[clear]
                for start in range(0, len(cut), 2048):
                    features.append(hog(cut[start : start + 2048]).astype(np.float16))
                patches.append((np.clip(cut, 0, 1) * 255).astype(np.uint8))
                boxes.append(where)
                photos.append(np.full(len(cut), len(names), np.int16))
                groups.append(np.full(len(cut), group, np.int16))
                variants.append(np.full(len(cut), variant, np.int8))
            names.append(name)
            widths.append(image.shape[1])
    np.save(folder / "widths.npy", np.array(widths, np.float32))
    columns = {"boxes": boxes, "photos": photos, "groups": groups, "variants": variants}
    for column, parts in {"features": features, "patches": patches, **columns}.items():
        np.save(folder / f"{column}.npy", np.concatenate(parts))
    (folder / "names.txt").write_text("\n".join(names))


def load(folder: Path) -> Windows:
    """Opens what `prepare` wrote; the features are mapped, not read into this process."""
    columns = {name: np.load(folder / f"{name}.npy") for name in ("boxes", "photos", "groups", "variants", "widths")}
    mapped = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("features", "patches")}
    return Windows(names=(folder / "names.txt").read_text().split("\n"), **columns, **mapped)


def faces() -> tuple[np.ndarray, np.ndarray]:
    """Features of the faces: as they are, (100, 576); and for training, (100, 10, 576), shifted and mirrored."""
    crops = np.load(Path(data.__file__).parent / "lfw_subset.npy")[:FACES].astype(np.float32)
    padded = np.pad(crops, ((0, 0), (1, 1), (1, 1)), mode="edge")
    copies = []
    for dy, dx in ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2)):
        moved = padded[:, dy : dy + SIDE, dx : dx + SIDE]
        copies += [hog(moved), hog(moved[:, :, ::-1])]
    return copies[0], np.stack(copies, axis=1).reshape(FACES, -1, FEATURES)


@dataclass(frozen=True)
class Split:
    """The training part and the test part: faces by index, photos by group."""

    train_faces: np.ndarray
    test_faces: np.ndarray
    train_groups: np.ndarray
    test_groups: np.ndarray


def split(seed: int, *, validate: bool = False) -> Split:
    """Draws a split. With `validate`, the test part is cut from the training part and the real one stays unseen."""
    rng = np.random.default_rng([seed, 1])
    who, where = rng.permutation(FACES), rng.permutation(len(PHOTOS))
    test_faces, train_faces = who[:40], who[40:]
    test_groups, train_groups = where[:6], where[6:]
    if validate:
        test_faces, train_faces = train_faces[:20], train_faces[20:]
        test_groups, train_groups = train_groups[:3], train_groups[3:]
    return Split(train_faces, test_faces, train_groups, test_groups)
