"""The studio in a real browser, as a person uses it, with a model that is small and random."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import browser as chromium
import clips
import numpy as np
import pytest
import uvicorn
from browser import Browser
from cue_model import save_cue_model

from frieren import sounds
from frieren.apps.web.serve import listen
from frieren.cues import from_json
from frieren.openvideo import probe
from frieren.service.application import create_app
from frieren.service.settings import LOOPBACK, Settings

pytestmark = chromium.needed
SECONDS, RATE = 1.6, 16_000
AXE = os.environ.get("FRIEREN_AXE")  # axe.min.js of the npm package axe-core
TAKES = "return document.querySelectorAll('.take:not(.pending)').length"
PATIENCE = 240.0  # seconds for a take, on a machine that does much else
# Notes when and from where every sound of the page begins, and that one ends.
SPY = """
window.begun = []; window.ended = 0;
const start = AudioBufferSourceNode.prototype.start, stop = AudioBufferSourceNode.prototype.stop;
AudioBufferSourceNode.prototype.start = function (...given) { window.begun.push(given); start.apply(this, given); };
AudioBufferSourceNode.prototype.stop = function (...given) { window.ended++; stop.apply(this, given); };
"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "my clip.mp4"
    wave = 0.3 * clips.noise(SECONDS, RATE)
    clips.video(path, [index / 25 for index in range(round(SECONDS * 25))], sounds=[(wave, RATE, 0.0)])
    return path


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """The address of a service in this process."""
    listener = listen(LOOPBACK[0], 0)
    server = uvicorn.Server(uvicorn.Config(create_app(settings, {*LOOPBACK}), log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://{LOOPBACK[0]}:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    model = save_cue_model(tmp_path_factory.mktemp("model"))
    folder = tmp_path_factory.mktemp("studio")
    with serving(Settings(folder=folder, models=(str(model), "tiny"), devices=("cpu",))) as address:
        yield address


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory, url: str, clip: Path) -> Iterator[Browser]:
    """The page with a clip and its first take."""
    with chromium.browser(tmp_path_factory.mktemp("downloads")) as opened:
        opened.page.add_init_script(SPY)
        opened.go(url)
        opened.wait("return document.body.dataset.ready === ''")
        opened.page.set_input_files("#file", clip)
        takes(opened, 1)
        yield opened
        assert not opened.complaints()
        assert not [asked for asked in opened.requests if not asked.startswith((f"{url}/", "blob:"))]


def takes(window: Browser, count: int) -> None:
    """Wait until this is their number, and none is being made."""
    window.wait(f"{TAKES} === arguments[0]", count, seconds=PATIENCE)
    window.wait("return !document.querySelector('.pending')")


def save(window: Browser, button: str) -> Path:
    """The file that a button saves."""
    with window.page.expect_download(timeout=PATIENCE * 1000) as download:
        window.page.click(button)
    path = window.downloads / f"{len(list(window.downloads.iterdir()))} {download.value.suggested_filename}"
    download.value.save_as(path)
    return path


def wave(window: Browser) -> np.ndarray:
    """The sound of the take that is heard, as it is saved."""
    window.page.select_option("#format", "wav")
    return sounds.read(save(window, "#download"), RATE)


def clock(window: Browser) -> float:
    return window.run("const [m, s] = document.querySelector('#clock b').textContent.split(':'); return m * 60 + +s")


def heard(window: Browser) -> list[str]:
    return window.run("return [...document.querySelectorAll('.number[aria-pressed=true]')].map(e => e.textContent)")


def test_a_clip_is_spotted_and_the_first_take_is_the_command_lines(window: Browser, clip: Path, url: str) -> None:
    assert "my clip.mp4" in window.text() and heard(window) == ["1"]
    record = json.loads(save(window, "#record").read_text())
    assert record["command"]["seed"] == 0 and record["input"]["name"] == "my clip.mp4"
    assert record["cues"]["seconds"] == pytest.approx(SECONDS, abs=0.05)
    assert len(wave(window)) == round(record["seconds"]["sound"] * RATE)


def test_it_plays_and_takes_are_switched_without_a_gap(window: Browser) -> None:
    window.press("n")
    takes(window, 2)
    window.page.keyboard.press("Home")
    window.run("window.begun = []; window.ended = 0")
    window.press("l", " ")  # again and again, however slow this machine is
    window.wait("return document.querySelector('#clock b').textContent > '0:00.100'")
    assert window.run("return document.getElementById('play').getAttribute('aria-label')") == "Pause"
    begun = window.run("return window.begun")
    assert len(begun) == 3 and begun[0] == begun[1] == begun[2]  # two takes and the original, in step to the sample
    for key in "1", "2", "0":
        window.press(key)
        assert heard(window) == [key]
    assert window.run("return [window.begun.length, window.ended]") == [3, 0]
    window.press("2", "l", " ")
    assert window.run("return document.getElementById('play').getAttribute('aria-label')") == "Play"
    assert window.run(
        "return Math.abs(document.getElementById('video').currentTime - arguments[0]) < 0.1", clock(window)
    )


def test_arrows_step_frames(window: Browser) -> None:
    window.page.keyboard.press("Home")
    for key in ("right", "right", "right", "left"):
        window.press(key)
    assert clock(window) == pytest.approx(0.08, abs=2e-3)
    window.page.keyboard.press("Shift+ArrowRight")
    assert clock(window) == pytest.approx(1.08, abs=2e-3)


def test_a_hit_is_added_moved_and_rendered_again_with_all_else_kept(window: Browser) -> None:
    before, count = json.loads(save(window, "#record").read_text()), window.run(TAKES)
    window.page.keyboard.press("Home")
    window.page.keyboard.press("Shift+ArrowRight")
    window.press("h")  # at 1.0
    box = window.page.locator(".hit.selected").bounding_box()
    lane = window.page.locator("#hits").bounding_box()
    window.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 9)
    window.page.mouse.down()
    window.page.mouse.move(box["x"] + box["width"] / 2 - lane["width"] / 4, box["y"] + 9, steps=4)
    window.page.mouse.up()
    window.press("left")  # a frame, by the mark's own keys
    at = float(window.page.input_value("#mark-from"))
    assert at == pytest.approx(1.0 - SECONDS / 4 - 0.04, abs=0.01)
    window.press("enter")
    takes(window, count + 1)
    after = json.loads(save(window, "#record").read_text())
    added = {strike["time"] for strike in after["cues"]["strikes"]} - {s["time"] for s in before["cues"]["strikes"]}
    assert [*added] == pytest.approx([at], abs=1e-3)
    assert {**after["command"], "video": 0} == {**before["command"], "video": 0}
    assert after["cues"]["sounds"] == before["cues"]["sounds"] and after["wave_sha256"] != before["wave_sha256"]


def test_a_sound_is_named_from_the_list(window: Browser) -> None:
    count = window.run(TAKES)
    window.press("s", "hamm")
    window.wait("return document.querySelector('#choices li')?.textContent.includes('ammer')")
    window.press("enter")
    window.run("document.querySelector('#mark-to').focus()")
    window.press("enter")
    takes(window, count + 1)
    sheet = from_json(json.dumps(json.loads(save(window, "#record").read_text())["cues"]))
    assert "hammer" in {cue.category.name for cue in sheet.sounds}


def test_a_region_is_redone_and_the_rest_stays_sample_by_sample(window: Browser) -> None:
    before, count = wave(window), window.run(TAKES)
    window.run("document.activeElement.blur()")
    window.page.keyboard.press("Home")
    for _ in range(10):
        window.press("right")
    window.press("i")  # 0.4
    for _ in range(20):
        window.press("right")
    window.press("o", "r")  # to 1.2
    takes(window, count + 1)
    after, record = wave(window), json.loads(save(window, "#record").read_text())
    (stretch,) = record["redo"]
    assert stretch["from"] == pytest.approx(0.4, abs=2e-3) and stretch["to"] == pytest.approx(1.2, abs=2e-3)
    changed = np.flatnonzero(before != after) / RATE
    assert len(before) == len(after) and 0.39 < changed[0] < 0.45 and 1.15 < changed[-1] < 1.21
    window.page.keyboard.press("Escape")
    assert window.page.locator("#region").is_hidden()


def test_the_video_is_saved_with_the_levels_that_are_heard(window: Browser, clip: Path) -> None:
    window.page.select_option("#format", "mp4")
    plain = save(window, "#download")
    window.page.locator("#old-level").fill("-6")
    window.page.locator("#new-level").fill("-3")
    mixed = save(window, "#download")
    window.page.locator("#old-level").fill("-31")
    window.page.locator("#new-level").fill("0")
    assert clips.packets(plain) == clips.packets(mixed) == clips.packets(clip) and probe(plain).has_audio
    original, new, both = (sounds.read(path, RATE) for path in (clip, plain, mixed))
    length = min(map(len, (original, new, both)))
    found = np.linalg.lstsq(np.stack([original[:length], new[:length]], 1), both[:length], rcond=None)[0]
    assert 20 * np.log10(found) == pytest.approx([-6, -3], abs=0.5)


def test_all_of_it_can_be_undone_and_done_again(window: Browser) -> None:
    count = window.run(TAKES)
    window.press("h")
    window.page.keyboard.press("Control+z")
    window.page.keyboard.press("Control+z")
    assert window.run(TAKES) == count - 1
    window.page.keyboard.press("Control+Shift+Z")
    assert window.run(TAKES) == count


def test_settings_are_taken_from_a_take(window: Browser) -> None:
    window.page.fill("#seed", "77")
    window.page.locator(".take").first.hover()
    window.page.locator(".take").first.get_by_text("Use").click()
    assert window.page.input_value("#seed") == "0"


def test_a_render_is_cancelled_in_its_midst(window: Browser) -> None:
    count = window.run(TAKES)
    window.page.fill("#steps", "1000")
    window.page.click("#render")
    window.wait("return document.querySelector('.pending .stage')?.textContent === 'Sampling'", seconds=PATIENCE)
    window.page.keyboard.press("Escape")
    window.wait("return !document.querySelector('.pending')")
    window.page.fill("#steps", "")
    assert window.run(TAKES) == count and "Cancelled" in window.text()


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_overflows_and_fingers_find_the_controls(window: Browser, width: int) -> None:
    window.resize(width, 844, phone=width < 600)
    try:
        assert window.run("return document.documentElement.scrollWidth") <= width
        small = """return [...document.querySelectorAll('button')].filter(e => e.offsetParent && e.offsetHeight < 22)
            .map(e => e.id || e.className)"""
        assert window.run(small) == []
    finally:
        window.resize(1200, 900)


@pytest.mark.skipif(not AXE, reason="FRIEREN_AXE does not name axe.min.js; `.ci/run` fetches it")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(window: Browser, scheme: Any) -> None:
    """Of the page with marks, a selected one and a region; and of the keys."""
    window.page.emulate_media(color_scheme=scheme)
    window.press("i")
    window.page.locator(".hit, .sound").first.focus()
    window.page.evaluate(Path(str(AXE)).read_text(encoding="utf-8"))
    check: Callable[[], list[Any]] = lambda: window.page.evaluate(  # noqa: E731
        "async () => (await axe.run()).violations.filter(v => ['serious', 'critical'].includes(v.impact))"
        ".map(v => [v.id, v.nodes.map(n => n.html)])"
    )
    assert check() == []
    window.run("document.activeElement.blur(); document.getElementById('help').click()")
    assert check() == []
    window.page.keyboard.press("Escape")


def test_the_page_asks_for_the_token_of_a_service_that_has_one(window: Browser, tmp_path: Path) -> None:
    token = "a token of some length"
    page = window.page.context.browser.new_page()
    with serving(Settings(folder=tmp_path, models=("tiny",), devices=("cpu",), token=token)) as url:
        opened = Browser(page, tmp_path)
        opened.go(url)
        opened.wait("return document.getElementById('token').open")
        opened.press(token, "enter")
        opened.wait("return document.body.dataset.ready === ''")
        page.close()
