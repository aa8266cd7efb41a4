"""The configuration of a run: frozen dataclasses, YAML defaults, ``key=value`` overrides."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml

from interlace.errors import InterlaceError

Optimizer = Literal["adamw", "adam", "sgd"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]
Select = Literal["last", "best"]
Objective = Literal["classify", "retrieve"]
Sampler = Literal["auto", "shuffle", "domains"]

#: The preset that holds what the methods' authors published for each data set.
PUBLISHED = "published"

_CHOICES = {
    "optimizer": ("adamw", "adam", "sgd"),
    "precision": ("auto", "float32", "bfloat16", "float16"),
    "select": ("last", "best"),
    "objective": ("classify", "retrieve"),
    "sampler": ("auto", "shuffle", "domains"),
}


@dataclass(frozen=True)
class TrainConfig:
    """How a method is fitted.

    Attributes:
        epochs: passes over the shots.
        batch_size: images per step.
        optimizer: ``adamw``, ``adam`` or ``sgd`` (momentum 0.9).
        lr: learning rate after warm-up, decayed by a cosine per epoch.
        weight_decay: of all trained tensors.
        warmup_epochs: first epochs, run at ``warmup_lr``.
        warmup_lr: learning rate of those.
        crop_scale: smallest share of an image's area a random crop keeps; 1 for no cropping.
        flip: whether images are mirrored at random.
        precision: ``auto`` is bfloat16 where the device computes it well, float32 on a CPU.
        select: keep the ``last`` epoch (as published) or the ``best`` on the validation shots.
        workers: processes that read images; 0 reads in the main one.
        shortcuts: False (``--set shortcuts=off``) computes all that is known not to change the
            result, to check that it does not.
        compile: whether ``torch.compile`` takes the towers; worth its start of a minute or more in
            long fits on a GPU.
        objective: ``classify`` is the method's own loss; ``retrieve`` puts cross-entropy at
            ``temperature`` and a hard triplet at ``margin`` in the place of its cross-entropy.
        temperature: of the cosines of images with class texts, under ``objective=retrieve``.
        margin: by how much, in cosine, an image is to be nearer to all of its class in the batch
            than to any other image, under ``objective=retrieve``.
        sampler: ``shuffle`` draws images alone, ``domains`` in groups of one class from several
            domains; ``auto`` is ``domains`` for ``objective=retrieve``.
        per_class: images in such a group.
    """

    epochs: int = 50
    batch_size: int = 32
    optimizer: Optimizer = "adamw"
    lr: float = 1e-3
    weight_decay: float = 5e-4
    warmup_epochs: int = 1
    warmup_lr: float = 1e-5
    crop_scale: float = 0.5
    flip: bool = True
    precision: Precision = "auto"
    select: Select = "last"
    workers: int = 0
    shortcuts: bool = True
    compile: bool = False
    objective: Objective = "classify"
    temperature: float = 0.07
    margin: float = 0.5
    sampler: Sampler = "auto"
    per_class: int = 4

    @property
    def groups(self) -> bool:
        """Whether batches hold groups of one class."""
        return self.sampler == "domains" or (
            self.sampler == "auto" and self.objective == "retrieve"
        )

    @property
    def augments(self) -> bool:
        """Whether an image differs from epoch to epoch."""
        return self.crop_scale < 1 or self.flip

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            InterlaceError: naming the one that is out of range.
        """
        for name, least in (
            ("epochs", 0),
            ("batch_size", 1),
            ("weight_decay", 0),
            ("warmup_epochs", 0),
            ("warmup_lr", 0),
            ("workers", 0),
            ("margin", 0),
        ):
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool) or value < least:
                raise InterlaceError(f"{name}={value!r}: must be a number of at least {least}")
        if not isinstance(self.per_class, int) or self.per_class < 2:
            raise InterlaceError(f"per_class={self.per_class!r}: must be a whole number, 2 or more")
        for name in ("lr", "temperature"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
                raise InterlaceError(f"{name}={value!r}: must be a positive number")
        if not isinstance(self.crop_scale, int | float) or not 0 < self.crop_scale <= 1:
            raise InterlaceError(f"crop_scale={self.crop_scale!r}: must be above 0 and at most 1")
        if self.groups and self.batch_size < 2 * self.per_class:
            raise InterlaceError(
                f"batch_size={self.batch_size}: must be at least {2 * self.per_class}, to hold "
                f"images of two classes with per_class={self.per_class} of each"
            )
        for name in ("flip", "shortcuts", "compile"):
            if not isinstance(getattr(self, name), bool):
                raise InterlaceError(f"{name}={getattr(self, name)!r}: must be true or false")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise InterlaceError(
                    f"{name}={getattr(self, name)!r}: must be one of {', '.join(choices)}"
                )


#: Names of the settings of training, which every method takes.
TRAINING = frozenset(f.name for f in fields(TrainConfig))


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides a fit, beside the model and the data.

    Attributes:
        method: key of the method.
        arguments: the method's own arguments, complete.
        train: how it is fitted.
        seed: of the initial values, the order of images and their augmentation.
        preset: name of the preset that changed defaults, or None.
        tuned: the source of published values that were chosen for this data set alone and acted
            here; None where none did.
    """

    method: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    train: TrainConfig = TrainConfig()
    seed: int = 1
    preset: str | None = None
    tuned: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "arguments": dict(self.arguments)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunConfig:
        """Inverse of :meth:`to_dict`.

        Raises:
            InterlaceError: if a key is unknown.
        """
        values = dict(data)
        values["train"] = _build(TrainConfig(), values.get("train", {}), "train")
        unknown = set(values) - {f.name for f in fields(cls)}
        if unknown:
            raise InterlaceError(f"unknown keys in a run's configuration: {sorted(unknown)}")
        return cls(**values)


@dataclass(frozen=True)
class MethodDefaults:
    """A method's block in ``methods.yaml`` or in a preset.

    Attributes:
        method: arguments of the method itself.
        train: the fields of :class:`TrainConfig` that differ from its defaults.
        tuned: where the values are from, if they were chosen for one data set.
    """

    method: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    tuned: str | None = None

    def names(self) -> set[str]:
        """What it sets."""
        return {*self.method, *self.train}


@cache
def read_packaged(name: str) -> Any:
    """A YAML file of the package's ``configs``; empty if there is none."""
    resource = files("interlace").joinpath("configs", name)
    if not resource.is_file():
        return {}
    return yaml.safe_load(resource.read_text(encoding="utf-8")) or {}


def method_defaults(name: str) -> MethodDefaults:
    """Defaults of a method; empty for one without a block."""
    return MethodDefaults(**read_packaged("methods.yaml").get(name, {}))


def preset_defaults(preset: str, method: str) -> list[MethodDefaults]:
    """What a preset changes for a method, the later over the earlier; empty where nothing.

    Args:
        preset: name of a file in ``configs/presets``, or ``published/<protocol>/<data set>``: what
            the method's authors published for all data sets, and for this one.
        method: key of the method.

    Raises:
        InterlaceError: if there is no such preset.
    """
    if preset in preset_names():
        own = read_packaged(f"presets/{preset}.yaml").get(method)
        return [MethodDefaults(**own)] if own else []
    kind, *rest = preset.split("/")
    if kind != PUBLISHED or len(rest) not in (0, 2):
        raise InterlaceError(
            f"no preset {preset!r}: there are {', '.join((*preset_names(), PUBLISHED))}"
        )
    if not rest:
        raise InterlaceError(
            "published values differ by protocol and data set: "
            "preset='published/few_shot/eurosat' is one"
        )
    protocol, data = rest
    block = read_packaged(f"presets/{PUBLISHED}/{method}.yaml").get(protocol, {})
    own = block.get("data_sets", {}).get(data)
    if own is None:
        return []
    # what follows from a rule for all data sets was not chosen for one of them
    tuned = block["source"] if own and "rule" not in block else None
    return [MethodDefaults(**block.get("all", {})), MethodDefaults(**own, tuned=tuned)]


def resolve(
    method: str,
    known_arguments: Iterable[str],
    settings: Mapping[str, Any],
    *,
    seed: int = 1,
    preset: str | None = None,
) -> RunConfig:
    """Put defaults, a preset and the caller's settings together, the later over the earlier.

    Args:
        method: key of the method.
        known_arguments: names of the method's own arguments.
        settings: the caller's values; each belongs to the method or to training by its name.
        seed: the run's seed.
        preset: name of a preset as in :func:`preset_defaults`, or None.

    Raises:
        InterlaceError: if a setting or the preset is unknown, or a value out of range.
    """
    known = set(known_arguments)
    for name in settings:
        if name not in known | TRAINING:
            close = difflib.get_close_matches(name, known | TRAINING, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise InterlaceError(
                f"no setting {name!r}{hint} {method} takes {', '.join(sorted(known)) or 'none'}; "
                f"training takes {', '.join(sorted(TRAINING))}"
            )
    layers = [] if preset is None else preset_defaults(preset, method)
    arguments: dict[str, Any] = {}
    train: dict[str, Any] = {}
    for layer in (method_defaults(method), *layers):
        arguments |= layer.method
        train |= layer.train
    arguments |= {k: v for k, v in settings.items() if k in known}
    train |= {k: v for k, v in settings.items() if k in TRAINING}
    # what the caller sets anew is no longer the published choice
    tuned = [own.tuned for own in layers if own.tuned and own.names() - set(settings)]
    return RunConfig(
        method,
        arguments,
        _build(TrainConfig(), train, "train"),
        seed,
        preset=preset if layers else None,
        tuned=tuned[0] if tuned else None,
    )


def _build(base: TrainConfig, values: Mapping[str, Any], where: str) -> TrainConfig:
    unknown = set(values) - TRAINING
    if unknown:
        raise InterlaceError(f"unknown keys under {where!r}: {', '.join(sorted(unknown))}")
    return replace(base, **values)


def read_settings(path: Path | None, assignments: Iterable[str]) -> dict[str, Any]:
    """Settings of a flat YAML file, overridden by ``key=value`` strings.

    Args:
        path: a YAML file that maps names to values, or None.
        assignments: strings such as ``lr=1e-3``; a value is read as YAML.

    Raises:
        InterlaceError: if the file is missing or no mapping, or a string has no ``=``.
    """
    settings: dict[str, Any] = {}
    if path is not None:
        try:
            loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise InterlaceError(f"cannot read settings from {path}: {error}") from None
        if not isinstance(loaded, dict):
            raise InterlaceError(f"{path} must map setting names to values")
        settings |= loaded
    for assignment in assignments:
        name, separator, text = assignment.partition("=")
        if not separator or not name:
            raise InterlaceError(f"{assignment!r}: expected key=value, such as lr=1e-3")
        settings[name.strip()] = _number(yaml.safe_load(text))
    return settings


def _number(value: Any) -> Any:
    """YAML 1.1 reads ``1e-3`` (no dot) as a string; people mean a number."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def preset_names() -> list[str]:
    """Names of the presets that come with the package."""
    folder = files("interlace").joinpath("configs", "presets")
    if not folder.is_dir():
        return []
    return sorted(Path(item.name).stem for item in folder.iterdir() if item.name.endswith(".yaml"))
