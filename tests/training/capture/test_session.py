from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perception_clip.training.capture.session import (
    NEXT,
    PAUSE,
    QUIT,
    REPEAT,
    CaptureError,
    Session,
    Timing,
    read_prompts,
    summary,
)

PROMPTS = ["happy", "sad"]


def run(session: Session, times: list[float], problem: str = "") -> list[float]:
    """The times at which a frame was due; each is noted."""
    due = []
    for time in times:
        session.advance(time)
        if session.due:
            session.note(problem)
            due.append(time)
    return due


def tenths(start: float, end: float) -> list[float]:
    return [number / 10 for number in range(round(start * 10), round(end * 10))]


# --- time --------------------------------------------------------------------------------------------------------


def test_each_prompt_has_its_countdown_and_its_recording() -> None:
    session = Session(PROMPTS, Timing(countdown=2, seconds=1, per_second=2))
    session.advance(100.0)  # any clock will do
    assert (session.turn, session.recording, session.countdown, session.progress) == (0, False, 2, 0)
    session.advance(100.5)
    assert session.countdown == 1.5 and not session.due
    session.advance(102.25)
    assert session.recording and session.due and session.countdown == 0 and session.progress == 0.25
    session.advance(103.5)  # half a second into the next countdown
    assert (session.turn, session.recording, session.countdown) == (1, False, 1.5)
    session.advance(105.5)
    assert session.tally.prompt == "sad" and session.progress == 0.5
    session.advance(106.0)
    assert session.complete and session.done and not session.due and session.progress == 1
    assert session.tally.prompt == "sad"  # still there to be shown


def test_good_frames_are_half_a_second_apart_and_refused_ones_are_tried_again() -> None:
    session = Session(PROMPTS, Timing(countdown=1, seconds=2, per_second=2))
    assert run(session, tenths(0, 3)) == [1.0, 1.5, 2.0, 2.5]
    assert run(session, tenths(3, 6), "blurred") == tenths(4, 6)
    assert [tally.good for tally in session.tallies] == [4, 0]
    assert session.refused == {"blurred": 20}
    session.advance(6)
    assert session.complete


def test_a_count_in_place_of_seconds() -> None:
    session = Session(PROMPTS, Timing(countdown=1, count=2, per_second=1))
    assert run(session, tenths(0, 1.5)) == [1.0]
    assert session.progress == 0.5
    assert run(session, tenths(1.5, 60), "no face") == tenths(2, 60)  # as long as it takes
    assert run(session, tenths(60, 62)) == [60.0, 61.0]  # the second one is the next prompt's, after its countdown
    assert [tally.good for tally in session.tallies] == [2, 1]


def test_a_long_gap_between_frames_passes_over_what_it_covers() -> None:
    session = Session([str(number) for number in range(5000)], Timing(countdown=1, seconds=1))
    session.advance(0)
    session.advance(6001.5)
    assert (session.turn, session.recording) == (3000, True)
    session.advance(1e9)
    assert session.complete and session.turn == 5000
    session.advance(5)  # a clock that goes back is no time at all
    assert session.complete


# --- keys --------------------------------------------------------------------------------------------------------


def test_a_pause_stops_the_time() -> None:
    session = Session(PROMPTS, Timing(countdown=1, seconds=2))
    run(session, tenths(0, 2))
    session.obey(PAUSE)
    session.advance(50)
    assert session.paused and not session.due and session.progress == pytest.approx(0.45)
    session.obey(PAUSE)
    session.advance(50.5)
    assert session.turn == 0 and session.progress == pytest.approx(0.7)


def test_next_repeat_and_quit() -> None:
    session = Session(PROMPTS, Timing(countdown=1, seconds=2))
    run(session, tenths(0, 2))
    session.obey("x")
    assert session.recording
    session.obey(REPEAT)
    assert (session.turn, session.recording, session.countdown) == (0, False, 1)
    assert session.tally.good == 2  # what was recorded stays
    session.obey(PAUSE)
    session.obey(NEXT)
    assert (session.turn, session.recording, session.paused) == (1, False, False)
    session.obey(QUIT)
    assert session.done and not session.complete
    session.advance(9)
    assert not session.due


@given(
    steps=st.lists(
        st.one_of(st.floats(0, 3), st.sampled_from([PAUSE, NEXT, REPEAT, "x"]), st.sampled_from(["", "blurred"])),
        max_size=60,
    ),
    count=st.none() | st.integers(1, 3),
)
def test_whatever_happens_every_frame_is_counted_once(steps: list[float | str], count: int | None) -> None:
    session = Session(["a", "b", "c"], Timing(countdown=1, seconds=2, count=count, per_second=2))
    now, good, refused = 0.0, 0, 0
    for step in steps:
        if isinstance(step, float):
            now += step
            session.advance(now)
        elif step in (PAUSE, NEXT, REPEAT, "x"):
            session.obey(step)
        elif session.due:
            session.note(step)
            good, refused = good + (step == ""), refused + (step != "")
        assert 0 <= session.progress <= 1 and 0 <= session.countdown <= 1
        assert session.turn <= 3 or session.complete
    assert (session.good, session.refused.total()) == (good, refused)


# --- prompts and summary -----------------------------------------------------------------------------------------


def test_a_file_of_prompts(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes("\ufeff# mine\r\n\r\n  a happy face \r\nгрустное лицо\r\n  # not this\r\na # in it".encode())
    assert read_prompts(path) == ["a happy face", "грустное лицо", "a # in it"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read .No such file"),
        (b"", "the file has no prompts; write one per line"),
        (b"\n  \n# only this\n", "the file has no prompts"),
        (b"caf\xe9", "it is not UTF-8 text"),
        ("happy".encode("utf-16-le"), "NUL"),
    ],
)
def test_files_without_prompts(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "prompts.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CaptureError, match=f"prompts.txt: .*{message}"):
        read_prompts(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=80) | st.text(max_size=80).map(lambda text: text.encode("utf-8", "replace")))
def test_any_file_gives_prompts_or_a_message(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes(content)
    try:
        prompts = read_prompts(path)
    except CaptureError as error:
        assert str(path) in str(error)
        return
    assert prompts
    for prompt in prompts:
        assert prompt == prompt.strip() and prompt and not prompt.startswith("#") and len(prompt.splitlines()) == 1
    path.write_text("\n".join(prompts), encoding="utf-8", newline="\n")
    if not prompts[0].startswith("\ufeff"):
        assert read_prompts(path) == prompts


def test_the_summary_names_what_was_begun() -> None:
    session = Session(["happy", "sad", "angry"], Timing(countdown=0, seconds=1, per_second=1))
    run(session, [0.0])
    run(session, [1.0, 1.25], "blurred")
    session.advance(1.5)
    session.note("no face")
    assert summary(session) == ["1. happy: 1 good frame", "2. sad: 0 good frames; 3 refused: 2 × blurred, 1 × no face"]
    session.note("", known=True)
    assert summary(session)[1].startswith("2. sad: 1 good frame (1 already in the dataset); 3 refused")
    assert (session.good, session.new) == (2, 1)
