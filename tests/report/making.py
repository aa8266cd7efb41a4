"""Makes cells as ``interlace bench`` writes them, with invented numbers."""

from __future__ import annotations

import base64
import io
import json
import zlib

import numpy as np
from PIL import Image

METHODS = (
    "zero_shot linear_probe coop maple clip_adapter tip_adapter tip_adapter_f clip_lora mail "
    "mail++ mmrl mmrl++ multimodal_adapter"
).split()
DATA = [
    f"picto/{name}"
    for name in ("activities animals-nature food-drink objects subgroups travel-places".split())
]
BOUND = {"linear_probe", "tip_adapter", "tip_adapter_f"}
SEEDS = (1, 2, 3, 4, 5)
GAINS = dict(zip(METHODS, (0, -2, 1, 3, 2, 1, 2.5, 5, 4, 6, 6.5, 7, 3.5), strict=True))
PARAMETERS = dict(
    zip(
        METHODS,
        (0, 12480, 3072, 130000, 32768, 0, 9984, 41000, 61000, 82000, 310000, 420000, 150000),
        strict=True,
    )
)


def cell(
    method="mail",
    seed=1,
    metrics=None,
    *,
    protocol="few_shot",
    data="picto/food-drink",
    shots=4,
    kind="clean",
    severity=0.0,
    preset="auto",
    model="picto",
    split=None,
    date="2026-01-02T03:04:05+00:00",
    arguments=None,
    error=None,
    **record,
):
    """One cell as plain data; ``metrics`` may be one number, which is the top-1 of all classes."""
    spec = {
        "protocol": protocol,
        "data": data,
        "targets": [],
        "method": method,
        "settings": {},
        "preset": preset,
        "model": model,
        "shots": shots,
        "seed": seed,
        "condition": {"kind": kind, "severity": severity},
        "template": None,
    }
    made = {
        "format": "interlace.cell/1",
        "id": f"{zlib.crc32(json.dumps(spec).encode()):08x}",
        "spec": spec,
        "status": "failed" if error else "done",
        "error": error,
        "date": date,
    }
    if not error:
        if isinstance(metrics, float):
            metrics = {"all": {"n": 100, "top1": metrics}}
        key = method.partition(":")[0]
        made |= {
            "run": {
                "method": key,
                "arguments": arguments or {},
                "train": {"epochs": 0 if key == "zero_shot" else 10, "lr": 0.001},
                "seed": seed,
                "preset": None if key == "zero_shot" else "picto",
            },
            "tuned": None,
            "split_hash": split or f"{zlib.crc32(f'{data} {shots} {seed}'.encode()):064x}",
            "backbone": {"source": model, "fingerprint": f"{zlib.crc32(model.encode()):016x}"},
            "parameters": PARAMETERS.get(key, 1000),
            "metrics": metrics,
            "seconds": {"fit": 12.5, "fit_cpu": 12.0, "score": 0.8},
            "peak_memory": 512_000_000,
            "machine": {
                "system": "Linux",
                "processor": "x86_64",
                "cores": 2,
                "threads": 1,
                "gpu": None,
            },
            "versions": {"python": "3.11.7", "interlace": "0.1.0", "torch": "2.14.1"},
            "commit": "0f1ae8780f1ae878",
            "uncommitted_changes": False,
        }
    return made | record


def write(folder, cells):
    """Writes cells as files; gives the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, made in enumerate(cells):
        (folder / f"{made['id']}-{number}.json").write_text(json.dumps(made), encoding="utf-8")
    return folder


class Grid:
    """A whole grid of every protocol, with plausible numbers."""

    def __init__(self, methods=METHODS, data=DATA, seeds=SEEDS, seed=0):
        self.methods, self.data, self.seeds = methods, data, seeds
        self.generator = np.random.default_rng(seed)

    def values(self, top1):
        top1 = float(np.clip(top1, 0.02, 0.99))
        return {"n": 222, "top1": top1, "mean_per_class": top1 - 0.01, "ece": 0.15 * (1 - top1)}

    def noise(self, method, width=0.012):
        return 0.0 if method == "zero_shot" else float(self.generator.normal(0, width))

    def level(self, data, part=0):
        return 0.48 + 0.045 * (self.data.index(data) if data in self.data else 2) + part

    def made(self, method, seed, metrics, **spec):
        cost = 1 + METHODS.index(method)
        seconds = {"fit": 2.1 * cost, "fit_cpu": 0.0 if method == "zero_shot" else 2.0 * cost**1.5}
        return cell(
            method,
            seed,
            metrics,
            seconds=seconds | {"score": 0.7},
            peak_memory=int(4e8 + 4e7 * cost),
            **spec,
        )

    def base_to_novel(self):
        for data in self.data:
            for method in self.methods:
                for seed in self.seeds:
                    gain = GAINS[method] / 100
                    base = self.level(data, 0.1) + gain + self.noise(method)
                    novel = self.level(data) + (gain - 0.03) / 2 * (gain > 0) + self.noise(method)
                    metrics = {"base": self.values(base)}
                    if method not in BOUND:
                        metrics["novel"] = self.values(novel)
                        metrics["joint"] = self.values((base + novel) / 2 - 0.08)
                    yield self.made(method, seed, metrics, protocol="base_to_novel", data=data)

    def few_shot(self, shots=(1, 2, 4, 8, 16)):
        for data in self.data:
            for method in self.methods:
                for k in shots:
                    for seed in self.seeds:
                        gain = GAINS[method] / 100 * (0.3 + np.log2(k))
                        if method == "linear_probe":
                            gain += 0.12 * (np.log2(k) - 2)
                        top1 = self.level(data) + gain + self.noise(method)
                        metrics = {"all": self.values(top1)}
                        yield self.made(method, seed, metrics, data=data, shots=k)

    def transfer(self, protocol="cross_dataset", targets=None):
        for method in self.methods:
            if method in BOUND:
                continue
            for seed in self.seeds:
                gain = GAINS[method] / 100
                metrics = {"source": self.values(0.6 + gain + self.noise(method))}
                for target in targets or self.data[1:]:
                    level = self.level(target) + gain / 4 - 0.01 * (gain > 0)
                    metrics[target] = self.values(level + self.noise(method))
                yield self.made(method, seed, metrics, protocol=protocol, data=self.data[0])

    def robustness(self):
        steps = {"clean": (0.0,), "label_noise": (0.1, 0.2, 0.4), "image_noise": (0.1, 0.3, 0.5)}
        for method in self.methods:
            for kind, severities in steps.items():
                for severity in severities:
                    for seed in self.seeds:
                        slope = 0.0 if kind == "label_noise" and method == "zero_shot" else 0.4
                        top1 = 0.55 + GAINS[method] / 100 - slope * severity + self.noise(method)
                        yield self.made(
                            method,
                            seed,
                            {"all": self.values(top1)},
                            protocol="robustness",
                            data=self.data[-1],
                            kind=kind,
                            severity=severity,
                        )

    def own_data(self, classes=("bolt", "nut & washer", "screw <long>", "wing nut")):
        for method in self.methods[:3]:
            for seed in self.seeds:
                counts = self.generator.integers(0, 6, (len(classes), len(classes)))
                counts += 30 * np.eye(len(classes), dtype=int)
                values = self.values(float(np.trace(counts) / counts.sum()))
                values["details"] = {
                    "classes": list(classes),
                    "confusion": counts.tolist(),
                    "mistakes": [
                        {
                            "key": f"{classes[0]}/{i}.jpg",
                            "truth": classes[0],
                            "answer": classes[1 + i % (len(classes) - 1)],
                            "probability": 0.99 - 0.03 * i,
                            "thumbnail": thumbnail(self.generator),
                        }
                        for i in range(6)
                    ],
                }
                yield self.made(
                    method, seed, {"all": values}, data="photos", model="ViT-B-16:openai"
                )

    def everything(self):
        yield from self.base_to_novel()
        yield from self.few_shot()
        yield from self.transfer()
        yield from self.transfer("domain_generalization", ["fluent-3d", "noto-mono", "symbola"])
        yield from self.robustness()
        yield from self.own_data()


def thumbnail(generator):
    """A small JPEG in base64."""
    pixels = np.kron(generator.integers(40, 230, (4, 4, 3)), np.ones((16, 16, 1)))
    stream = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(stream, "JPEG")
    return base64.b64encode(stream.getvalue()).decode()


FAILURE = {
    "type": "InterlaceError",
    "message": "class 'gear': 3 images for 4 shots; 3 shots would do",
    "traceback": "Traceback (most recent call last):\n  ...\nInterlaceError: class 'gear'\n",
}
