"""A listening test as a folder: a web page that works from the disk and from any server, without a network.

frieren evaluate --listening study mini=out/mini base=out/base --videos clips/ --references clips/

MOS-Q plays the sound alone, so that the picture cannot excuse it; MOS-A plays it with its video. Within an item all
sounds have one length, one rate and one loudness, so that none of these gives a system away. With references there are
two hidden anchors: the true sound, and a low one that nobody should like. The key that names the systems is written
beside the folder, never into it.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from frieren import loudness, remux, sounds, video
from frieren.errors import FrierenError, OutputError
from frieren.evaluation.listening.mos import CODES, KEY_FORMAT, LOW, TRUE
from frieren.evaluation.protocol import readings
from frieren.files import replacing
from frieren.formats import MEDIA, VIDEOS, is_visible
from frieren.version import __version__

RATE = 48_000  # of everything that is played: a system's own rate would be a name tag
LOUDNESS = -23.0  # LUFS, EBU R 128
# Codecs that every browser of today shows in an .mp4, by the names of their decoders here.
SHOWN = ("h264", "vp9", "libvpx-vp9", "av1", "libdav1d", "libaom-av1")
PEAK, SILENCE = -1.0, -50.0  # dBTP that is not exceeded; LUFS below which a sound is meant to be silence
EDGE = 3500  # Hz, low-pass of the low anchor of ITU-R BS.1534
MNRU = 10  # dB, signal over its own modulated noise, ITU-T P.810
PARTS = ("index.html", "page.css", "page.js")


class ListeningError(FrierenError):
    """A listening test cannot be made of these files."""


@dataclass(frozen=True)
class Question:
    """What a rater is asked, and what each score means (1 first).

    Attributes:
        name: as in the answers.
        code: as papers call it.
        picture: whether the video is shown.
        title, ask: the task in three words and as a question.
        attend, ignore: what to listen for, and what not to mind.
        labels: of the scores 1, 2, 3, 4, 5; the words of ITU-T P.800.
        meanings: the same scores, spelled out.
    """

    name: str
    code: str
    picture: bool
    title: str
    ask: str
    attend: str
    ignore: str
    labels: tuple[str, ...]
    meanings: tuple[str, ...]


WORDS = ("Bad", "Poor", "Fair", "Good", "Excellent")
QUESTIONS = {
    "quality": Question(
        "quality", CODES["quality"], False, "Sound quality", "How good is the quality of this sound?",
        "Is it clean and natural, like a good recording? Noise, distortion, metallic or watery artefacts and sudden "
        "breaks lower the score.",
        "Never mind what the sound is of, or whether you like it.",
        WORDS,
        ("very disturbing artefacts", "disturbing artefacts", "artefacts that disturb a little",
         "artefacts that do not disturb", "as clean and natural as a good recording"),
    ),
    "alignment": Question(
        "alignment", CODES["alignment"], True, "Sound and picture", "How well does the sound fit the picture?",
        "Does each sound happen at the very moment when you see it, and is it what you would expect to hear? Sounds "
        "that come early, late, without a cause or not at all lower the score.",
        "Never mind how clean the recording is.",
        WORDS,
        ("nothing fits", "little fits", "about half of it fits", "nearly everything fits",
         "everything fits, in kind and moment"),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Study:
    """What was made: where, and what is in it.

    Attributes:
        page: index.html, in the folder for the raters.
        key: the file that names the systems, for the experimenter alone.
        items: names of the videos, as drawn.
        trials: how many sounds there are to rate, over both questions.
    """

    page: Path
    key: Path
    items: tuple[str, ...]
    trials: int


def make(
    out: str | os.PathLike[str],
    systems: Mapping[str, str | os.PathLike[str]],
    videos: str | os.PathLike[str],
    *,
    references: str | os.PathLike[str] | None = None,
    questions: Sequence[str] = tuple(QUESTIONS),
    items: int = 20,
    per_rater: int | None = None,
    anchors: int = 5,
    target: float = LOUDNESS,
    title: str = "Listening test",
    seed: int = 0,
    on_item: Callable[[int], None] | None = None,
) -> Study:
    """Make a listening test.

    Args:
        out: the folder for the raters; must not exist, or be empty. The key becomes `out` + ".key.json".
        systems: name -> folder of sounds, or of videos with sound; a file belongs to the video of the same name.
        videos: folder of videos.
        references: folder of true sounds, or of videos with them (often `videos` itself); gives the hidden anchors.
        questions: of `QUESTIONS`, in the order in which they are asked.
        items: how many videos to draw among those for which every system has a sound.
        per_rater: how many of them one rater gets, drawn by the rater's name; all by default.
        anchors: at how many items the low anchor occurs; the true sound is rated at all.
        target: loudness in LUFS; an item with high peaks becomes quieter as a whole.
        title, seed: heading of the page; seed of the draw.
        on_item: told the number of items done.

    Raises:
        ListeningError: too few videos in common, a name twice, a codec that browsers do not show.
        VideoError, OutputError: a file cannot be read or written.
    """
    out = Path(out)
    check(systems, questions, items, per_rater, anchors)
    pictures = shelf(videos, VIDEOS)
    shelves = {name: named_like(pictures, shelf(folder)) for name, folder in systems.items()}
    if references is not None:
        shelves[TRUE] = shelf(references)
    names = draw(pictures, shelves, items, seed)
    lows = set(names[:anchors]) if references is not None else set()
    secret = out.with_name(out.name + ".key.json")
    study, trials, entries = secrets.token_hex(8), dict[str, dict[str, str | float]](), []
    with fresh_folder(out, secret) as folder:
        for done, name in enumerate(names, 1):
            waves = {system: sounds.read(paths[name], RATE) for system, paths in shelves.items()}
            other = sounds.read(shelves[TRUE][names[done % len(names)]], RATE) if name in lows else None
            entry, told = write_item(folder, name, waves, other, questions, pictures[name], target, seed + done)
            entries.append(entry)
            trials |= told
            if on_item is not None:
                on_item(done)
        asked = [asdict(QUESTIONS[question]) for question in questions]
        page = {"study": study, "title": title, "perRater": per_rater, "questions": asked, "items": entries}
        write_page(folder, page, target)
        folders = {name: str(path) for name, path in systems.items()}
        key = {"study": study, "title": title, "seed": seed, "target": target, "systems": folders, "trials": trials}
        write_key(secret, key)
    return Study(out / "index.html", secret, tuple(names), len(trials))


def check(
    systems: Mapping[str, Any], questions: Sequence[str], items: int, per_rater: int | None, anchors: int
) -> None:
    """Wishes that cannot be fulfilled are refused before anything is read."""
    taken = sorted({TRUE, LOW} & set(systems))
    if not systems or taken:
        raise ListeningError(f"systems {taken or 'none'}; name at least one, and none of them {TRUE!r} or {LOW!r}")
    unknown = [question for question in questions if question not in QUESTIONS]
    if unknown or not questions or len(set(questions)) < len(questions):
        raise ListeningError(f"questions {list(questions)}; give each once, out of {', '.join(QUESTIONS)}")
    if items < 1 or anchors < 0 or not 1 <= (items if per_rater is None else per_rater) <= items:
        raise ListeningError(
            f"{items} items, {per_rater} per rater, {anchors} low anchors; need items >= per rater >= 1, anchors >= 0"
        )


def shelf(folder: str | os.PathLike[str], suffixes: Sequence[str] = MEDIA) -> dict[str, Path]:
    """Name without suffix -> file, for all media files of a folder."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ListeningError(f"{folder}: not a folder; give the folder that holds the files")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if is_visible(path, suffixes):
            if path.stem in found:
                raise ListeningError(f"{path}: {found[path.stem].name} has the same name; keep one of the two")
            found[path.stem] = path
    return found


def named_like(pictures: Mapping[str, Path], files: Mapping[str, Path]) -> dict[str, Path]:
    """Sounds by the names of the videos that they belong to, by the rule of `evaluate scores`; first takes only."""
    found: dict[str, Path] = {}
    for stem, path in files.items():
        for name, sample in readings(stem):
            if name in pictures and sample == 0:
                found.setdefault(name, path)
    return found


def draw(pictures: Mapping[str, Path], shelves: Mapping[str, Mapping[str, Path]], items: int, seed: int) -> list[str]:
    """`items` names that all of them have, in random order."""
    common = sorted(set(pictures).intersection(*shelves.values()))
    if len(common) < items:
        counts = ", ".join(f"{name} {len(paths)}" for name, paths in {"videos": pictures, **shelves}.items())
        raise ListeningError(
            f"{items} items wanted, {len(common)} names in common ({counts} files); name sounds like their videos, "
            "or ask for fewer items"
        )
    return [str(name) for name in np.random.default_rng(seed).permutation(common)[:items]]


@contextmanager
def fresh_folder(out: Path, key: Path) -> Iterator[Path]:
    """A folder, with one for media in it, that becomes `out` at the end; nothing stays behind on any exception."""
    if key.exists():
        raise OutputError(f"{key}: is there already, and answers to its study need it; choose a new folder")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out}: is there already; choose a new folder")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=".listening", dir=out.parent))
    except OSError as error:
        raise OutputError(f"{out}: cannot be made ({error}); choose a place where this user may write") from error
    try:
        (part / "media").mkdir()
        yield part
        part.chmod(0o755)  # mkdtemp's own is for one user, and a web server is another
        part.replace(out)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def low_anchors(true: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A low anchor for each question, from the true sounds of this item and of another one, [S] each.

    quality: the true sound with the modulated noise of ITU-T P.810, behind the low-pass of ITU-R BS.1534.
    alignment: another video's sound, shifted by half its length: one's own, shifted, would still fit rain or an engine.
    """
    noisy = true * (1 + 10 ** (-MNRU / 20) * rng.standard_normal(len(true)))
    spectrum = np.fft.rfft(noisy)
    spectrum[np.fft.rfftfreq(len(noisy), 1 / RATE) > EDGE] = 0
    mismatched = np.resize(other, len(true))
    return {
        "quality": np.fft.irfft(spectrum, len(noisy)).astype(np.float32),
        "alignment": np.roll(mismatched, len(mismatched) // 2),
    }


def levelled(waves: Mapping[str, np.ndarray], target: float) -> tuple[dict[str, np.ndarray], float]:
    """Waves of one item, cut to the shortest, at the one loudness in LUFS that all of them reach without clipping.

    A sound that is meant to be silence stays so. A limiter would be an artefact of ours.
    """
    shortest = min(map(len, waves.values()))
    waves = {name: wave[:shortest] for name, wave in waves.items()}
    level = target
    for wave in waves.values():
        heard = loudness.integrated(wave, RATE)
        if heard >= SILENCE:
            level = min(level, heard + PEAK - loudness.true_peak(wave, RATE))
    limits = {"max_gain": math.inf, "ceiling": PEAK, "limit": 0.0, "floor": SILENCE}
    return {name: loudness.normalise(wave, RATE, level, **limits)[0] for name, wave in waves.items()}, level


def write_item(
    folder: Path,
    name: str,
    waves: Mapping[str, np.ndarray],
    other: np.ndarray | None,
    questions: Sequence[str],
    picture: Path,
    target: float,
    seed: int,
) -> tuple[dict[str, list[str]], dict[str, dict[str, str | float]]]:
    """Write one item under all questions, with low anchors if the true sound of an `other` item is given.

    Returns:
        Files by question, for the page; and what each of them is, for the key.
    """
    rng = np.random.default_rng(seed)
    lows = {} if other is None else low_anchors(waves[TRUE], other, rng)
    entry, trials = dict[str, list[str]](), dict[str, dict[str, str | float]]()
    for question in questions:
        own = dict(waves) | ({LOW: lows[question]} if lows else {})
        made = write_trials(folder, QUESTIONS[question], own, picture, target, rng)
        trials |= {file: {"question": question, "item": name, **told} for file, told in made.items()}
        entry[question] = list(made)
    return entry, trials


def write_trials(
    folder: Path,
    question: Question,
    waves: Mapping[str, np.ndarray],
    picture: Path,
    target: float,
    rng: np.random.Generator,
) -> dict[str, dict[str, str | float]]:
    """Write one item's sounds for one question, with the picture if it has one: file's name -> system and LUFS.

    Names and order say nothing.
    """
    waves, level = levelled(waves, target)
    made = dict[str, dict[str, str | float]]()
    for system in rng.permutation(sorted(waves)):
        stem = folder / "media" / secrets.token_hex(8)
        if not question.picture:
            path = sounds.write(stem.with_suffix(".flac"), waves[system], RATE, comment=None)
        else:
            codec = video.probe(picture).codec
            if codec not in SHOWN:
                raise ListeningError(
                    f"{picture}: browsers do not show {codec}; convert it first (ffmpeg -i … -c:v libx264 …)"
                )
            path = remux.write_video(picture, waves[system], stem.with_suffix(".mp4"), RATE, comment=None)
        made[path.name] = {"system": str(system), "lufs": round(level, 2)}
    return made


def write_page(folder: Path, study: Mapping[str, Any], target: float) -> None:
    """The page, the noise for the volume, and the study as a script: from the disk a browser may not fetch a .json."""
    sounds.write(folder / "media" / "level.flac", level_sound(target), RATE, comment=None)
    (folder / "study.js").write_text(f"window.STUDY = {json.dumps(study)};\n", encoding="utf-8")
    for part in PARTS:
        (folder / part).write_bytes((files("frieren") / "assets" / "listening" / part).read_bytes())


def write_key(path: Path, key: Mapping[str, Any]) -> None:
    """What `frieren evaluate --mos` needs to put the names back in."""
    body = {"format": KEY_FORMAT, "frieren": __version__} | dict(key)
    with replacing(path) as part:
        part.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def level_sound(target: float) -> np.ndarray:
    """Three seconds of pink noise at `target`, by which raters set their volume, [S]."""
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(3 * RATE))
    frequency = np.fft.rfftfreq(3 * RATE, 1 / RATE)
    spectrum *= (frequency > 40) / np.sqrt(np.maximum(frequency, 1))
    wave = np.fft.irfft(spectrum, 3 * RATE)
    fade = np.minimum(1, np.minimum(np.arange(3 * RATE), np.arange(3 * RATE)[::-1]) / (0.05 * RATE))
    wave = (wave * fade / np.abs(wave).max()).astype(np.float32)
    return loudness.normalise(wave, RATE, target, max_gain=math.inf)[0]
