"""frieren.formats: one table of suffixes, by which all commands go, and which the libraries can keep."""

from __future__ import annotations

import ast
from pathlib import Path

import av
import clips
import pytest
import soundfile
from test_house import FILES, name_of

from frieren import formats, media


def test_no_other_file_has_a_table_of_suffixes() -> None:
    known = {*formats.MEDIA, *formats.ARRAYS, *formats.OUTPUTS}
    for path in FILES:
        if path.stem == "formats":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Tuple, ast.List, ast.Set, ast.Dict)):
                items = node.keys if isinstance(node, ast.Dict) else node.elts
                found = {item.value for item in items if isinstance(item, ast.Constant)} & known
                assert len(found) < 2, f"{name_of(path)}, line {node.lineno}: {sorted(found)}"


def test_the_tables_hold_each_suffix_once() -> None:
    for table in (formats.MEDIA, formats.ARRAYS, formats.OUTPUTS):
        assert len(set(table)) == len(table) and all(name[0] == "." and name == name.lower() for name in table)
    assert set(formats.OUTPUTS) <= set(formats.MEDIA)  # what we write we can read


def test_outputs_are_known_to_the_libraries_that_write_them() -> None:
    assert set(formats.CONTAINERS.values()) <= set(av.formats_available)
    assert {suffix[1:].upper() for suffix in formats.SOUND_FILES} <= soundfile.available_formats().keys()


@pytest.mark.parametrize("suffix", formats.VIDEOS)
def test_each_video_suffix_is_of_a_container_that_we_open(tmp_path: Path, suffix: str) -> None:
    """Writes one by FFmpeg's own choice of muxer for the suffix and opens it as we do."""
    path = tmp_path / f"a{suffix}"
    codec = {".ogv": "libtheora", ".webm": "libvpx-vp9", ".mxf": "mpeg2video", ".3gp": "libx264", ".flv": "flv"}.get(
        suffix, "mpeg4"
    )
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec}")
    size = (720, 576) if suffix == ".mxf" else (64, 48)
    clips.video(path, [index / 25 for index in range(10)], codec=codec, size=size)
    with media.open_media(path) as container:
        assert len(container.streams.video) == 1


def test_names_of_sources(tmp_path: Path) -> None:
    for name in ("a.MP4", "b.mp4", "b.mp4.json", "c.txt", ".d.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "b.mp4.json").write_text('{"wave_sha256": "", "command": {}}')
    (tmp_path / "e.mp4").mkdir()
    assert formats.has_suffix(tmp_path / "a.MP4", formats.VIDEOS) and not formats.is_visible(
        tmp_path / ".d.mp4", [".mp4"]
    )
    found = [path.name for path in sorted(tmp_path.iterdir()) if formats.is_source(path)]
    assert found == [".d.mp4", "a.MP4"]  # b is an output, c no video, e a folder
    assert formats.record_path(Path("out/b.mp4")) == Path("out/b.mp4.json")


def test_what_generate_reads_prepare_and_evaluate_see_as_well(tmp_path: Path) -> None:
    from frieren.apps.generate.plan import find_sources
    from frieren.dataset.sources import read_source
    from frieren.evaluation.listening.page import shelf
    from frieren.evaluation.protocol import media_files

    for suffix in formats.VIDEOS:
        (tmp_path / f"clip_{suffix[1:]}{suffix}").touch()
    wanted = sorted(tmp_path.iterdir())
    assert sorted(find_sources([str(tmp_path)])[0]) == wanted
    assert sorted(item.video for item in read_source(str(tmp_path)).items) == wanted
    assert sorted(media_files(tmp_path).values()) == wanted
    assert sorted(shelf(tmp_path, formats.VIDEOS).values()) == wanted


def test_only_records_of_ours_make_a_file_an_output(tmp_path):
    clip = tmp_path / "IMG_0001.MP4"
    clip.touch()
    record = formats.record_path(clip)
    deep, album = "[" * 200_000, '{"title": "IMG_0001.MP4", "photoTakenTime": {"timestamp": "1"}}'
    for text in (album, "", "[1]", "not json", deep, '"wave_sha256"'):
        record.write_text(text)
        assert formats.is_source(clip) and not formats.is_output(clip)
    record.write_text('{"wave_sha256": "ab", "command": {}}')
    assert formats.is_output(clip) and not formats.is_source(clip)
    record.write_bytes(b" " * (formats.RECORD_LIMIT + 1) + b"{}")  # endless ones are not read to the end
    assert formats.is_source(clip)
