"""The page: what it has, what it escapes, and how it looks in a browser."""

import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from interlace.report import load_cells, write_html
from tests.report.making import FAILURE, Grid, cell, write

METHODS = ("zero_shot", "tip_adapter", "mail", "multimodal_adapter")
NASTY = "mail:<img src=x onerror=alert(1)>&\"'$a$"
BROWSER = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
VOID = {"meta", "link", "img", "br", "input", "hr"}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page with something in every part."""
    folder = tmp_path_factory.mktemp("report")
    grid = Grid(METHODS, data=["picto/a", "picto/with-a-long-name"], seeds=(1, 2, 3))
    cells = [
        *grid.base_to_novel(),
        *grid.few_shot((1, 4)),
        *grid.transfer(targets=[f"target-{i}-of-{'x' * 9 * i}" for i in range(4)]),
        *Grid(METHODS[:3], data=["picto/a"], seeds=(1, 2)).robustness(),
        *Grid(METHODS, seeds=(1, 2)).own_data(),
        cell(NASTY, 1, 0.5, model="ViT-B-16:openai", data="photos"),
        cell("mail", 4, data="photos", model="ViT-B-16:openai", error=FAILURE),
    ]
    path = folder / "deep" / "report.html"
    write_html(load_cells(write(folder / "cells", cells)), path, title="A <title> & more")
    return path


class Elements(HTMLParser):
    """Checks that elements nest, and collects them."""

    def __init__(self):
        super().__init__()
        self.open, self.found = [], []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def elements(page):
    parser = Elements()
    parser.feed(page.read_text(encoding="utf-8"))
    assert parser.open == []
    return parser.found


def test_it_stands_alone(page, elements):
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]|@import|@font-face|<script|<iframe|javascript:", text)
    for tag, attributes in elements:
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, attributes)
        assert not any(name.startswith("on") for name in attributes)
    assert "default-src 'none'" in text
    assert "#0100" not in text and "#0200" not in text and "@chart" not in text


def test_names_are_escaped(page, elements):
    text = page.read_text(encoding="utf-8")
    assert (
        html.escape(NASTY) in text
        or html.escape(NASTY).replace("&quot;", "&#34;").replace("&#x27;", "&#39;") in text
    )
    assert "<img src=x" not in text and "<h1>A &lt;title&gt; &amp; more</h1>" in text
    assert all(a["src"].startswith("data:image/jpeg;base64,") for t, a in elements if t == "img")


def test_ids_are_unique_and_links_lead_somewhere(elements):
    ids = [a["id"] for _, a in elements if "id" in a]
    assert len(ids) == len(set(ids))
    links = {a["href"][1:] for t, a in elements if t in ("a", "use") and "href" in a}
    assert links and links <= set(ids)


def test_it_can_be_read_without_seeing(elements):
    assert all(a.get("scope") in ("col", "row") for t, a in elements if t == "th")
    assert all(a.get("aria-label") for t, a in elements if t == "svg" and a.get("role") == "img")
    assert all(a.get("alt") for t, a in elements if t == "img")
    kinds = [t for t, _ in elements]
    assert kinds.count("table") == kinds.count("caption")
    assert kinds.count("figure") > 10 and kinds.count("h1") == 1
    levels = [int(t[1]) for t in kinds if re.fullmatch("h[1-6]", t)]
    assert all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False))


def test_every_part_is_there(page):
    text = page.read_text(encoding="utf-8")
    for part in (
        "Base against novel",
        "Cost against quality",
        "Curves",
        "Most confident errors",
        "Failed cells",
        "3 shots would do",
        "Configuration",
        "Hashes of the splits",
        "harmonic mean of the averaged",
        "fewer than five seeds",
        "severity of label noise",
        "Expected calibration error",
    ):
        assert part in text, part


def test_parts_without_cells_are_not(results, tmp_path):
    write_html(results([cell("mail", 1, 0.5)]), tmp_path / "one.html")
    text = (tmp_path / "one.html").read_text(encoding="utf-8")
    for part in ("Curves", "Failed cells", "Base against novel", "confident", "Gain over"):
        assert part not in text


def test_a_page_of_failures_only(results, tmp_path):
    write_html(
        results([cell("mail", 1, error={"type": "X", "message": "<b>"})]), tmp_path / "f.html"
    )
    assert "X: &lt;b&gt;" in (tmp_path / "f.html").read_text(encoding="utf-8")


def test_colours_have_contrast(page):
    style = re.search(r"<style>(.*?)</style>", page.read_text(encoding="utf-8"), re.S)[1]
    themes = [
        dict(re.findall(r"--(\w+): (#\w{6});", part))
        for part in re.split(r"@media \(prefers|@page", style)
    ]
    for theme in themes:
        for name, colour in theme.items():
            # 4.5 for text, also that of method names in charts
            if name not in ("paper", "raised", "rule"):
                assert contrast(colour, theme["paper"]) >= 4.5, (name, colour)
        assert contrast(theme["muted"], theme["raised"]) >= 4.5


def contrast(one, other):
    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


# widths of a phone and of a screen side by side in one browser; what sticks out is written down
PROBE = """
<!doctype html><meta charset="utf-8"><body><script>
const source = SOURCE;
const widths = [390, 1280];
let left = widths.length;
for (const width of widths) {
  const frame = document.createElement('iframe');
  frame.width = width; frame.height = 900; frame.srcdoc = source;
  frame.onload = () => {
    const inside = frame.contentDocument, found = [];
    inside.querySelectorAll('details').forEach(element => element.open = true);
    const view = inside.documentElement.clientWidth;
    for (const element of inside.body.querySelectorAll('*')) {
      const box = element.getBoundingClientRect();
      const free = element.closest('.scroll, pre, .hidden');
      if (box.width && !free && !element.closest('svg') && (box.right > view + 1 || box.left < -1))
        found.push(element.tagName + '.' + element.className + ' ' + Math.round(box.right));
      if (element.tagName === 'text') {
        const svg = element.closest('svg').getBoundingClientRect();
        if (box.right > svg.right + 1 || box.left < svg.left - 1 || box.bottom > svg.bottom + 1)
          found.push('text ' + element.textContent);
      }
    }
    const line = document.createElement('p');
    line.className = 'probe';
    line.textContent = JSON.stringify([width, view, inside.documentElement.scrollWidth,
      frame.contentWindow.getComputedStyle(inside.body).backgroundColor, found]);
    document.body.append(line);
    if (!--left) document.body.append('finished');
  };
  document.body.append(frame);
}
</script>
"""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
@pytest.mark.parametrize(
    ("scheme", "background"), [(1, "rgb(255, 255, 255)"), (0, "rgb(17, 22, 28)")]
)
def test_nothing_sticks_out_in_a_browser(page, tmp_path, scheme, background):
    text = re.sub(r"<meta http-equiv[^>]*>", "", page.read_text(encoding="utf-8"))
    source = json.dumps(text).replace("</", "<\\/")
    (tmp_path / "probe.html").write_text(PROBE.replace("SOURCE", source), encoding="utf-8")
    done = subprocess.run(
        [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
            "--enable-logging=stderr", f"--blink-settings=preferredColorScheme={scheme}",
            f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1800,1000",
            "--virtual-time-budget=20000", (tmp_path / "probe.html").as_uri(),
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "finished" in done.stdout, done.stderr[-1000:]
    lines = [
        json.loads(html.unescape(t)) for t in re.findall(r'<p class="probe">(.*?)</p>', done.stdout)
    ]
    assert [line[0] for line in sorted(lines)] == [390, 1280]
    for width, view, scroll, colour, found in lines:
        assert (scroll, found) == (view, []), width
        assert colour == background
    assert "CONSOLE" not in done.stderr, done.stderr
