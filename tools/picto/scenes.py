"""Scenes composed from drawings, with the facts that hold in them: the pretraining images.

A scene is a 48 px picture of one drawing, several copies of it, or two drawings. What it shows
(the drawing, its place, size, turn, count) and its *manner* (the drawing hand or an effect, the
ground, the capture condition) are drawn apart, so that two different drawings can be given one
manner: style is then learnt from pairs of images, without a word for it. Some manners have no
words at all (``PATTERNS``, ``FILTERS``, the conditions outside ``QUALITIES``).

    python tools/picto/scenes.py build/picto sheet.png     # a contact sheet with captions
"""

from __future__ import annotations

import json
import math
import random
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from scipy import ndimage

SIZE = 48
COLOURS = {
    "red": (214, 40, 40), "orange": (242, 133, 24), "yellow": (247, 212, 40),
    "green": (52, 160, 64), "blue": (44, 98, 214), "purple": (128, 58, 178),
    "pink": (244, 140, 190), "brown": (122, 76, 42), "black": (28, 28, 30),
    "gray": (132, 132, 134), "white": (246, 246, 246),
}  # fmt: skip
HUES = tuple(COLOURS)[:8]
BACKGROUNDS = ("flat", "gradient", "stripes", "noise", "checker")
PATTERNS = ("dots", "waves", "rings", "cells", "weave", "spots")
PLACES = (
    "top left", "top", "top right", "left", "center", "right", "bottom left", "bottom",
    "bottom right",
)  # fmt: skip
COUNTS = ("one", "two", "three", "four", "five")
SIZES = ("small", "medium", "large")
TURNS = ("upright", "tilted left", "tilted right", "upside down", "sideways")
QUALITIES = ("clean", "blurry", "dark", "noisy", "faded")
WORDLESS = ("smeared", "blocks", "cast", "bright", "vignette", "specks", "lines")
ANGLES = {"upright": (-8, 8), "tilted left": (25, 55), "tilted right": (-55, -25),
          "upside down": (165, 195), "sideways": (80, 100)}  # fmt: skip

# Words for the emoji hands of pretraining and for icon sets with a look of their own.
HANDS = {
    "noto": "soft shaded emoji", "noto-v1": "old blob emoji", "twemoji": "flat emoji",
    "emojione": "bold flat emoji", "emojione-mono": "solid black glyph",
    "fxemoji": "round muted emoji", "unifont": "pixelated black glyph", "line": "line drawing",
    "contrast": "black and white print", "inked": "inked cartoon",
    "game-icons": "detailed black silhouette", "ph": "simple line icon",
    "streamline-plump-color": "plump two tone icon", "streamline-kameleon-color": "badge icon",
    "icon-park": "outlined blue icon", "icons8": "thin gray icon",
    "streamline-ultimate-color": "fine two tone icon", "mdi": "solid icon",
    "streamline-flex-color": "flat two tone icon", "streamline-stickies-color": "sticker icon",
    "tabler": "thin line icon", "openclipart": "clip art",
}  # fmt: skip
EFFECTS = {
    "gray": "gray drawing", "silhouette": "silhouette", "outline": "drawing with a thick outline",
    "thin": "drawing with a thin outline", "shadow": "drawing with a shadow",
    "glossy": "glossy drawing", "round": "shaded three dimensional drawing",
    "pixels": "pixel art", "hatched": "hatched drawing", "poster": "posterized drawing",
    "edges": "pencil sketch", "pastel": "pastel drawing", "negative": "negative",
    "vivid": "vivid drawing",
}  # fmt: skip
FILTERS = ("kernel", "tones", "matrix", "screen")

# Icon sets that no scene of pretraining shows: with streamline and symbola, the validation hands.
VALIDATION_SETS = (
    "flat-color-icons", "meteocons", "marketeq", "streamline-freehand-color", "healthicons",
    "carbon-pictograms",
)  # fmt: skip
VALIDATION_STYLES = ("streamline", "symbola")
LIGHT = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass
class Drawings:
    """RGBA drawings (N x 64 x 64 x 4) with what is known about each."""

    rgba: np.ndarray
    concept: np.ndarray
    name: list[str]
    style: list[str]
    kind: np.ndarray
    concepts: list[dict]

    @classmethod
    def load(cls, work: Path) -> Drawings:
        """Read build.py's store; every second drawing gets an opaque inside (kept in a file)."""
        meta = json.loads((work / "store.json").read_text())
        records = meta["records"]
        filled = work / "filled.npy"
        if not filled.exists():
            rgba = np.load(work / "images.npy")
            for i in np.flatnonzero(np.random.RandomState(0).rand(len(rgba)) < 0.5):
                rgba[i] = cut_out(on_white(rgba[i]))
            np.save(work / "filled.tmp.npy", rgba)
            (work / "filled.tmp.npy").rename(filled)
        return cls(
            rgba=np.load(filled, mmap_mode="r"),
            concept=np.array([r["concept"] for r in records]),
            name=[meta["concepts"][r["concept"]]["name"] if r["concept"] >= 0 else r["name"]
                  for r in records],
            style=[r["style"] for r in records],
            kind=np.array([r["kind"] for r in records]),
            concepts=meta["concepts"],
        )  # fmt: skip

    def rows(self, styles: tuple[str, ...]) -> np.ndarray:
        """Rows of some styles or icon sets."""
        return np.flatnonzero(np.isin(np.array(self.style), styles))


def on_white(rgba: np.ndarray) -> np.ndarray:
    """Straight-alpha RGBA composed on white."""
    alpha = rgba[..., 3:].astype(np.float32) / 255
    return (rgba[..., :3] * alpha + 255 * (1 - alpha)).round().astype(np.uint8)


def cut_out(rgb: np.ndarray) -> np.ndarray:
    """RGBA of a drawing on white: what white reaches from the border is transparent."""
    label, _ = ndimage.label(rgb.min(-1) > 238)
    border = np.unique(np.concatenate([label[0], label[-1], label[:, 0], label[:, -1]]))
    outside = np.isin(label, border[border > 0])
    return np.concatenate([rgb, np.where(outside, 0, 255).astype(np.uint8)[..., None]], -1)


def dominant(rgba: np.ndarray, share: float = 0.45) -> str | None:
    """Name of the colour that covers at least a share of the drawing."""
    small = rgba[::2, ::2].reshape(-1, 4).astype(np.float32)
    rgb = small[small[:, 3] > 128, :3] / 255
    if len(rgb) < 8:
        return None
    top, low = rgb.max(1), rgb.min(1)
    spread = top - low
    sat = spread / np.maximum(top, 1e-3)
    r, g, b = rgb.T
    safe = np.maximum(spread, 1e-3)
    hue = np.where(top == r, ((g - b) / safe) % 6,
                   np.where(top == g, (b - r) / safe + 2, (r - g) / safe + 4)) * 60  # fmt: skip
    names = np.full(len(rgb), "red", dtype="<U6")
    for limit, colour in ((15, "orange"), (44, "yellow"), (70, "green"), (165, "blue"),
                          (255, "purple"), (295, "pink"), (345, "red")):  # fmt: skip
        names[hue >= limit] = colour
    names[((hue < 15) | (hue >= 335)) & (sat < 0.55) & (top > 0.75)] = "pink"
    names[((hue < 42) | (hue > 345)) & (top < 0.62) & (sat > 0.25)] = "brown"
    names[sat < 0.17] = "gray"
    names[(sat < 0.17) & (top > 0.85)] = "white"
    names[top < 0.25] = "black"
    values, counts = np.unique(names, return_counts=True)
    best = counts.argmax()
    return str(values[best]) if counts[best] >= share * len(rgb) else None


def tint(rgba: np.ndarray, colour: tuple[float, ...]) -> np.ndarray:
    """Return the drawing in shades of one colour."""
    light = rgba[..., :3].astype(np.float32) @ LIGHT / 255
    out = rgba.copy()
    ramp = (0.35 + 0.65 * light)[..., None] * np.array(colour, np.float32)
    out[..., :3] = ramp.clip(0, 255).astype(np.uint8)
    return out


def _below(shape: np.ndarray, colour: tuple[int, ...], over: np.ndarray) -> np.ndarray:
    """Put a flat layer of some alpha below a drawing."""
    a = over[..., 3:].astype(np.float32) / 255
    b = shape[..., None].astype(np.float32) / 255 * (1 - a)
    alpha = a + b
    rgb = (over[..., :3] * a + np.array(colour, np.float32) * b) / np.maximum(alpha, 1e-3)
    return np.concatenate([rgb, alpha * 255], -1).clip(0, 255).astype(np.uint8)


def _grown(alpha: np.ndarray, wide: int) -> np.ndarray:
    return np.asarray(Image.fromarray(alpha).filter(ImageFilter.MaxFilter(wide)))


def _pencil(rgba: np.ndarray, rng: random.Random) -> np.ndarray:
    filled = np.where(rgba[..., 3:] > 128, rgba[..., :3].astype(np.float32), 255.0)
    grey = ndimage.gaussian_filter(filled.mean(-1), 0.7)
    steep = np.hypot(ndimage.sobel(grey, 0), ndimage.sobel(grey, 1))
    ink = np.clip(255 - steep * rng.uniform(0.7, 1.2), 20, 255)[..., None]
    return np.concatenate([np.repeat(ink, 3, -1), _grown(rgba[..., 3], 3)[..., None]], -1)


def _glossy(rgb: np.ndarray, xx: np.ndarray, yy: np.ndarray, rng: random.Random) -> np.ndarray:
    centre = (rng.uniform(0.35, 0.65), rng.uniform(0.15, 0.3))
    spot = ((xx - centre[0]) / 0.38) ** 2 + ((yy - centre[1]) / 0.22) ** 2
    shine = np.clip(1.3 - spot, 0, 1)[..., None] * rng.uniform(0.5, 0.8)
    return (rgb * (1 - shine) + 255 * shine) * (1 - 0.25 * yy[..., None])


def _round(rgba: np.ndarray, xx: np.ndarray, yy: np.ndarray, rng: random.Random) -> np.ndarray:
    inside = ndimage.distance_transform_edt(rgba[..., 3] > 128)
    lift = np.clip(inside / 10, 0, 1) ** 0.5
    turn = rng.uniform(-0.8, 0.8)
    side = (1 - yy) * math.cos(turn) + xx * math.sin(turn)
    return rgba[..., :3] * (0.45 + 0.35 * lift + 0.35 * side)[..., None]


def _filtered(rgb: np.ndarray, effect: str, rng: random.Random) -> np.ndarray:
    """Apply an effect without a name: a random filter, tones, colours or screen."""
    seed = np.random.RandomState(rng.getrandbits(32))
    if effect == "kernel":
        kernel = seed.normal(0, 0.35, (3, 3))
        kernel[1, 1] += 1 - kernel.sum() * seed.uniform(0.3, 1)
        return ndimage.convolve(rgb, kernel[..., None].astype(np.float32), mode="nearest")
    if effect == "tones":
        knots = np.cumsum(seed.uniform(0, 1, 5)) * seed.choice((-1, 1))
        knots = (knots - knots.min()) / max(np.ptp(knots), 1e-3) * 255
        return np.interp(rgb, np.linspace(0, 255, 5), knots).astype(np.float32)
    if effect == "matrix":
        mix = 0.5 * np.eye(3) + seed.normal(0, 0.35, (3, 3))
        return (rgb - 128) @ mix.astype(np.float32).T + 128 + seed.normal(0, 25, 3)
    yy, xx = np.mgrid[0 : rgb.shape[0], 0 : rgb.shape[1]]
    period, angle = seed.uniform(3.5, 7), seed.uniform(0, math.pi)
    u = (math.cos(angle) * xx + math.sin(angle) * yy) * 2 * math.pi / period
    v = (-math.sin(angle) * xx + math.cos(angle) * yy) * 2 * math.pi / period
    dots = 128 + 100 * np.cos(u) * np.cos(v)
    ink, paper = seed.uniform(0, 90, 3), seed.uniform(165, 255, 3)
    return np.where((rgb @ LIGHT < dots)[..., None], ink, paper)


def restyle(rgba: np.ndarray, effect: str, rng: random.Random) -> np.ndarray:
    """One drawing in another manner."""
    rgb, alpha = rgba[..., :3].astype(np.float32), rgba[..., 3]
    height, width = alpha.shape
    yy, xx = np.mgrid[0:height, 0:width].astype(np.float32) / height
    light = rgb @ LIGHT
    if effect in ("outline", "thin"):
        wide = rng.choice((5, 7)) if effect == "outline" else 3
        return _below(_grown(alpha, wide), tuple(rng.randint(0, 60) for _ in range(3)), rgba)
    if effect == "shadow":
        moved = np.roll(alpha, (rng.randint(3, 6), rng.choice((-4, -3, 3, 4))), (0, 1))
        soft = Image.fromarray(moved).filter(ImageFilter.GaussianBlur(1.5))
        return _below(np.asarray(soft) * 0.55, (20, 20, 20), rgba)
    if effect == "pixels":
        low = rng.choice((12, 14, 16, 18))
        image = Image.fromarray(rgba).resize((low, low), Image.Resampling.BOX)
        return np.asarray(image.resize((width, height), Image.Resampling.NEAREST))
    if effect == "edges":
        return _pencil(rgba, rng).astype(np.uint8)
    if effect == "gray":
        new = np.repeat(light[..., None], 3, -1)
    elif effect == "silhouette":
        new = np.broadcast_to(np.array([rng.uniform(0, 90) for _ in range(3)]), rgb.shape)
    elif effect == "glossy":
        new = _glossy(rgb, xx, yy, rng)
    elif effect == "round":
        new = _round(rgba, xx, yy, rng)
    elif effect == "hatched":
        period = rng.choice((4, 5, 6))
        lines = ((xx * height + rng.choice((-1, 1)) * yy * height) % period) < period * 0.45
        new = np.where((lines & (light < 215))[..., None], rgb * 0.3, 255 - (255 - rgb) * 0.35)
    elif effect == "poster":
        new = (rgb / 255 > 0.5) * 205.0 + 25
    elif effect == "pastel":
        new = 255 - (255 - rgb) * rng.uniform(0.35, 0.5)
    elif effect == "negative":
        new = 255 - rgb
    elif effect == "vivid":
        new = light[..., None] + (rgb - light[..., None]) * rng.uniform(1.8, 2.6)
    else:
        new = _filtered(rgb, effect, rng)
    out = rgba.copy()
    out[..., :3] = new.clip(0, 255).astype(np.uint8)
    return out


def shade(name: str, rng: random.Random) -> tuple[float, float, float]:
    """Return a random shade of a named colour."""
    gain = rng.uniform(0.82, 1.12)
    return tuple(min(255.0, max(0.0, c * gain + rng.uniform(-14, 14))) for c in COLOURS[name])


def _pattern(kind: str, rng: random.Random) -> np.ndarray:
    """Return a periodic or cellular field in [0, 1]: grounds that captions call a pattern."""
    yy, xx = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    period, angle = rng.uniform(5, 15), rng.uniform(0, math.pi)
    turn = 2 * math.pi / period
    u, v = (math.cos(angle) * xx + math.sin(angle) * yy,
            -math.sin(angle) * xx + math.cos(angle) * yy)  # fmt: skip
    hard = rng.random() < 0.6
    if kind == "dots":
        mix = (np.cos(u * turn) + np.cos(v * turn)) / 4 + 0.5 + rng.uniform(-0.15, 0.15)
    elif kind == "waves":
        mix = 0.5 + 0.5 * np.cos(turn * (u + rng.uniform(1, 4) * np.sin(v * turn * 0.7)))
    elif kind == "rings":
        x, y = rng.uniform(0, SIZE), rng.uniform(0, SIZE)
        mix = 0.5 + 0.5 * np.cos(turn * np.hypot(xx - x, (yy - y) * rng.uniform(0.6, 1.6)))
    elif kind == "weave":
        mix = 0.5 + 0.5 * np.sign(np.cos(u * turn) * np.cos(v * turn)) * np.cos(v * turn * 2)
    else:
        seed = np.random.RandomState(rng.getrandbits(32))
        points = seed.rand(int((SIZE / period) ** 2) + 3, 2) * SIZE
        far = np.sort(np.hypot(xx[..., None] - points[:, 0], yy[..., None] - points[:, 1]), -1)
        edge = (far[..., 1] - far[..., 0]) / period
        mix = edge * 1.6 if kind == "cells" else 1.2 - far[..., 0] * 1.4 / period
    mix = mix.clip(0, 1)
    return (mix > 0.5).astype(np.float32) if hard else mix


def background(kind: str, first: tuple, second: tuple, rng: random.Random) -> np.ndarray:
    """Return a ground of SIZE x SIZE x 3 (float)."""
    yy, xx = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    a, b = np.array(first, np.float32), np.array(second, np.float32)
    angle = rng.choice((0.0, 0.5, 0.25, 0.75)) * math.pi
    along = math.cos(angle) * xx + math.sin(angle) * yy
    if kind == "gradient":
        mix = (along - along.min()) / (along.max() - along.min())
    elif kind == "stripes":
        period = rng.uniform(6, 16)
        mix = (((along + rng.uniform(0, period)) % period) < period / 2).astype(np.float32)
    elif kind == "checker":
        cell = rng.randint(4, 9)
        x, y = xx + rng.randint(0, cell), yy + rng.randint(0, cell)
        mix = ((x // cell + y // cell) % 2).astype(np.float32)
    elif kind == "noise":
        low = rng.choice((8, 12, 24, 48))
        seed = np.random.RandomState(rng.getrandbits(32)).rand(low, low).astype(np.float32)
        mix = np.asarray(Image.fromarray(seed).resize((SIZE, SIZE), Image.Resampling.BILINEAR))
    elif kind in PATTERNS:
        mix = _pattern(kind, rng)
    else:
        mix = np.zeros((SIZE, SIZE), np.float32)
    return a + (b - a) * mix[..., None]


def degrade(image: np.ndarray, quality: str, rng: random.Random) -> np.ndarray:
    """Return a float image under a capture condition."""
    if quality == "blurry":
        return ndimage.gaussian_filter(image, (*(rng.uniform(1.0, 2.0),) * 2, 0))
    if quality == "dark":
        return image * rng.uniform(0.2, 0.45)
    if quality == "faded":
        return rng.uniform(130, 175) + (image - 128) * rng.uniform(0.25, 0.4)
    if quality == "bright":
        return image * rng.uniform(1.3, 1.8) + rng.uniform(10, 50)
    if quality == "cast":
        return image * np.array([rng.uniform(0.45, 1.25) for _ in range(3)], np.float32)
    if quality == "smeared":
        wide = rng.randint(5, 10)
        return ndimage.uniform_filter1d(image, wide, axis=rng.choice((0, 1)), mode="nearest")
    if quality == "blocks":
        cell = rng.choice((3, 4, 6))
        mean = image.reshape(SIZE // cell, cell, SIZE // cell, cell, 3).mean((1, 3))
        blocks = mean.repeat(cell, 0).repeat(cell, 1)
        return blocks + (image - blocks) * rng.uniform(0, 0.35)
    yy, xx = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    if quality == "vignette":
        far = np.hypot(xx - 23.5, yy - 23.5)[..., None] / 34
        return image * (1 - rng.uniform(0.7, 1.0) * far**2).clip(0, 1)
    if quality == "lines":
        dark = (yy % rng.choice((2, 3, 4)) < 1)[..., None]
        return np.where(dark, image * rng.uniform(0.2, 0.6), image)
    seed = np.random.RandomState(rng.getrandbits(32))
    if quality == "noisy":
        return image + seed.normal(0, rng.uniform(22, 48), image.shape)
    if quality == "specks":
        hit = seed.rand(SIZE, SIZE, 1)
        part = rng.uniform(0.02, 0.07)
        return np.where(hit < part, 0.0, np.where(hit > 1 - part, 255.0, image))
    return image


def paste(
    canvas: np.ndarray, rgba: np.ndarray, side: float, x: float, y: float, angle: float = 0.0
) -> None:
    """Put a drawing with its centre at x, y on the canvas, in place."""
    side = max(6, round(side))
    pre = rgba.astype(np.float32)
    pre[..., :3] *= pre[..., 3:] / 255
    image = Image.fromarray(pre.astype(np.uint8))
    if angle:
        image = image.rotate(angle, Image.Resampling.BILINEAR)
    small = np.asarray(image.resize((side, side), Image.Resampling.BICUBIC, reducing_gap=2.0))
    left, top = round(x - side / 2), round(y - side / 2)
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(SIZE, left + side), min(SIZE, top + side)
    if x1 <= x0 or y1 <= y0:
        return
    part = small[y0 - top : y1 - top, x0 - left : x1 - left].astype(np.float32)
    view = canvas[y0:y1, x0:x1]
    view[:] = part[..., :3] + view * (1 - part[..., 3:] / 255)


@dataclass(frozen=True)
class Manner:
    """How a scene is drawn, on what ground, and how it is taken; seeds fix the parameters."""

    colour: str | None
    effect: str | None
    hand_seed: int
    ground: str
    first: str
    second: str
    ground_seed: int
    quality: str
    quality_seed: int


@dataclass
class Scene:
    """An image, what holds in it, and the keys of its manner (equal keys: drawn alike)."""

    image: np.ndarray
    facts: dict[str, str | tuple[str, ...]] = field(default_factory=dict)
    concept: int = -1
    side: float = SIZE  # of the (largest) drawing, in pixels
    row: int = -1
    keys: dict[str, tuple] = field(default_factory=dict)
    plain: bool = False
    effect: str | None = None


class Composer:
    """Makes random scenes of drawings; ``hands`` gives facts of style their words."""

    def __init__(self, drawings: Drawings, seed: int, hands: bool = True) -> None:
        self.drawings, self.rng, self.hands = drawings, random.Random(seed), hands

    def manner(self, **fixed: str | None) -> Manner:
        """Draw a manner; arguments fix colour, effect, background, ground colour or quality."""
        rng = self.rng
        colour = effect = None
        if rng.random() < 0.3:
            colour = rng.choice(HUES if rng.random() < 0.85 else ("black", "gray"))
        if rng.random() < 0.35:
            effect = rng.choice((*EFFECTS, *FILTERS))
        ground = rng.choice((*BACKGROUNDS, *BACKGROUNDS, "white", "white", *PATTERNS[:4]))
        if ground == PATTERNS[0]:
            ground = rng.choice(PATTERNS)
        first, second = rng.sample(tuple(COLOURS), 2)
        if ground == "white":
            first, ground = "white", "flat"
        quality, draw = "clean", rng.random()
        if draw < 0.25:
            quality = rng.choice(QUALITIES[1:])
        elif draw < 0.4:
            quality = rng.choice(WORDLESS)
        return Manner(
            fixed.get("colour", colour),
            fixed.get("effect", effect),
            rng.getrandbits(32),
            fixed.get("background") or ground,
            fixed.get("first") or first,
            second if second != fixed.get("first") else first,
            rng.getrandbits(32),
            fixed.get("quality") or quality,
            rng.getrandbits(32),
        )

    def share(self, manner: Manner) -> Manner:
        """Another manner that has one or more aspects in common with this one."""
        fresh, rng = self.manner(), self.rng
        parts = {
            "hand": {"effect": manner.effect, "colour": manner.colour,
                     "hand_seed": manner.hand_seed},
            "ground": {"ground": manner.ground, "first": manner.first, "second": manner.second,
                       "ground_seed": manner.ground_seed},
            "quality": {"quality": manner.quality, "quality_seed": manner.quality_seed},
        }  # fmt: skip
        taken = [name for name in parts if rng.random() < 0.6] or [rng.choice(tuple(parts))]
        for name in taken:
            fresh = replace(fresh, **parts[name])
        return fresh

    def _sprite(self, row: int, manner: Manner) -> tuple[np.ndarray, dict]:
        drawings, facts = self.drawings, {}
        rgba = np.array(drawings.rgba[row])
        rng = random.Random(manner.hand_seed)
        style = HANDS.get(drawings.style[row].split("/")[-1]) if self.hands else None
        if manner.colour:
            rgba = tint(rgba, shade(manner.colour, rng))
        if manner.effect:
            rgba = restyle(rgba, manner.effect, rng)
            style = EFFECTS.get(manner.effect)
        if style and not (manner.colour and not manner.effect and "black" in style):
            facts["style"] = style
        seen = manner.colour if manner.colour and not manner.effect else dominant(rgba)
        if seen:
            facts["colour"] = seen
        facts["name"] = drawings.name[row]
        if drawings.concept[row] >= 0:
            concept = drawings.concepts[drawings.concept[row]]
            facts["group"], facts["subgroup"] = concept["group"], concept["subgroup"]
        return rgba, facts

    def _ground(self, manner: Manner, facts: dict, named_white: bool) -> np.ndarray:
        rng = random.Random(manner.ground_seed)
        if manner.ground == "flat" and manner.first == "white" and named_white:
            facts["background"], facts["ground"] = "white", ("white",)
        else:
            facts["background"] = "pattern" if manner.ground in PATTERNS else manner.ground
            both = (manner.first, manner.second)
            facts["ground"] = both[:1] if manner.ground == "flat" else both
        return background(manner.ground, shade(manner.first, rng), shade(manner.second, rng), rng)

    def compose(
        self, row: int, manner: Manner, kind: str = "any", other: int = -1, **fixed: str
    ) -> Scene:
        """One scene: kind is plain, single, count, pair or any; ``fixed`` sets place, count, turn.

        A plain scene fills the frame on white, whatever the manner's ground.
        """
        rng = self.rng
        if kind == "any":
            kind = rng.choices(("plain", "single", "count", "pair"), (0.5, 0.32, 0.11, 0.07))[0]
        rgba, facts = self._sprite(row, manner)
        if kind == "plain":
            facts["background"], facts["ground"] = "white", ("white",)
            canvas = np.full((SIZE, SIZE, 3), 255.0, np.float32)
            side = SIZE * rng.uniform(0.86, 1.04)
            if rng.random() < 0.3:
                rgba = rgba[:, ::-1]
            paste(canvas, rgba, side, 24 + rng.uniform(-2, 2), 24 + rng.uniform(-2, 2),
                  rng.choice((0.0, rng.uniform(-8, 8))))  # fmt: skip
        else:
            canvas = self._ground(manner, facts, True)
            side = self._fill(canvas, rgba, facts, kind, other, fixed)
        if manner.quality in QUALITIES:
            facts["quality"] = manner.quality
        image = degrade(canvas, manner.quality, random.Random(manner.quality_seed))
        hand = (manner.effect, manner.hand_seed) if manner.effect or manner.colour else (
            self.drawings.style[row],)  # fmt: skip
        keys = {"hand": hand if kind != "pair" else (rng.random(),),
                "ground": ("white",) if kind == "plain" else (manner.ground, manner.ground_seed),
                "quality": ("clean",) if manner.quality == "clean"
                else (manner.quality, manner.quality_seed)}  # fmt: skip
        concept = int(self.drawings.concept[row]) if kind != "pair" else -1
        return Scene(image.clip(0, 255).astype(np.uint8), facts, concept, side, row, keys,
                     kind == "plain", manner.effect)  # fmt: skip

    def _fill(self, canvas, rgba, facts, kind, other, fixed) -> float:  # noqa: PLR0913
        rng = self.rng
        if kind == "single":
            return self._one(canvas, rgba, facts, fixed)
        if kind == "count":
            many = COUNTS.index(fixed["count"]) + 1 if "count" in fixed else rng.randint(1, 5)
            side = rng.uniform(11, 17)
            for cell in rng.sample(range(9), many):
                x = 8 + 16 * (cell % 3) + rng.uniform(-1.5, 1.5)
                y = 8 + 16 * (cell // 3) + rng.uniform(-1.5, 1.5)
                paste(canvas, rgba, side * rng.uniform(0.9, 1.1), x, y, rng.uniform(-10, 10))
            facts["count"], facts["size"] = COUNTS[many - 1], "small"
            return side
        second, seen = self._sprite(other, self.manner(colour=None, effect=None))
        side = rng.uniform(18, 26)
        relation = rng.choice(("left of", "right of", "above", "below"))
        dx, dy = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}[
            relation
        ]
        for image, sign in ((rgba, 1), (second, -1)):
            paste(canvas, image, side, 24 + sign * dx * 11.5 + rng.uniform(-1, 1),
                  24 + sign * dy * 11.5 + rng.uniform(-1, 1))  # fmt: skip
        for key in ("colour", "style", "group", "subgroup"):
            if facts.get(key) != seen.get(key):
                facts.pop(key, None)
        facts["second"], facts["relation"] = seen["name"], relation
        return side

    def _one(self, canvas: np.ndarray, rgba: np.ndarray, facts: dict, fixed: dict) -> float:
        rng = self.rng
        turn = fixed.get("turn") or "upright"
        if "turn" not in fixed and rng.random() < 0.35:
            turn = rng.choice(TURNS[1:])
        facts["turn"], facts["count"] = turn, "one"
        if fixed.get("place") or rng.random() < 0.45:
            place = PLACES.index(fixed.get("place") or rng.choice(PLACES))
            side = rng.uniform(14, 24)
            x, y = (8 + 16 * (place % 3) + rng.uniform(-4, 4), 8 + 16 * (place // 3)
                    + rng.uniform(-4, 4))  # fmt: skip
            x, y = (min(SIZE - side / 2 + 1, max(side / 2 - 1, v)) for v in (x, y))
            facts["place"] = PLACES[place]
        else:
            side = rng.uniform(24, 46)
            slack = (SIZE - side) / 2
            x, y = 24 + rng.uniform(-slack, slack), 24 + rng.uniform(-slack, slack)
        facts["size"] = SIZES[0 if side < 19 else 1 if side < 29 else 2]
        paste(canvas, rgba, side, x, y, rng.uniform(*ANGLES[turn]))
        return side


def sheet(work: Path, out: Path) -> None:
    """Write a contact sheet: pairs that share aspects of their manner, with captions."""
    from captions import caption

    drawings = Drawings.load(work)
    composer, rng = Composer(drawings, 1), random.Random(2)
    page = Image.new("RGB", (6 * 320, 8 * 130), "white")
    draw = ImageDraw.Draw(page)
    first: Manner | None = None
    for i in range(48):
        row, other = rng.randrange(len(drawings.rgba)), rng.randrange(len(drawings.rgba))
        manner = composer.manner() if first is None else composer.share(first)
        first = manner if first is None else None
        scene = composer.compose(row, manner, other=other)
        x, y = 320 * (i % 6), 130 * (i // 6)
        page.paste(Image.fromarray(scene.image).resize((96, 96), Image.Resampling.NEAREST), (x, y))
        draw.text((x, y + 100), caption(scene.facts, rng)[0], fill="black")
        draw.text((x, y + 114), caption(scene.facts, rng)[0], fill="black")
    page.save(out)


if __name__ == "__main__":
    sheet(Path(sys.argv[1]), Path(sys.argv[2]))
