"""Captions that say a random few of the facts of a scene, and the words of single factors."""

from __future__ import annotations

import random

from scenes import COLOURS, COUNTS, PLACES, QUALITIES, SIZES, TURNS

GROUPS = ("animals-nature", "food-drink", "travel-places", "activities", "objects")
GROUP_WORDS = {"animals-nature": "animal or plant", "food-drink": "food",
               "travel-places": "place or vehicle", "activities": "activity",
               "objects": "object"}  # fmt: skip
BACKGROUND_WORDS = {
    "white": ("a white background", "white"), "flat": ("a plain background", "a flat background"),
    "gradient": ("a gradient", "a gradient background"),
    "stripes": ("stripes", "a striped background"), "noise": ("noise", "a textured background"),
    "checker": ("a checkerboard", "a checkered background"),
    "pattern": ("a pattern", "a patterned background"),
}  # fmt: skip
QUALITY_WORDS = {"clean": ("clean", "sharp"), "blurry": ("blurry", "out of focus"),
                 "dark": ("dark", "dim"), "noisy": ("noisy", "grainy"),
                 "faded": ("faded", "pale")}  # fmt: skip
MEDIA = ("a drawing of {}", "an image of {}", "a picture of {}", "an icon of {}", "a photo of {}",
         "an emoji of {}", "a photo of a {}.")  # fmt: skip
NAME_TEMPLATES = ("{}", *MEDIA)

# Texts of the classes of a factor, a template drawn per step.
BANKS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "colour": (tuple(COLOURS), ("{}", "a {} thing", "a {} drawing", "something {}")),
    "background": (tuple(BACKGROUND_WORDS), ("on {}", "a drawing on {}", "{}")),
    "ground": (tuple(COLOURS), ("a {} background", "on {}", "a drawing on a {} background")),
    "place": (PLACES, ("at the {}", "a drawing at the {}", "something at the {} of the picture")),
    "size": (SIZES, ("a {} drawing", "something {}", "{}")),
    "count": (COUNTS, ("{} things", "{} drawings", "a picture of {} things", "{}")),
    "turn": (TURNS, ("{}", "a drawing {}", "something {}")),
    "quality": (QUALITIES, ("a {} picture", "{}", "a {} photo", "a {} drawing")),
    "group": (GROUPS, ("{}", "a drawing of {}", "a picture of {}")),
    "relation": (("left of", "right of", "above", "below"), ("one {} the other", "{}")),
}  # fmt: skip


def bank_words(factor: str, value: str, rng: random.Random) -> str:
    """Return the words of a class of a factor."""
    if factor == "background":
        return rng.choice(BACKGROUND_WORDS[value])
    if factor == "quality":
        return rng.choice(QUALITY_WORDS[value])
    if factor == "group":
        return GROUP_WORDS[value]
    return value.replace("-", " ") if factor == "subgroup" else value


def article(words: str) -> str:
    """With its article."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _chosen(facts: dict, rng: random.Random, most: int) -> set[str]:
    """Choose the factors to say; what is usual is said less often."""
    keys = [k for k in facts if k not in ("second", "relation", "ground", "group", "subgroup")]
    for key, value, share in (("quality", "clean", 0.8), ("turn", "upright", 0.7),
                              ("count", "one", 0.5)):  # fmt: skip
        if facts.get(key) == value and rng.random() < share:
            keys.remove(key)
    rng.shuffle(keys)
    chosen = set(keys[: rng.randint(1, most)])
    if rng.random() < 0.6:
        chosen.add("name")
    if "second" in facts and rng.random() < 0.7:
        chosen |= {"name", "second"}
    return chosen


def _noun(facts: dict, chosen: set[str], said: list, rng: random.Random) -> str:
    if "name" in chosen:
        said.append(("name", facts["name"]))
        if "subgroup" in facts and rng.random() < 0.12:
            said.append(("subgroup", facts["subgroup"]))
            return f"{facts['name']}, {facts['subgroup'].replace('-', ' ')}"
        return facts["name"]
    if "subgroup" in facts and rng.random() < 0.5:
        key = "subgroup" if rng.random() < 0.6 else "group"
        said.append((key, facts[key]))
        return bank_words(key, facts[key], rng)
    return rng.choice(("something", "thing", "drawing", "object"))


def _ground(facts: dict, said: list, rng: random.Random) -> str:
    pick = rng.random()
    if pick < 0.35 and "ground" in facts:
        said.append(("ground", facts["ground"][0]))
        return f"on a {facts['ground'][0]} background"
    said.append(("background", facts["background"]))
    if pick > 0.7 and facts["background"] != "white":
        said += [("ground", g) for g in facts["ground"]]
        return f"on {' and '.join(facts['ground'])} {facts['background']}"
    return f"on {rng.choice(BACKGROUND_WORDS[facts['background']])}"


def caption(facts: dict, rng: random.Random, most: int = 5) -> tuple[str, list[tuple[str, str]]]:
    """Return a caption that says a random few of the facts, and which it said."""
    chosen = _chosen(facts, rng, most)
    said: list[tuple[str, str]] = [
        (k, facts[k]) for k in chosen if k not in ("background", "second", "name")
    ]
    core = _noun(facts, chosen, said, rng)
    words = [facts[k] for k in ("size", "colour") if k in chosen]
    if "count" in chosen and facts["count"] != "one":
        core = core if core.endswith("s") else core + "s"
        text = " ".join([facts["count"], *words, core])
    else:
        start = "one" if "count" in chosen else ""
        text = " ".join([start, *words, core]).strip()
        if not start and rng.random() < 0.6:
            text = article(text)
    if "second" in chosen:
        join = facts["relation"] if rng.random() < 0.6 else "and"
        text = f"{text} {join} {article(facts['second'])}"
        said.append(("second", facts["second"]))
        if join != "and":
            said.append(("relation", join))
    tail: list[str] = [facts["turn"]] if "turn" in chosen else []
    if "place" in chosen:
        tail.append(rng.choice(("at the {}", "in the {}", "{}")).format(facts["place"]))
    if "background" in chosen:
        tail.append(_ground(facts, said, rng))
    rng.shuffle(tail)
    text = " ".join([text, *tail])
    if "style" in chosen:
        style = facts["style"]
        text = f"{article(style)} of {text}" if rng.random() < 0.7 else f"{text}, {style}"
    elif rng.random() < 0.4:
        text = rng.choice(MEDIA).format(text)
    if "quality" in chosen:
        word = rng.choice(QUALITY_WORDS[facts["quality"]])
        text = f"{text}, {word}" if rng.random() < 0.5 else f"{word} {text}"
    return text, said
