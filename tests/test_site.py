"""The built site as a reader meets it: in a browser, wide and narrow, offline."""

import functools
import http.server
import pathlib
import re
import shutil
import threading
import urllib.parse
from html.parser import HTMLParser

import pytest

pytestmark = pytest.mark.smoke

PAGES = (
    "chapters/index",
    "chapters/scorecard",
    "chapters/bibliography",
    "chapters/dcgan/training",
    "chapters/dcgan/representations",
    "chapters/sentiment_neuron/sentiment_unit",
    "chapters/machine_room/kernels",
    "chapters/machine_room/roofline",
)
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
HARMLESS = ("Got invalid theme mode",)  # the theme's own remark at the first visit


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address(smoke_site):
    handler = functools.partial(QuietHandler, directory=str(smoke_site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *_):
        pass


def visit(browser, url, width, theme="light"):
    """Open a page; returns it with what the console and the network said."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=theme, offline=False
    )
    page = context.new_page()
    said, asked = [], []
    page.on("console", lambda message: said.append(message) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(error))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    page.wait_for_load_state("networkidle")
    errors = [getattr(one, "text", str(one)) for one in said]
    return page, [text for text in errors if not text.startswith(HARMLESS)], asked


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_shows_whole_without_errors_or_other_hosts(browser, address, name, width):
    page, errors, asked = visit(browser, f"{address}/{name}.html", width)
    assert not errors
    hosts = {urllib.parse.urlsplit(url).netloc for url in asked if url.startswith("http")}
    assert hosts == {urllib.parse.urlsplit(address).netloc}
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    broken = page.evaluate(
        "[...document.querySelectorAll('.bd-article img')]"
        ".filter(i => !i.complete || !i.naturalWidth || !i.alt).map(i => i.src)"
    )
    assert not broken
    formulas = page.evaluate("document.querySelectorAll('.math').length")
    assert page.evaluate("document.querySelectorAll('mjx-container').length") >= formulas
    page.context.close()


@pytest.mark.browser
def test_figures_stay_in_the_dark(browser, address):
    page, errors, _ = visit(browser, f"{address}/chapters/dcgan/training.html", 1280, "dark")
    assert not errors
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    backgrounds = page.evaluate(
        "[...document.querySelectorAll('.cell_output img')]"
        ".map(i => getComputedStyle(i).backgroundColor)"
    )
    assert len(backgrounds) >= 6
    assert set(backgrounds) == {"rgba(0, 0, 0, 0)"}
    page.context.close()


@pytest.mark.browser
def test_the_site_works_from_a_folder_without_a_server(browser, smoke_site):
    page, errors, asked = visit(browser, (smoke_site / "index.html").as_uri(), 1280)
    assert not errors
    assert all(url.startswith(("file:", "data:")) for url in asked)
    assert page.title().startswith("Two Radford papers")
    page.context.close()


@pytest.mark.browser
def test_the_scorecard_lists_every_item(browser, address):
    page, _, _ = visit(browser, f"{address}/chapters/scorecard.html#d-t1", 1280)
    assert page.evaluate("document.querySelectorAll('.radford-scorecard tbody tr').length") == 61
    assert page.evaluate("document.querySelectorAll('.radford-badge').length") == 61
    page.context.close()


class Links(HTMLParser):
    """Collects the ids, links and sources of a page."""

    def __init__(self):
        super().__init__()
        self.ids, self.links, self.sources = set(), [], []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids.update(v for k, v in found.items() if k in ("id", "name") and v)
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        elif tag in ("script", "img", "iframe") and found.get("src"):
            self.sources.append(found["src"])
        elif tag == "link" and found.get("rel") in ("stylesheet", "preload", "icon"):
            self.sources.append(found["href"])


def parse(path: pathlib.Path) -> Links:
    links = Links()
    links.feed(path.read_text(encoding="utf-8"))
    return links


def test_links_and_anchors_of_the_book_resolve_and_nothing_is_loaded_from_elsewhere(smoke_site):
    pages = {(smoke_site / f"{name}.html").resolve() for name in PAGES}
    parsed = {path: parse(path) for path in pages}
    for path, links in parsed.items():
        for source in links.sources:
            assert not re.match(r"(https?:)?//", source), f"{path.name} loads {source}"
        for link in links.links:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / urllib.parse.unquote(parts.path)).resolve()
            target = path if not parts.path else target
            assert target.exists(), f"{path.name}: {link}"
            if parts.fragment and target in parsed:
                assert parts.fragment in parsed[target].ids, f"{path.name}: {link}"
