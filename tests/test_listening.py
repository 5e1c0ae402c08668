"""The listening test: what is in the folder and what must not be, and the page itself in a real browser."""

import functools
import http.server
import json
import threading
import time
from pathlib import Path

import browser as chromium
import clips
import numpy as np
import pytest

from frieren import loudness, sounds
from frieren.errors import OutputError, VideoError
from frieren.evaluation.listening import page as listening
from frieren.evaluation.listening.mos import ANSWERS_FORMAT, LOW, TRUE, mos, read_answers
from frieren.evaluation.listening.page import RATE, ListeningError, level_sound, levelled, low_anchors, make

SECONDS = 0.9  # of a sound in these tests; a rater has to hear each to its end


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """Four videos with sound, and two systems: one softer and shorter, one louder and at another rate."""
    root = tmp_path_factory.mktemp("material")
    for name in ("videos", "alpha", "beta"):
        (root / name).mkdir()
    for number in range(4):
        wave = clips.noise(SECONDS, 16_000, seed=number)
        times = [frame / 10 for frame in range(9)]
        clips.video(root / "videos" / f"clip{number}.mp4", times, sounds=[(wave, 16_000, 0.0)])
        sounds.write(root / "alpha" / f"clip{number}.wav", 0.1 * wave[:-800], 16_000)
        sounds.write(root / "beta" / f"clip{number}.flac", np.repeat(wave[::-1], 2), 32_000)
    return root


def systems(root):
    return {"alpha": root / "alpha", "beta": root / "beta"}


@pytest.fixture(scope="module")
def made(material, tmp_path_factory):
    """Two items of the four: 2 x 2 x (alpha, beta, true sound) and a low anchor under each question at one."""
    out = tmp_path_factory.mktemp("test") / "page"
    videos = material / "videos"
    return make(out, systems(material), videos, references=videos, items=2, anchors=1, title="Foley & <friends>")


def key_of(study):
    return json.loads(study.key.read_text())


def study_of(study):
    text = (study.page.parent / "study.js").read_text()
    return json.loads(text.removeprefix("window.STUDY = ").removesuffix(";\n"))


def test_the_key_knows_every_file_of_the_page(made):
    trials = key_of(made)["trials"]
    media = {path.name for path in (made.page.parent / "media").iterdir()}
    assert set(trials) == media - {"level.flac"} and made.trials == len(trials) == 14
    given = {file: name for item in study_of(made)["items"] for name, files in item.items() for file in files}
    assert given == {file: told["question"] for file, told in trials.items()}
    for question in ("quality", "alignment"):
        counts = [told["system"] for told in trials.values() if told["question"] == question]
        assert {name: counts.count(name) for name in set(counts)} == {"alpha": 2, "beta": 2, TRUE: 2, LOW: 1}


def test_the_page_knows_no_system_and_no_item(made):
    """Neither in names nor inside the files, as bytes; and the key is not in the folder."""
    words = [b"alpha", b"beta", b"clip0", b"clip1", b"clip2", b"clip3", b"true sound", b"low anchor", b"frieren"]
    for path in made.page.parent.rglob("*"):
        if path.is_file() and path.name not in ("index.html", "page.css", "page.js"):
            assert not [word for word in words if word in path.read_bytes()], path.name
    assert made.key.parent == made.page.parent.parent and made.key.name == "page.key.json"


def test_neither_level_nor_length_nor_rate_gives_a_system_away(made):
    """Measured on the files as they are played; AAC rings a little."""
    folder = made.page.parent / "media"
    lengths, levels = {}, {}
    for file, told in key_of(made)["trials"].items():
        found = sounds.decode(folder / file)
        assert found.rate == RATE and len(found.samples) == 1
        place = told["item"], told["question"]
        lengths.setdefault(place, []).append(found.samples.shape[1])
        levels.setdefault(place, []).append(loudness.integrated(found.samples[0], RATE))
    for place, found in levels.items():
        assert np.ptp(found) < 0.3, (place, found)
        assert np.ptp(lengths[place]) == 0
    assert max(map(np.max, levels.values())) < listening.LOUDNESS + 0.3


def test_mos_a_shows_the_videos_own_picture(made, material):
    for file, told in key_of(made)["trials"].items():
        if told["question"] == "alignment":
            source = clips.packets(material / "videos" / f"{told['item']}.mp4")
            assert [data for data, _ in clips.packets(made.page.parent / "media" / file)] == [
                data for data, _ in source
            ]


def test_the_draw_follows_the_seed_and_names_do_not(material, tmp_path):
    wish = {"questions": ["quality"], "items": 3}
    one, two = (make(tmp_path / name, systems(material), material / "videos", **wish) for name in "ab")
    assert one.items == two.items and len(set(one.items)) == 3
    assert not set(key_of(one)["trials"]) & set(key_of(two)["trials"])
    other = [listening.draw({str(n): None for n in range(9)}, {}, 3, seed) for seed in range(4)]
    assert len({tuple(names) for names in other}) > 1


def test_a_peak_lowers_the_whole_item_and_silence_stays_silence():
    noise = clips.noise(2.0, RATE)
    click = 1e-3 * noise
    click[RATE] = 1.0
    waves, level = levelled({"a": noise, "b": click, "c": np.zeros_like(noise)}, -23.0)
    assert level < -24
    assert loudness.integrated(waves["a"], RATE) == pytest.approx(level, abs=0.1)
    assert loudness.true_peak(waves["b"], RATE) <= -0.99
    assert not waves["c"].any()


def test_the_low_anchors_are_what_they_say():
    rng = np.random.default_rng(0)
    true, other = clips.noise(1.0, RATE, 1), clips.noise(0.7, RATE, 2)
    low = low_anchors(true, other, rng)
    power = np.abs(np.fft.rfft(low["quality"])) ** 2
    frequency = np.fft.rfftfreq(RATE, 1 / RATE)
    assert power[frequency > 3600].sum() < 1e-9 * power.sum()
    kept = np.fft.irfft(np.where(frequency <= 3500, np.fft.rfft(true), 0), RATE)
    noise = low["quality"] - kept  # white, so that the low-pass keeps 3500 / 24000 of it
    wanted = 10 * np.log10(np.sum(true**2) / np.sum(noise**2) * 3500 / 24_000)
    assert wanted == pytest.approx(10, abs=0.5)
    assert clips.lag(low["alignment"], other) % RATE == RATE // 2  # half its length late
    assert len(low["alignment"]) == RATE


def test_the_level_sound_has_the_level():
    assert loudness.integrated(level_sound(-23.0), RATE) == pytest.approx(-23, abs=0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"systems": {}}, "systems none"),
        ({"systems": {TRUE: "x"}}, "true sound"),
        ({"questions": ["taste"]}, "taste"),
        ({"items": 5}, "5 items wanted, 4 names in common"),
        ({"items": 0}, "0 items"),
        ({"items": 2, "per_rater": 3}, "3 per rater"),
        ({"videos": "nowhere"}, "nowhere: not a folder"),
    ],
)
def test_wishes_that_cannot_be_fulfilled_are_refused_and_leave_nothing(material, tmp_path, change, message):
    wish = {"systems": systems(material), "videos": material / "videos"} | change
    with pytest.raises(ListeningError, match=message):
        make(tmp_path / "out", **wish)
    assert not list(tmp_path.iterdir())


def test_an_old_study_is_not_overwritten_and_an_unreadable_sound_leaves_nothing(material, tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "index.html").touch()
    with pytest.raises(OutputError, match="is there already"):
        make(tmp_path / "old", systems(material), material / "videos", items=1)
    (tmp_path / "kept.key.json").touch()
    with pytest.raises(OutputError, match="answers to its study need it"):
        make(tmp_path / "kept", systems(material), material / "videos", items=1)
    (tmp_path / "gamma").mkdir()
    for number in range(4):
        (tmp_path / "gamma" / f"clip{number}.wav").write_bytes(b"no sound")
    with pytest.raises(VideoError, match=r"gamma/clip\d\.wav"):
        make(tmp_path / "out", {"gamma": tmp_path / "gamma"}, material / "videos", items=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gamma", "kept.key.json", "old"]


def test_two_files_of_one_name_are_an_error(tmp_path):
    for suffix in (".wav", ".flac"):
        (tmp_path / f"a{suffix}").touch()
    with pytest.raises(ListeningError, match=r"a\.wav: a\.flac has the same name"):
        listening.shelf(tmp_path)


def command(*words, code=0):
    """Run the command line and leave with `code`."""
    from frieren.apps.cli import main

    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    assert end.value.code == code


@pytest.mark.parametrize("verb", ["listening", "--listening"])
def test_the_command_line_makes_the_same_and_reads_the_answers(material, tmp_path, capsys, verb):
    pytest.importorskip("scipy")
    names = [f"{name}={folder}" for name, folder in systems(material).items()]
    wish = ["--videos", material / "videos", "--items", 2, "--question", "quality", "--references", material / "videos"]
    command("evaluate", verb, tmp_path / "page", *names, *wish)
    assert "8 sounds of 2 videos" in capsys.readouterr().out
    key = json.loads((tmp_path / "page.key.json").read_text())
    scores = {"alpha": 2, "beta": 4, TRUE: 5, LOW: 1}
    answers = {file: {"score": scores[told["system"]]} for file, told in key["trials"].items()}
    body = {"format": ANSWERS_FORMAT, "study": key["study"], "rater": "ann", "order": list(answers), "answers": answers}
    (tmp_path / "ann.json").write_text(json.dumps(body))
    command("evaluate", verb.replace("listening", "mos"), tmp_path / "ann.json", "--key", tmp_path / "page.key.json",
            "--out", tmp_path / "scores")  # fmt: skip
    assert "| beta | 4.00 |" in capsys.readouterr().out
    saved = json.loads((tmp_path / "scores" / "mos.json").read_text())
    assert {row["system"]: row["mean"] for row in saved["rows"]} == scores


def test_the_command_line_refuses_a_system_without_a_folder(tmp_path, capsys):
    command("evaluate", "--listening", tmp_path / "page", "mini", "--videos", tmp_path, code=2)
    assert "NAME=FOLDER" in capsys.readouterr().err


def test_scores_stays_an_option_of_the_main_command(tmp_path, capsys):
    """`--scores fd` is not the command `scores` written as a flag."""
    pytest.importorskip("scipy")
    command("evaluate", tmp_path, tmp_path, "--scores", "fd", code=1)
    assert "unexpected extra argument" not in capsys.readouterr().err


def test_the_flags_have_the_defaults_of_the_keywords():
    import inspect

    from frieren.apps.listening import listening as flags

    ours, theirs = (inspect.signature(one).parameters for one in (flags, make))
    for flag, keyword in {"loudness": "target"}.items() | {(n, n) for n in ours if n in theirs}:
        assert ours[flag].default == theirs[keyword].default, flag


# ---- in the browser --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    if lacking := chromium.missing():
        pytest.skip(lacking)
    with chromium.browser(tmp_path_factory.mktemp("downloads")) as opened:
        yield opened


def status(window):
    return window.run("return document.getElementById('status').textContent")


def says(window, text):
    """Wait until the status line says so."""
    window.wait("return document.getElementById('status').textContent.includes(arguments[0])", text)


def trial(window):
    """The file that is on stage; None between the trials."""
    return window.run("return document.querySelector('#screen > *')?.src.split('/').pop()")


def where(window):
    return window.run("return document.getElementById('where').textContent")


def hear(window):
    """Play by the space bar and wait for the call for a score."""
    window.press(" ")
    says(window, "Your score, please.")


def enter(window, url, rater):
    window.go(url)
    window.run("localStorage.clear()")
    window.go(url)
    window.wait("return document.activeElement.id === 'rater'")
    window.press(rater, "enter")
    window.wait("return !document.getElementById('intro').hidden")


def saved(window, rater, seconds=20):
    """The file that the browser has downloaded."""
    until = time.monotonic() + seconds
    while not (found := list(window.downloads.glob(f"answers_*_{rater}.json"))):
        assert time.monotonic() < until, "nothing was saved"
        window.page.wait_for_timeout(50)  # unlike time.sleep it lets the browser tell of its download
    return found[0]


def test_a_rater_answers_everything_by_keyboard(window, made):
    """From the disk. Scores by system, so that what comes out at the other end is known."""
    told = key_of(made)["trials"]
    opinion = {"alpha": 2, "beta": 4, TRUE: 5, LOW: 1}
    enter(window, made.page.as_uri(), "ann-1")
    assert "Part 1 of 2" in window.text() and "Foley & <friends>" in window.text()
    heard = []
    for question in ("quality", "alignment"):
        window.press("right")
        for _ in range(7):
            file = trial(window)
            assert told[file]["question"] == question
            window.press("5")
            assert "listen to the end" in status(window)
            window.press("right")
            assert trial(window) == file, "a sound was skipped"
            hear(window)
            window.press("right")
            assert trial(window) == file, "a score was skipped"
            window.press(str(opinion[told[file]["system"]]), "enter")
            heard.append(file)
    assert where(window) == "ann-1 · 14 of 14 rated" and "Thank you" in window.text()
    window.press("enter")
    path = saved(window, "ann-1")
    body = json.loads(path.read_text())
    assert body["complete"] and body["order"] == heard and sorted(heard) == sorted(told)
    assert all(answer["plays"] == 1 and answer["seconds"] > 0.5 for answer in body["answers"].values())
    report = mos(read_answers([path], made.key))
    assert {(row.question, row.system): row.mean for row in report.rows} == {
        (question, system): score for question in ("quality", "alignment") for system, score in opinion.items()
    }
    assert [(one.above, one.pairs) for one in report.screens] == [(1, 1), (1, 1)] and not report.incomplete
    assert not window.complaints()


def test_a_reload_goes_on_and_a_score_can_be_changed(window, made):
    enter(window, made.page.as_uri(), "bob")
    window.press("right")
    hear(window)
    window.press("2")
    first = trial(window)
    window.press("right")
    second = trial(window)
    window.go(made.page.as_uri())
    window.wait("return !document.getElementById('trial').hidden")
    assert trial(window) == second and where(window) == "bob · 1 of 14 rated"
    window.press("left")
    assert trial(window) == first
    window.press("3")  # was heard before the reload
    window.run("document.getElementById('save-now').click()")
    body = json.loads(saved(window, "bob").read_text())
    assert body["answers"][first]["score"] == 3 and len(body["answers"]) == 1 and not body["complete"]


def test_each_rater_has_an_order_and_keeps_it(window, made):
    def order(rater):
        enter(window, made.page.as_uri(), rater)
        return window.run(
            "return JSON.parse(localStorage['frieren-listening/' + STUDY.study + '/' + arguments[0]]).order", rater
        )

    told = key_of(made)["trials"]
    orders = [order(name) for name in ("c1", "c2", "c3", "c1")]
    assert orders[0] == orders[3] and len({tuple(one) for one in orders}) == 3
    for one in orders:
        assert [told[file]["question"] for file in one] == ["quality"] * 7 + ["alignment"] * 7
        repeats = sum(told[a]["item"] == told[b]["item"] for a, b in zip(one[:7], one[1:7], strict=False))
        assert repeats <= 4


def test_leaping_to_the_end_is_not_listening(window, made):
    enter(window, made.page.as_uri(), "dora")
    window.press("right")
    window.wait("return document.querySelector('#screen > *').duration > 0")
    window.run("document.querySelector('#screen > *').currentTime = 0.8")
    window.press(" ")
    window.wait("return document.querySelector('#screen > *').ended")
    window.press("4")
    assert "listen to the end" in status(window) and where(window).startswith("dora · 0")
    hear(window)
    window.press("4")
    assert where(window).startswith("dora · 1")


def test_it_can_be_used_with_tab_and_says_what_it_is(window, made):
    """Every control has a name and a visible focus; Space and Enter belong to the control that has the focus."""
    enter(window, made.page.as_uri(), "eve")
    window.press("right")
    hear(window)
    names = []
    for _ in range(10):
        window.press("tab")
        names.append(window.run("return document.activeElement.innerText.replace(/\\s+/g, ' ').trim()"))
        style = (
            "const style = getComputedStyle(document.activeElement); return [style.outlineStyle, style.outlineWidth]"
        )
        assert window.run(style) == ["solid", "3px"], names[-1]
    assert names[0] == "Play again" and [name[0] for name in names[1:6]] == list("12345")
    window.run("document.querySelectorAll('#scores button')[3].focus()")
    window.press(" ")
    pressed = "return [...document.querySelectorAll('#scores button')].map(b => b.getAttribute('aria-pressed'))"
    assert window.run(pressed) == ["false", "false", "false", "true", "false"]
    roles = window.devtools("Accessibility.getFullAXTree")["nodes"]
    unnamed = [
        node for node in roles
        if node.get("role", {}).get("value") in ("button", "group", "progressbar", "textbox")
        and not node.get("ignored") and not node.get("name", {}).get("value")
    ]  # fmt: skip
    assert not unnamed


@pytest.mark.parametrize("width", [320, 390, 1100])
def test_nothing_sticks_out_at_any_width(window, made, width):
    window.resize(width, 800, phone=width < 600)
    try:
        enter(window, made.page.as_uri(), "fay")
        for key in ("", "right"):
            window.press(key)
            assert window.run("return document.documentElement.scrollWidth") <= width
        heights = "return [...document.querySelectorAll('#trial button')].map(button => button.offsetHeight)"
        assert min(window.run(heights)) >= 44  # room for a finger
    finally:
        window.resize(1100, 900)


def test_it_works_from_a_server_and_asks_nobody_else(window, material, tmp_path):
    """A part of the items for each rater, and only this server is asked."""
    study = make(tmp_path / "page", systems(material), material / "videos", questions=["quality"], items=4, per_rater=1)
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

    handler = functools.partial(Handler, directory=study.page.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        enter(window, f"http://127.0.0.1:{server.server_port}/?rater=", "gil")
        for score in "35":
            window.press("right")
            hear(window)
            window.press(score)
        window.press("right", "enter")
        body = json.loads(saved(window, "gil").read_text())
        external = (
            "return performance.getEntriesByType('resource').filter(e => !e.name.startsWith(location.origin)).length"
        )
        assert window.run(external) == 0
        server.shutdown()
    assert body["complete"] and len(body["order"]) == 2
    told = key_of(study)["trials"]
    assert len({told[file]["item"] for file in body["order"]}) == 1
    assert any(path.startswith("/media/") for path in asked)


def test_a_file_that_cannot_be_played_holds_nobody_up(window, material, tmp_path):
    study = make(tmp_path / "page", systems(material), material / "videos", questions=["quality"], items=1)
    for path in (study.page.parent / "media").iterdir():
        path.write_bytes(b"damaged")
    enter(window, study.page.as_uri(), "hal")
    for _ in range(2):
        window.press("right")
        says(window, "cannot play")
    window.press("right")
    assert "Nearly done" in window.text()


def test_the_folder_has_no_address_of_another_place():
    """Offline means offline: no CDN, no font from elsewhere, nothing that sends."""
    folder = Path(listening.__file__).parents[2] / "assets" / "listening"
    assert sorted(path.name for path in folder.iterdir()) == sorted(listening.PARTS)
    for path in folder.iterdir():
        text = path.read_text()
        found = [word for word in ("http", "@import", "url(", "fetch(", "XMLHttp", "sendBeacon") if word in text]
        assert not found, path.name


def test_sounds_are_named_as_generate_names_them(tmp_path):
    pictures = {"x": tmp_path / "x.mp4", "y_2": tmp_path / "y_2.mp4"}
    stems = ("x_frieren", "y_2_frieren_seed0", "x_frieren_seed1", "z")
    found = listening.named_like(pictures, {stem: tmp_path / f"{stem}.wav" for stem in stems})
    assert {name: path.stem for name, path in found.items()} == {"x": "x_frieren", "y_2": "y_2_frieren_seed0"}
