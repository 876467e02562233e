from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from perception_clip.perception.landmarks.mediapipe import TaskFileError
from perception_clip.training.cli import main
from perception_clip.training.commands.options import add_device_argument, add_perception_arguments, pipeline_of


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_perception_arguments(parser)
    add_device_argument(parser)
    return parser.parse_args(arguments)


def test_flags_reach_the_pipeline() -> None:
    usual = pipeline_of(parse())
    assert usual.landmarker.identity.startswith("mediapipe-face-mesh-bundled/")
    assert usual.emotion_model.identity.startswith("face-expression-bundled/1:")
    assert (usual.selection.order, usual.selection.max_faces) == ("largest", 1)
    flags = ("--detector", "standard", "--face", "left to right", "--min-confidence", "0.7")
    pipeline = pipeline_of(parse(*flags, "--emotion-model", "bundled (landmarks)", "--device", "cpu"))
    assert pipeline.emotion_model.identity.startswith("expression-model-bundled/2:")
    assert (pipeline.selection.order, pipeline.min_confidence) == ("left to right", 0.7)


def test_the_mediapipe_engine(shared_data: Path) -> None:
    pytest.importorskip("mediapipe", reason="the extra `mediapipe` is not installed")
    pipeline = pipeline_of(
        parse("--landmarker", "mediapipe", "--landmarker-model", str(shared_data / "face_landmarker.task"))
    )
    assert pipeline.landmarker.identity.startswith("mediapipe-face-landmarker/")


def test_what_does_not_go_together_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs --landmarker-model FILE"):
        pipeline_of(parse("--landmarker", "mediapipe"))
    with pytest.raises(ValueError, match="only works with --landmarker mediapipe"):
        pipeline_of(parse("--landmarker-model", "x.task"))
    with pytest.raises(TaskFileError, match="There is no file"):
        pipeline_of(parse("--landmarker", "mediapipe", "--landmarker-model", str(tmp_path / "x.task")))
    for wrong in (("--detector", "psychic"), ("--face", "oldest"), ("--min-confidence", "0")):
        with pytest.raises(SystemExit):
            parse(*wrong)


def test_mistakes_end_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "happy").mkdir()
    (tmp_path / "happy" / "a.jpg").touch()
    arguments = ["build", str(tmp_path), "--out", str(tmp_path / "a.db"), "--text-encoder", "random"]
    assert main([*arguments, "--emotion-model", str(tmp_path)]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: the folder") and "does not contain an emotion model" in line
