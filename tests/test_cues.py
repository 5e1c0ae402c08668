"""Cue sheets: exact round trips, minimal and edited sheets, and one line for whatever is none."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frieren import cues
from frieren.categories import categories
from frieren.cues import Cues, Motion, SoundCue, Strike
from frieren.errors import ConfigError

times = st.floats(0, cues.MOST_SECONDS)
shares = st.floats(0, 1)
names = st.sampled_from([name for category in categories() for name in (category.name, *category.aliases)])
spans = st.tuples(times, st.none() | times).filter(lambda span: span[1] is None or span[1] > span[0])
sounds = st.builds(lambda name, span, sure: SoundCue(name, *span, sure), names, spans, shares)
strikes = st.builds(Strike, times, shares, shares)
motions = st.builds(Motion, st.floats(0.1, 1000), st.lists(shares, max_size=9).map(tuple))
sheets = st.builds(
    Cues, st.lists(sounds, max_size=4).map(tuple), st.lists(strikes, max_size=4).map(tuple), motions, st.none() | times
)


@given(sheets)
def test_what_is_written_is_read_back(sheet: Cues) -> None:
    assert cues.from_json(sheet.to_json()) == sheet
    table = json.loads(sheet.to_json())
    assert [item["name"] for item in table["sounds"]] == [sound.name for sound in sheet.sounds]


def test_the_file(tmp_path: Path) -> None:
    sheet = Cues((SoundCue("dog", 2.0, 4.0, 0.5),), (Strike(1.25, 0.5, 0.75),), Motion(25.0, (0.0, 0.125)), 8.0)
    sheet.save(tmp_path / "clip.json")
    assert json.loads((tmp_path / "clip.json").read_text()) == {
        "version": 1,
        "seconds": 8.0,
        "sounds": [{"name": "dog", "from": 2.0, "to": 4.0, "certainty": 0.5}],
        "strikes": [{"time": 1.25, "strength": 0.5, "certainty": 0.75}],
        "motion": {"rate": 25.0, "values": [0.0, 0.125]},
    }
    assert cues.read(tmp_path / "clip.json") == sheet


def test_a_sheet_written_by_hand_may_be_short() -> None:
    sheet = cues.from_json('{"sounds": [{"name": "Puppy", "from": 2, "to": 4}], "strikes": [{"time": 1.2}]}')
    assert sheet == Cues((SoundCue("Puppy", 2.0, 4.0),), (Strike(1.2),))
    assert sheet.sounds[0].category.name == "dog"
    assert cues.from_json("{}") == Cues()


def test_a_byte_order_mark_is_none_of_the_text(tmp_path: Path) -> None:
    """As editors on Windows write it."""
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"strikes": [{"time": 1}]}')
    assert cues.read(tmp_path / "a.json") == Cues(strikes=(Strike(1.0),))


def test_edits_survive(tmp_path: Path) -> None:
    path = tmp_path / "clip.json"
    Cues((SoundCue("cat"), SoundCue("rain")), (Strike(1.0), Strike(2.0)), Motion(25.0, (0.5,))).save(path)
    table = json.loads(path.read_text())
    table["sounds"][0] |= {"name": "hammer", "to": 3}
    table["strikes"] = [*table["strikes"][1:], {"time": 0.5, "strength": 0.25}]
    path.write_text(json.dumps(table))
    sheet = cues.read(path)
    sheet.save(path)
    assert cues.read(path) == sheet
    assert sheet.sounds == (SoundCue("hammer", 0.0, 3.0), SoundCue("rain"))
    assert sheet.strikes == (Strike(0.5, 0.25), Strike(2.0))  # in order of time
    assert sheet.motion == Motion(25.0, (0.5,))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "a JSON object"),
        ('{"strikes": [{"time": NaN}]}', "NaN is no number"),
        ('{"strikes": [{"time": 1e999}]}', r"strikes\[0\]: time must be 0 to .* got inf"),
        ('{"strikes": [{"time": 1' + "0" * 400 + "}]}", r"strikes\[0\]\.time"),
        ('{"strikes": [{"time": 1' + "0" * 5000 + "}]}", "is no JSON"),
        ('{"strikes": [{"time": "1"}]}', r"strikes\[0\]\.time must be a number"),
        ('{"strikes": [{"time": 1}, {}]}', r"strikes\[1\]: time is missing"),
        ('{"strikes": [{"time": 1, "strength": 1.5}]}', r"strikes\[0\]: strength must be 0 to 1"),
        ('{"sounds": [{"name": "dog", "from": 3, "to": 2}]}', r"sounds\[0\]: to must be after from"),
        ('{"sounds": [{"name": "dog", "from": 2, "to": 2}]}', r"sounds\[0\]: to must be after from"),
        ('{"sounds": [{"name": "dog", "certainty": -0.1}]}', r"sounds\[0\]: certainty must be 0 to 1"),
        ('{"motion": {"rate": 1001}}', "motion: rate must be above 0 and at most 1000"),
        ('{"motion": {"rate": 0}}', "motion: rate must be above 0"),
        ('{"sounds": [{"name": "dog", "from": "x"}]}', r"sounds\[0\]\.from must be a number"),
        ('{"sounds": [{"name": "dog", "start": 1}]}', r"sounds\[0\]: unknown key 'start'"),
        ('{"sounds": [{"name": "hamer"}]}', r"sounds\[0\]: no sound is called 'hamer'; the nearest are hammer"),
        ('{"sounds": {}}', "sounds must be a list"),
        ('{"motion": {"values": [0.5, 2]}}', "motion: values must be 0 to 1"),
        ('{"motion": {"rate": 0}}', "motion: rate must be above 0"),
        ('{"version": 2}', "version must be 1"),
        ('{"sound": []}', "unknown key 'sound'; did you mean 'sounds'"),
    ],
)
def test_hostile_sheets_get_one_line(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as raised:
        cues.from_json(text)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 600


def test_hostile_files_get_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "clip.json"
    with pytest.raises(ConfigError, match=r"clip\.json: cannot be read"):
        cues.read(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"clip\.json: is no text"):
        cues.read(path)
    path.write_text('{"sound": []}')
    with pytest.raises(ConfigError, match=r"clip\.json: unknown key"):
        cues.read(path)
    monkeypatch.setattr(cues, "MOST_BYTES", 10)
    with pytest.raises(ConfigError, match="no cue sheet"):
        cues.read(path)
    monkeypatch.setattr(cues, "MOST_CUES", 2)
    with pytest.raises(ValueError, match="at most 2"):
        Cues(strikes=(Strike(0.0),) * 3)


def test_numbers_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="time"):
        Strike(math.nan)
    with pytest.raises(ValueError, match="certainty"):
        SoundCue("dog", certainty=math.nan)


def test_sounds_on_the_command_line() -> None:
    assert cues.parse_sounds("dog@2-4") == (SoundCue("dog", 2.0, 4.0),)
    assert cues.parse_sounds("rain, church bell@5-, beagle @ -2.5") == (
        SoundCue("rain"),
        SoundCue("church bell", 5.0),
        SoundCue("beagle", 0.0, 2.5),
    )


@pytest.mark.parametrize(
    "text", ["", "dgo", "dog@4-2", "dog@a-b", "dog@4", "dog@-", "dog@nan-", "dog,,cat", "dog@1-2-3"]
)
def test_sounds_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        cues.parse_sounds(text)
    assert "\n" not in str(raised.value)
