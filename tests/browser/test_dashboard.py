"""The dashboard as a person uses it, in a real browser against the real server."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import hardneg
import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver

from conftest import Server, look, pictures, until


def text(browser: WebDriver, element: str = "main") -> str:
    """What a person reads there now; '' while the page changes under it."""
    script = "return document.getElementById(arguments[0])?.innerText ?? ''"
    return str(browser.execute_script(script, element))


def status(browser: WebDriver) -> str:
    """The line that says whether the page is live."""
    return text(browser, "status")


def fill(client: hardneg.Client, name: str, n: int = 3000) -> hardneg.Pool:
    """A pool with n samples whose last is the hardest, mined once."""
    pool = client.create_pool(name, capacity=1000, half_life=60.0)
    pool.report(np.arange(n), np.linspace(0.1, 1, n), model_version=1)
    pool.mine(100)
    return pool


@contextmanager
def training(pool: hardneg.Pool) -> Iterator[None]:
    """Three workers and a trainer at work, one of the workers silent after a while, 20 samples mislabelled."""
    stop = threading.Event()
    begun = time.monotonic()

    def version() -> int:
        return 1 + int((time.monotonic() - begun) / 5)

    def work(rank: int) -> None:
        rng = np.random.default_rng(rank)
        difficulty = np.random.default_rng(99).exponential(size=200_000)
        with pool.score_stream(worker_id=f"rank-{rank}") as stream:
            while not stop.wait(0.02):
                ids = rng.integers(0, 200_000, 1024)
                losses = difficulty[ids] * rng.gamma(4, 0.25, 1024) * np.exp(-version() / 15)
                ids[:2], losses[:2] = rng.integers(0, 20, 2), 9 + rng.random(2)
                stream.report(ids, losses, model_version=version() - (rank == 2))

    def train() -> None:
        while not stop.wait(0.03):
            pool.mine(256)

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(3)] + [threading.Thread(target=train)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_an_empty_server_explains_itself_and_shows_the_first_pool_by_itself(
    browser: WebDriver, server: Server, client: hardneg.Client
) -> None:
    """The empty state, and its end."""
    browser.get(server.url)
    until(lambda: status(browser) == "Live", "the page is live")
    assert "No pool yet" in text(browser)
    assert "hardneg pool create" in text(browser)
    fill(client, "faces")
    until(lambda: "Scores reported per second" in text(browser), "the page shows the new pool")
    assert browser.title == "faces · hardneg"
    assert browser.find_elements(By.CSS_SELECTOR, "nav a[aria-current=page]")[0].text.startswith("faces")


def test_figures_move_without_loading_anew(browser: WebDriver, server: Server, client: hardneg.Client) -> None:
    """A live update is seen, in the table and in the drawings."""
    pool = fill(client, "faces")
    browser.get(server.url)
    until(lambda: status(browser) == "Live", "the page is live")
    browser.execute_script("window.mark = 'the same page'")
    assert "123456" not in text(browser, "hardest")
    before = browser.execute_script("return document.getElementById('reports').innerHTML")
    pool.report([123456], [50.0], model_version=2)
    until(lambda: "123456" in text(browser, "hardest"), "the new hardest sample")
    until(lambda: "Version 2" in text(browser, "versions"), "its version")
    until(
        lambda: browser.execute_script("return document.getElementById('reports').innerHTML") != before,
        "the drawing moves",
    )
    assert browser.execute_script("return window.mark") == "the same page"
    figures = browser.find_elements(By.CSS_SELECTOR, "figure")
    assert len(figures) == 10
    for figure in figures:
        caption = figure.find_element(By.TAG_NAME, "figcaption").text
        assert caption.startswith("Healthy: ")
        assert caption.endswith(".")
    # The page is made of what it was served with.
    requests = browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert requests
    assert all(url.startswith(server.url) for url in requests), requests
    assert browser.get_log("browser") == []


def test_a_diverged_loss_stands_out(browser: WebDriver, server: Server, client: hardneg.Client) -> None:
    """Scores that are not finite are dropped, and seen."""
    pool = fill(client, "faces")
    browser.get(server.url)
    until(lambda: "Not finite\n0" in text(browser, "kpis"), "none yet")
    assert browser.find_elements(By.CSS_SELECTOR, "#kpis .late") == []
    pool.report(np.arange(10), np.full(10, np.nan))
    until(lambda: "Not finite\n10" in text(browser, "kpis"), "ten of them")
    (card,) = browser.find_elements(By.CSS_SELECTOR, "#kpis .late")
    assert card.text.startswith("Not finite")


def test_pools_are_switched_by_keyboard(browser: WebDriver, server: Server, client: hardneg.Client) -> None:
    """Tab to the skip link, then to the second pool; Enter."""
    fill(client, "faces")
    fill(client, "words", 500)
    browser.get(server.url)
    until(lambda: status(browser) == "Live", "the page is live")
    keys = ActionChains(browser)
    keys.send_keys(Keys.TAB).perform()
    assert browser.switch_to.active_element.text == "Skip to the figures"
    ActionChains(browser).send_keys(Keys.TAB, Keys.TAB).perform()
    assert browser.switch_to.active_element.text.startswith("words")
    # An update keeps the focus where it is.
    hard = client.pool("words").report(np.arange(600, 900), np.ones(300))
    assert hard is not None
    until(lambda: "800" in text(browser, "pools"), "the list is updated")
    assert browser.switch_to.active_element.text.startswith("words")
    ActionChains(browser).send_keys(Keys.ENTER).perform()
    until(lambda: browser.title == "words · hardneg", "the other pool")
    assert browser.current_url.endswith("/?pool=words")
    until(lambda: "800" in text(browser, "kpis"), "its figures")


def test_a_deleted_pool_is_said_and_comes_back(browser: WebDriver, server: Server, client: hardneg.Client) -> None:
    """The page of a pool that goes."""
    fill(client, "faces")
    browser.get(f"{server.url}/?pool=faces")
    until(lambda: status(browser) == "Live", "the page is live")
    client.pool("faces").delete()
    until(lambda: "There is no pool faces" in text(browser), "it says that the pool has gone")
    fill(client, "faces")
    until(lambda: "Scores reported per second" in text(browser), "it shows the pool again")


def test_a_server_that_goes_is_said_and_found_again(browser: WebDriver, server: Server, client: hardneg.Client) -> None:
    """Figures stay, marked as old, until the server is back."""
    fill(client, "faces")
    browser.get(server.url)
    until(lambda: status(browser) == "Live", "the page is live")
    server.stop()
    until(lambda: status(browser).startswith("Server away since"), "the page says that the server is away")
    assert "2999" in text(browser, "hardest"), "the last figures stay"
    opacity = browser.execute_script("return getComputedStyle(document.querySelector('main')).opacity")
    assert float(opacity) < 1
    server.start()
    with hardneg.Client(server.target) as again:
        until(lambda: "There is no pool faces" in text(browser) or "No pool yet" in text(browser), "it is back")
        fill(again, "faces")
        until(lambda: "Scores reported per second" in text(browser), "its pool is back")
        until(lambda: status(browser) == "Live", "the page is live again")


def _contrast(browser: WebDriver, front: str, back: str) -> float:
    """WCAG's contrast ratio of two of the page's colours, 1 to 21."""
    script = "return getComputedStyle(document.documentElement).getPropertyValue(arguments[0]).trim()"

    def luminance(name: str) -> float:
        colour = browser.execute_script(script, name).lstrip("#")
        channels = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(front), luminance(back)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(
    ("name", "width", "height", "dark"),
    [
        ("light", 1280, 900, False),
        ("dark", 1280, 900, True),
        ("phone", 390, 844, False),
        ("phone-dark", 390, 844, True),
    ],
)
def test_it_is_readable_in_both_themes_and_on_a_phone(
    browser: WebDriver, server: Server, client: hardneg.Client, name: str, width: int, height: int, dark: bool
) -> None:
    """Nothing sticks out, text stands out; a picture is kept for people to look at."""
    pool = client.create_pool("faces", capacity=50_000)
    client.create_pool("retrieval", capacity=1000)
    with training(pool):
        time.sleep(20 if name in ("light", "phone") else 6)
        look(browser, width=width, height=height, dark=dark)
        browser.get(f"{server.url}/?pool=faces")
        until(lambda: status(browser) == "Live", "the page is live")
        until(lambda: "rank-2" in text(browser, "workers"), "the workers")
        overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert browser.execute_script(overflow) == 0
        for front in ("--ink", "--dim", "--accent"):
            assert _contrast(browser, front, "--card") >= 4.5, front
        # Lines need less than text (WCAG 1.4.11).
        for front in ("--stored", "--served", "--third", "--fourth"):
            assert _contrast(browser, front, "--card") >= 3, front
        assert browser.execute_script("return matchMedia('(prefers-color-scheme: dark)').matches") is dark
        shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": width > 600})
        (pictures() / f"dashboard-{name}.png").write_bytes(base64.b64decode(shot["data"]))
