"""A page in a real browser (headless Chromium): what it draws, asks the network for, and how it reads to everybody.

Costs some 20 s of processor time: one page, opened in three ways.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import edgebench
from tests.needed import need
from tests.reporting.sample_results import HOSTILE, everything

need("altair", "vl_convert", "playwright", "axe_core_python")

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("no chromium is installed; try: apt install chromium", allow_module_level=True)
#: What is looked at: name, colours, width in pixels.
VIEWS = {"light": ("light", 1200), "dark": ("dark", 1200), "phone": ("light", 375)}
_PATIENTLY_MS = 120_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        made = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])  # as root there is no other way
        yield made
        made.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    edgebench.report(*everything(), out=path, command="edgebench report")  # type: ignore[arg-type]
    return path


def opened(browser: Browser, file: Path, view: str, said: list[str], **context: Any) -> Page:
    """Open the page; `said` gets the errors of the console and what is asked of the network."""
    colours, width = VIEWS[view]
    page = browser.new_context(
        color_scheme=colours,  # type: ignore[arg-type]
        viewport={"width": width, "height": 900},
        **context,
    ).new_page()
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("request", lambda request: said.append(request.url) if request.url != file.as_uri() else None)
    page.on("dialog", lambda dialog: (said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.goto(file.as_uri())
    return page


@pytest.mark.parametrize("view", VIEWS)
def test_a_page_draws_everything_and_is_silent(browser: Browser, file: Path, view: str) -> None:
    said: list[str] = []
    page = opened(browser, file, view, said)
    page.wait_for_selector("html[data-state=drawn]", timeout=_PATIENTLY_MS)
    assert said == []
    plots = page.evaluate(
        "[...document.querySelectorAll('.plot')].map(plot => ({"
        "state: plot.dataset.state, name: plot.getAttribute('aria-label'),"
        "marks: plot.querySelectorAll('.role-mark path, .role-mark rect, .role-mark line, .role-mark text').length}))"
    )
    assert len(plots) > 20
    assert [plot for plot in plots if plot["state"] != "drawn" or plot["marks"] == 0 or not plot["name"]] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if view == "dark":
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 29)"
    page.context.close()


@pytest.mark.long
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing_serious(browser: Browser, file: Path, view: str) -> None:
    from axe_core_python.sync_playwright import Axe

    page = opened(browser, file, view, [], bypass_csp=True)  # axe itself is a script that the page does not allow
    page.wait_for_selector("html[data-state=drawn]", timeout=_PATIENTLY_MS)
    found = Axe().run(page)["violations"]
    serious = [
        (each["id"], each["nodes"][0]["html"][:200]) for each in found if each["impact"] in ("serious", "critical")
    ]
    assert serious == []
    page.context.close()


def test_without_scripts_the_answer_and_the_tables_are_there(browser: Browser, file: Path) -> None:
    page = opened(browser, file, "phone", [], java_script_enabled=False)
    text = page.inner_text("main")
    assert text.startswith("NOT VALID: 1 of 6 measurements")
    assert "The plots need scripts" in text
    assert "failed: slower in two sessions" in text
    assert HOSTILE in text
    assert page.locator("table").count() > 8
    page.context.close()


def test_a_click_in_a_legend_shows_one_series_alone(browser: Browser, file: Path) -> None:
    page = opened(browser, file, "light", [])
    page.wait_for_selector("html[data-state=drawn]", timeout=_PATIENTLY_MS)
    plot = page.locator(".plot[aria-label^='Latency distribution'][aria-label*='xnli-english']").first
    lines = plot.locator(".mark-line path")
    assert lines.count() == 2
    plot.locator(".role-legend-entry text").first.click()
    page.wait_for_function(
        "plot => [...plot.querySelectorAll('.mark-line path')].some(line => line.getAttribute('opacity') < 0.2)",
        arg=plot.element_handle(),
        timeout=_PATIENTLY_MS,
    )
    page.context.close()
