"""The configuration of a run: frozen dataclasses, YAML defaults, ``key=value`` overrides."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import yaml

from interlace._util.flat_yaml import read_settings as read_settings
from interlace._util.schema import Range, check, shown
from interlace._util.text import did_you_mean, listed
from interlace.errors import InterlaceError

Optimizer = Literal["adamw", "adam", "sgd"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]
Select = Literal["last", "best"]
ObjectiveName = Literal["classify", "retrieve"]
Sampler = Literal["auto", "shuffle", "domains"]

Count = Annotated[int, Range(0, limit=1_000_000)]
Size = Annotated[int, Range(1, limit=1_000_000)]
Rate = Annotated[float, Range(0, limit=1_000)]
Positive = Annotated[float, Range(above=0, limit=1_000)]
#: So that every use of it fits: the largest number that torch is given is seed * 100,003 + epoch.
Seed = Annotated[int, Range(0, limit=2**47 - 1)]

#: The preset of what the methods' authors published for each data set.
PUBLISHED = "published"


@dataclass(frozen=True)
class TrainConfig:
    """How a method is fitted.

    Attributes:
        epochs: passes over the shots.
        batch_size: images per step.
        optimizer: ``adamw``, ``adam`` or ``sgd`` (momentum 0.9).
        lr: learning rate after warm-up; falls once per epoch along a cosine.
        weight_decay: of all trained tensors.
        warmup_epochs: epochs at the start that run at ``warmup_lr``.
        warmup_lr: learning rate of the warm-up.
        crop_scale: smallest share of an image's area that a random crop keeps; 1 never crops.
        flip: whether images are mirrored at random.
        precision: ``auto`` is bfloat16 where the GPU supports it, float32 on a CPU.
        select: keep the ``last`` epoch (as published) or the ``best`` on the validation shots.
        workers: processes that read images; 0 reads in the main process.
        shortcuts: False (``--set shortcuts=off``) also computes what does not change the result,
            to check that it does not.
        compile: whether to ``torch.compile`` the towers; starting takes a minute or more, so it
            pays in long fits on a GPU.
        objective: ``classify`` is the method's own loss; ``retrieve`` replaces its cross-entropy
            with one at ``temperature`` and a hard triplet loss at ``margin``.
        temperature: divides the cosines of images and class texts, under ``objective=retrieve``.
        margin: by how much, in cosine, an image must be nearer to all of its class in the batch
            than to any other image, under ``objective=retrieve``.
        sampler: ``shuffle`` draws single images, ``domains`` groups of one class from several
            domains; ``auto`` is ``domains`` for ``objective=retrieve``.
        per_class: images in such a group.
        drop_last: leave out the last batch of an epoch if it is not full and not the only one, as
            Dassl does.
    """

    epochs: Count = 50
    batch_size: Size = 32
    optimizer: Optimizer = "adamw"
    lr: Positive = 1e-3
    weight_decay: Rate = 5e-4
    warmup_epochs: Count = 1
    warmup_lr: Rate = 1e-5
    crop_scale: Annotated[float, Range(above=0, most=1)] = 0.5
    flip: bool = True
    precision: Precision = "auto"
    select: Select = "last"
    workers: Annotated[int, Range(0, limit=256)] = 0
    shortcuts: bool = True
    compile: bool = False
    objective: ObjectiveName = "classify"
    temperature: Positive = 0.07
    margin: Rate = 0.5
    sampler: Sampler = "auto"
    per_class: Annotated[int, Range(2, limit=1_000_000)] = 4
    drop_last: bool = False

    @property
    def groups(self) -> bool:
        """Whether batches hold groups of one class."""
        return self.sampler == "domains" or (
            self.sampler == "auto" and self.objective == "retrieve"
        )

    @property
    def augments(self) -> bool:
        """Whether images are augmented, so that they differ from epoch to epoch."""
        return self.crop_scale < 1 or self.flip

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            InterlaceError: naming the one that is out of range.
        """
        for name, hint in training_hints().items():
            object.__setattr__(self, name, check(name, getattr(self, name), hint))
        if self.groups and self.batch_size < 2 * self.per_class:
            raise InterlaceError(
                f"batch_size={self.batch_size}: must be at least {2 * self.per_class}, to hold "
                f"images of two classes with per_class={self.per_class} of each"
            )


@cache
def training_hints() -> dict[str, Any]:
    """Return the annotation of each setting of training, by name."""
    return get_type_hints(TrainConfig, include_extras=True)


#: Settings that were added after the first bundles were written, at the value in effect before.
_ADDED = {"drop_last": False}

#: Names of the settings of training, which every method takes.
TRAINING = frozenset(f.name for f in fields(TrainConfig))


@dataclass(frozen=True)
class RunConfig:
    """Everything that determines a fit, besides the model and the data.

    Attributes:
        method: key of the method.
        arguments: all of the method's own arguments.
        train: how it is fitted.
        seed: of the initial values, the order of images and their augmentation.
        preset: name of the preset that changed defaults, or None.
        tuned: source of the published values that were chosen for this data set alone and were
            used here; None if none were.
    """

    method: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    train: TrainConfig = TrainConfig()
    seed: int = 1
    preset: str | None = None
    tuned: str | None = None

    def __post_init__(self) -> None:
        """Check the type of every value; the method checks its arguments itself.

        Raises:
            InterlaceError: naming the one of another type.
        """
        arguments = check("arguments", self.arguments, Any)
        if not isinstance(arguments, dict):
            raise InterlaceError("arguments: must map names to values")
        if not isinstance(self.train, TrainConfig):
            raise InterlaceError("train: must be a TrainConfig")
        object.__setattr__(self, "arguments", arguments)
        object.__setattr__(self, "seed", check_seed(self.seed))
        check("method", self.method, str)
        check("preset", self.preset, str | None)
        check("tuned", self.tuned, str | None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON.

        A setting of training that was added later is left out at its default, so that bundles,
        checkpoints and records from before compare equal with today's.
        """
        train = {k: v for k, v in asdict(self.train).items() if (k, v) not in _ADDED.items()}
        return {**asdict(self), "arguments": dict(self.arguments), "train": train}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunConfig:
        """Read what :meth:`to_dict` gave, which may have been damaged or changed since.

        Raises:
            InterlaceError: if a key is unknown or missing, or a value is not of its type.
        """
        if not isinstance(data, Mapping) or "method" not in data:
            raise InterlaceError("a run's configuration must name its method")
        _refuse_unknown(data, {f.name for f in fields(cls)}, "a run's configuration")
        return cls(**{**data, "train": _build(data.get("train", {}))})


def check_seed(seed: Any) -> int:
    """Check that every part of a run can use a seed.

    Raises:
        InterlaceError: if it is not a whole number from 0 to 2^47 - 1.
    """
    return int(check("seed", seed, Seed))


@dataclass(frozen=True)
class MethodDefaults:
    """A method's block in ``methods.yaml`` or in a preset.

    Attributes:
        method: arguments of the method itself.
        train: the fields of :class:`TrainConfig` that differ from its defaults.
        tuned: source of the values, if they were chosen for one data set.
    """

    method: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    tuned: str | None = None

    def names(self) -> set[str]:
        """Return the names of all settings in it."""
        return {*self.method, *self.train}


@cache
def read_packaged(name: str) -> Any:
    """Read a YAML file of the package's ``configs``; empty if there is none of this name."""
    resource = files("interlace").joinpath("configs", name)
    if not resource.is_file():
        return {}
    return yaml.safe_load(resource.read_text(encoding="utf-8")) or {}


def method_defaults(name: str) -> MethodDefaults:
    """Return the defaults of a method; empty if ``methods.yaml`` has no block for it."""
    return MethodDefaults(**read_packaged("methods.yaml").get(name, {}))


def preset_defaults(preset: str, method: str) -> list[MethodDefaults]:
    """Return what a preset changes for a method, perhaps nothing; later blocks override earlier.

    Args:
        preset: name of a file in ``configs/presets``, or ``published/<protocol>/<data set>``: what
            the method's authors published for all data sets, and for this one.
        method: key of the method.

    Raises:
        InterlaceError: if there is no such preset.
    """
    check("preset", preset, str)
    if preset in preset_names():
        own = read_packaged(f"presets/{preset}.yaml").get(method)
        return [MethodDefaults(**own)] if own else []
    kind, *rest = preset.split("/")
    if kind != PUBLISHED or len(rest) not in (0, 2):
        raise InterlaceError(
            f"no preset {shown(preset)}: there are {', '.join((*preset_names(), PUBLISHED))}"
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
    known_arguments: Mapping[str, Any],
    settings: Mapping[str, Any],
    *,
    seed: int = 1,
    preset: str | None = None,
    defaults: MethodDefaults | None = None,
) -> RunConfig:
    """Merge defaults, a preset and the caller's settings; later ones override earlier ones.

    Args:
        method: key of the method.
        known_arguments: the method's own arguments and what each may be, as
            :func:`interlace.methods.parameters` gives them.
        settings: the caller's values; the name of each says whether it is the method's or
            training's.
        seed: of the run.
        preset: name of a preset as in :func:`preset_defaults`, or None.
        defaults: the method's defaults; by default its block in ``methods.yaml``.

    Raises:
        InterlaceError: if a setting or the preset is unknown, or a value is of another type or out
            of range.
    """
    known = set(known_arguments)
    for name in settings:
        if name not in known | TRAINING:
            hint = did_you_mean(shown(name).strip("'"), sorted(known | TRAINING), count=2)
            own, training = (", ".join(sorted(some)) or "none" for some in (known, TRAINING))
            raise InterlaceError(
                f"no setting {shown(name)}; {hint + ' ' if hint else ''}"
                f"{method} takes {own}; training takes {training}"
            )
    layers = [] if preset is None else preset_defaults(preset, method)
    arguments: dict[str, Any] = {}
    train: dict[str, Any] = {}
    for layer in (defaults or method_defaults(method), *layers):
        arguments |= layer.method
        train |= layer.train
    arguments |= {k: v for k, v in settings.items() if k in known}
    train |= {k: v for k, v in settings.items() if k in TRAINING}
    # a value that the caller overrides is no longer the published one
    tuned = [own.tuned for own in layers if own.tuned and own.names() - set(settings)]
    return RunConfig(
        method,
        check_arguments(arguments, known_arguments),
        _build(train),
        seed,
        preset=preset if layers else None,
        tuned=tuned[0] if tuned else None,
    )


def check_arguments(values: Mapping[str, Any], hints: Mapping[str, Any]) -> dict[str, Any]:
    """Check a method's arguments against the annotations of its signature.

    Args:
        values: the arguments by name.
        hints: what each may be; one that is missing here may be any plain data.

    Raises:
        InterlaceError: naming the first that does not fit.
    """
    return {name: check(name, value, hints.get(name, Any)) for name, value in values.items()}


def _build(values: Any) -> TrainConfig:
    if not isinstance(values, Mapping):
        raise InterlaceError("train: must map names to values")
    _refuse_unknown(values, TRAINING, "'train'")
    return replace(TrainConfig(), **values)


def _refuse_unknown(values: Mapping[str, Any], known: Collection[str], where: str) -> None:
    unknown = sorted(shown(name) for name in values if name not in known)
    if unknown:
        raise InterlaceError(f"unknown keys in {where}: {listed(unknown)}")


def preset_names() -> list[str]:
    """Return the names of the presets that come with the package."""
    names = (item.name for item in files("interlace").joinpath("configs", "presets").iterdir())
    return sorted(Path(name).stem for name in names if name.endswith(".yaml"))
