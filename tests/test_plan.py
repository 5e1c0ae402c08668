"""Inputs found and outputs named: frieren.apps.generate.plan."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from frieren import formats
from frieren.apps.generate import plan
from frieren.apps.generate.options import Kind, Precision, Refinement, Solver, Vocoder
from frieren.errors import VideoError


def test_the_choices_are_those_of_the_package() -> None:
    from frieren import catalogue, paths, pipeline

    assert set(get_args(Solver)) == {name for names in paths.SOLVERS_OF.values() for name in names}
    assert get_args(Precision) == (*pipeline.PRECISIONS, "auto")
    assert get_args(Vocoder) == catalogue.VOCODERS
    assert get_args(Refinement) == catalogue.REFINEMENTS
    assert get_args(Kind) == tuple(pipeline.NEEDED) == tuple(plan.SUFFIXES)
    assert {f".{form}" for form in get_args(plan.Format)} <= set(formats.OUTPUTS)


def test_folders_and_files_are_told_apart(tmp_path: Path) -> None:
    dotted = tmp_path / "takes.v1"
    assert not plan.is_folder(str(dotted))
    assert plan.is_folder(f"{dotted}/")
    assert plan.is_folder(str(tmp_path / "plain"))
    dotted.mkdir()
    assert plan.is_folder(str(dotted))


def test_a_pattern_is_taken_literally_if_such_a_file_exists(tmp_path: Path) -> None:
    odd = tmp_path / "clip[1].mp4"
    odd.write_bytes(b"x")
    assert plan.find_sources([str(odd)]) == ([odd], [])
    assert isinstance(plan.find_sources([f"{tmp_path}/*.avi"])[1][0], VideoError)


def test_names_of_outputs_beside_the_input_and_in_a_folder() -> None:
    sources = [Path("a/x.mp4"), Path("b/x.mov")]
    beside = plan.plan_outputs(sources, None, None, [0])
    assert [list(item.targets.values()) for item in beside] == [
        [Path("a/x_frieren.mp4")],
        [Path("b/x_frieren.mp4")],
    ]
    together = plan.plan_outputs(sources, "out/", "wav", [3, 4])
    assert [dict(item.targets) for item in together] == [
        {3: Path("out/x_frieren_seed3.wav"), 4: Path("out/x_frieren_seed4.wav")},
        {3: Path("out/x_frieren_seed3_2.wav"), 4: Path("out/x_frieren_seed4_2.wav")},
    ]
    (arrays,) = plan.plan_outputs([Path("x.npz")], None, None, [0], kind="features")
    assert arrays == plan.BatchItem(Path("x.npz"), {0: Path("x_frieren.wav")})


def test_a_file_that_is_given_twice_counts_once(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.touch()
    (tmp_path / "link.mp4").symlink_to(clip)
    given = [str(clip), f"{tmp_path}/../{tmp_path.name}/clip.mp4", str(tmp_path), f"{tmp_path}/*.mp4"]
    assert plan.find_sources(given) == ([clip], [])


def test_names_that_differ_in_case_alone_are_the_same() -> None:
    first, second = plan.plan_outputs([Path("a/x.mp4"), Path("b/X.mp4")], "out/", None, [0])
    assert [*first.targets.values(), *second.targets.values()] == [
        Path("out/x_frieren.mp4"),
        Path("out/X_frieren_2.mp4"),
    ]


@pytest.mark.parametrize(
    ("out", "form", "options", "said"),
    [
        ("x.exe", None, {}, "unknown suffix '.exe'"),
        ("x.mp4", "wav", {}, "contradicts --format wav"),
        ("in.mp4", None, {}, "this is the input"),
        ("x.wav", None, {"needs_video": True}, "--audio-codec need a video"),
        ("out/", "flac", {"needs_video": True}, "--audio-codec need a video"),
        ("x.mp4", None, {"kind": "mel"}, "no video to put the sound on"),
        ("out/", "mp4", {"kind": "features"}, "no video to put the sound on"),
    ],
)
def test_outputs_that_cannot_be(out: str, form: plan.Format | None, options: dict, said: str) -> None:
    with pytest.raises(plan.NamingError, match=said):
        plan.plan_outputs([Path("in.mp4")], out, form, [0], **options)
