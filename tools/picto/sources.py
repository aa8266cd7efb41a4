"""Where the drawings of picto come from: pinned packages, styles, families and licences."""

from __future__ import annotations

from dataclasses import dataclass

ICONIFY = "@iconify-json/"

# npm packages with the versions the published data set was built from.
PACKAGES: dict[str, str] = {
    "emojibase-data": "17.0.0",
    "openmoji": "17.0.0",
    "@lobehub/fluent-emoji-3d": "1.1.0",
    "@expo-google-fonts/noto-emoji": "0.4.7",
    "@carbon/pictograms": "12.82.0",
    **{
        ICONIFY + name: version
        for name, version in {
            "basil": "1.2.4",
            "bi": "1.2.7",
            "bxs": "1.2.3",
            "carbon": "1.2.29",
            "clarity": "1.2.4",
            "duo-icons": "1.2.2",
            "emojione": "1.2.3",
            "emojione-monotone": "1.2.1",
            "emojione-v1": "1.2.3",
            "f7": "1.2.2",
            "fa6-solid": "1.2.4",
            "fa7-solid": "1.2.5",
            "flat-color-icons": "1.2.3",
            "fluent-emoji-flat": "1.2.6",
            "fluent-emoji-high-contrast": "1.2.6",
            "fontisto": "1.2.1",
            "fxemoji": "1.2.2",
            "game-icons": "1.2.4",
            "guidance": "1.2.2",
            "healthicons": "1.2.13",
            "hugeicons": "1.2.35",
            "ic": "1.2.4",
            "icon-park": "1.2.4",
            "icon-park-outline": "1.2.4",
            "icon-park-solid": "1.2.4",
            "icon-park-twotone": "1.2.4",
            "iconoir": "1.2.11",
            "icons8": "1.2.1",
            "ion": "1.2.7",
            "la": "1.2.1",
            "lets-icons": "1.2.2",
            "lucide": "1.2.137",
            "lucide-lab": "1.2.3",
            "majesticons": "1.2.5",
            "maki": "1.2.5",
            "map": "1.2.2",
            "marketeq": "1.2.2",
            "material-symbols": "1.2.98",
            "mdi": "1.2.3",
            "medical-icon": "1.2.0",
            "meteocons": "1.2.4",
            "mingcute": "1.2.8",
            "mynaui": "1.2.19",
            "noto": "1.2.9",
            "noto-v1": "1.2.5",
            "openmoji": "1.2.29",
            "pepicons-pencil": "1.2.4",
            "pepicons-pop": "1.2.4",
            "pepicons-print": "1.2.2",
            "ph": "1.2.2",
            "pixel": "1.2.2",
            "pixelarticons": "1.2.9",
            "raphael": "1.2.1",
            "ri": "1.2.10",
            "solar": "1.2.13",
            "stash": "1.2.4",
            "streamline": "1.2.5",
            "streamline-emojis": "1.2.4",
            "streamline-flex": "1.2.3",
            "streamline-flex-color": "1.2.2",
            "streamline-freehand-color": "1.2.2",
            "streamline-kameleon-color": "1.2.2",
            "streamline-pixel": "1.2.0",
            "streamline-plump": "1.2.0",
            "streamline-plump-color": "1.2.2",
            "streamline-stickies-color": "1.2.2",
            "streamline-ultimate": "1.2.2",
            "streamline-ultimate-color": "1.2.2",
            "tabler": "1.2.41",
            "tdesign": "1.2.19",
            "temaki": "1.2.6",
            "twemoji": "1.2.5",
            "uil": "1.2.3",
            "wi": "1.2.1",
        }.items()
    },
}

# Debian packages (bookworm at the time of the build).
DEBIAN_PACKAGES = ("openclipart-svg", "fonts-symbola", "fonts-unifont")


@dataclass(frozen=True)
class Style:
    """One emoji drawing style.

    ``role`` is "train", "validation" (recipe choice) or "held-out" (reported, never trained on).
    ``family`` names the hand: styles of a family may share geometry.
    """

    name: str
    family: str
    role: str
    ink: str
    licence: str
    origin: str
    source: str


STYLES: dict[str, Style] = {
    s.name: s
    for s in (
        Style(
            "noto", "noto", "train", "colour", "Apache-2.0", "Google, Noto Emoji", ICONIFY + "noto"
        ),
        Style(
            "noto-v1",
            "noto",
            "train",
            "colour",
            "Apache-2.0",
            "Google, Noto Emoji v1",
            ICONIFY + "noto-v1",
        ),
        Style(
            "twemoji",
            "twemoji",
            "train",
            "colour",
            "CC-BY-4.0",
            "Twitter, Twemoji",
            ICONIFY + "twemoji",
        ),
        Style(
            "emojione",
            "emojione",
            "train",
            "colour",
            "CC-BY-4.0",
            "Emoji One, version 2",
            ICONIFY + "emojione",
        ),
        Style(
            "emojione-mono",
            "emojione",
            "train",
            "line",
            "CC-BY-4.0",
            "Emoji One, monotone",
            ICONIFY + "emojione-monotone",
        ),
        Style(
            "fxemoji",
            "fxemoji",
            "train",
            "colour",
            "Apache-2.0",
            "Mozilla, FxEmojis",
            ICONIFY + "fxemoji",
        ),
        Style(
            "unifont",
            "unifont",
            "train",
            "line",
            "OFL-1.1 / GPL-2+ with font exception",
            "GNU Unifont, upper planes",
            "debian:fonts-unifont",
        ),
        Style(
            "streamline",
            "streamline",
            "validation",
            "colour",
            "CC-BY-4.0",
            "Streamline, Streamline Emojis",
            ICONIFY + "streamline-emojis",
        ),
        Style(
            "symbola",
            "symbola",
            "validation",
            "line",
            "free for any use (font document)",
            "George Douros, Symbola",
            "debian:fonts-symbola",
        ),
        Style(
            "emojione-v1",
            "emojione-v1",
            "held-out",
            "colour",
            "CC-BY-SA-4.0",
            "Emoji One, version 1",
            ICONIFY + "emojione-v1",
        ),
        Style(
            "fluent-flat",
            "fluent",
            "held-out",
            "colour",
            "MIT",
            "Microsoft, Fluent Emoji flat",
            ICONIFY + "fluent-emoji-flat",
        ),
        Style(
            "fluent-3d",
            "fluent",
            "held-out",
            "colour",
            "MIT",
            "Microsoft, Fluent Emoji 3D",
            "@lobehub/fluent-emoji-3d",
        ),
        Style(
            "fluent-hc",
            "fluent",
            "held-out",
            "line",
            "MIT",
            "Microsoft, Fluent Emoji high contrast",
            ICONIFY + "fluent-emoji-high-contrast",
        ),
        Style(
            "noto-mono",
            "noto",
            "held-out",
            "line",
            "OFL-1.1",
            "Google, Noto Emoji outline font",
            "@expo-google-fonts/noto-emoji",
        ),
        Style(
            "openmoji",
            "openmoji",
            "held-out",
            "line",
            "CC-BY-SA-4.0",
            "OpenMoji, HfG Schwaebisch Gmuend",
            "openmoji",
        ),
        Style(
            "openmoji-black",
            "openmoji",
            "held-out",
            "line",
            "CC-BY-SA-4.0",
            "OpenMoji, HfG Schwaebisch Gmuend",
            "openmoji",
        ),
    )
}

# Iconify emoji sets, read by code point (chars.json) and then by name.
ICONIFY_STYLES: dict[str, str] = {
    "noto": "noto",
    "noto-v1": "noto-v1",
    "twemoji": "twemoji",
    "emojione": "emojione",
    "emojione-v1": "emojione-v1",
    "emojione-monotone": "emojione-mono",
    "fluent-emoji-flat": "fluent-flat",
    "fluent-emoji-high-contrast": "fluent-hc",
    "fxemoji": "fxemoji",
    "streamline-emojis": "streamline",
}

# Colour sets that are also redrawn as line art (see build.redraw); training styles only.
REDRAWN = ("noto", "noto-v1", "twemoji", "emojione", "fxemoji")

# Icon sets whose every icon serves as an extra (image, name) pair, and sets used only where the
# name of an icon is the name of a concept.
EXTRA_SETS = (
    "mdi",
    "game-icons",
    "ph",
    "tabler",
    "icon-park",
    "healthicons",
    "flat-color-icons",
    "meteocons",
    "maki",
    "temaki",
    "marketeq",
    "medical-icon",
    "streamline-plump-color",
    "streamline-flex-color",
    "streamline-ultimate-color",
    "streamline-kameleon-color",
    "streamline-stickies-color",
    "streamline-freehand-color",
)
MATCHED_SETS = (
    "basil",
    "bi",
    "bxs",
    "carbon",
    "clarity",
    "duo-icons",
    "f7",
    "fa6-solid",
    "fa7-solid",
    "fontisto",
    "guidance",
    "hugeicons",
    "ic",
    "icon-park-outline",
    "icon-park-solid",
    "icon-park-twotone",
    "iconoir",
    "icons8",
    "ion",
    "la",
    "lets-icons",
    "lucide",
    "lucide-lab",
    "majesticons",
    "map",
    "material-symbols",
    "mingcute",
    "mynaui",
    "pepicons-pencil",
    "pepicons-pop",
    "pepicons-print",
    "pixel",
    "pixelarticons",
    "raphael",
    "ri",
    "solar",
    "stash",
    "streamline",
    "streamline-flex",
    "streamline-pixel",
    "streamline-plump",
    "streamline-ultimate",
    "tdesign",
    "uil",
    "wi",
)

CORE_GROUPS = ("animals-nature", "food-drink", "travel-places", "activities", "objects")

# Groups whose concepts no training saw, for the suite; they are rendered into a store of their own.
MORE_GROUPS = ("smileys-emotion", "people-body", "symbols")
MORE_STYLES = (
    "fluent-flat", "fluent-3d", "fluent-hc", "noto-mono", "openmoji", "openmoji-black",
    "emojione-v1", "symbola", "noto", "twemoji",
)  # fmt: skip

# People of one sex where emoji has the same person without one.
SEXED = ("1F466", "1F467", "1F468", "1F469", "1F474", "1F475", "1F930", "1FAC3")

# Validation styles that the teacher of the published checkpoint (an earlier prototype) was trained
# on: never drawn from by these scripts, but not unseen either.
SEEN_BY_TEACHER = ("streamline",)
