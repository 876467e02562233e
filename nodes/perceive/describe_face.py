"""The Describe Face node: faces in words, for any text encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from comfy_api.latest import io

from ...common.errors import InputError
from ...perception.actions.description import MOST, SENTENCE, STYLES, described
from ...perception.actions.series import rows_of_track
from ...perception.actions.traits import findings
from ...perception.actions.vocabulary import SHIPPED, Vocabulary, read_vocabulary
from ...perception.vector import Perceptions
from ..support import host
from ..support.checks import check_choice, check_perceptions
from ..support.schema import PERCEPTION, advanced, aliases
from .face_actions import absent, measure

MISSING = ("hold", "subject", "error")
ALL_FACES = -1
BETWEEN_FACES = "; "


class DescribeFace(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Puts a face into words, so that an expression reaches any model through its prompt."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_DescribeFace",
            display_name="Describe Face",
            category="Perception CLIP/perceive",
            description=(
                "Describes a face in words, such as 'a person smiling slightly with closed eyes, head tilted to the "
                "left': a prompt for any text encoder, without training."
            ),
            inputs=[
                PERCEPTION.Input("perception", tooltip="Faces from Face Perception or Face Perception Video."),
                io.String.Input(
                    "subject",
                    default="a person",
                    tooltip="Who the sentence is about, such as 'an old man with a beard'.",
                ),
                io.Combo.Input(
                    "style",
                    options=list(STYLES),
                    default=SENTENCE,
                    tooltip="sentence: the subject and what it shows. phrases: only what it shows, separated by "
                    "commas, to append to a prompt.",
                ),
                io.Int.Input(
                    "most",
                    default=MOST,
                    min=1,
                    max=12,
                    tooltip="Maximum number of phrases, 1 to 12: the emotion, then the strongest.",
                ),
                io.Int.Input(
                    "frame",
                    default=0,
                    min=0,
                    max=1_000_000,
                    tooltip="Number of the picture for text, counted from 0.",
                ),
                io.Int.Input(
                    "track",
                    default=0,
                    min=ALL_FACES,
                    max=1_000_000,
                    tooltip="Track number of the face; −1 describes all faces. A face keeps its number from picture to "
                    "picture; in a single picture, faces are numbered from 0 in the order of Face Perception.",
                ),
                advanced(
                    io.Combo.Input(
                        "missing",
                        options=list(MISSING),
                        default=MISSING[0],
                        optional=True,
                        tooltip="What to do in pictures without this face. hold: repeat the last description. subject: "
                        "output only the subject, and nothing as phrases. error: stop the run. Without the face in any "
                        "picture, hold outputs the subject too.",
                    )
                ),
                advanced(
                    io.Combo.Input(
                        "vocabulary",
                        options=list(host.vocabularies()),
                        default=SHIPPED.name,
                        optional=True,
                        tooltip="The words to use: files vocabulary*.json in models/perception_clip/. vocabulary.json "
                        "is the pack's own, unless there is one in that folder.",
                    )
                ),
            ],
            outputs=[
                io.String.Output("text", display_name="text", tooltip="Describes the picture chosen by frame."),
                io.String.Output(
                    "texts",
                    display_name="texts",
                    is_output_list=True,
                    tooltip="Describes every picture, as a list: the next node runs once for each.",
                ),
            ],
            is_output_node=True,  # so that it shows its words with nothing behind it
            **aliases("caption", "prompt from face", "expression to text", "face to text", "interrogate"),
        )

    @classmethod
    def fingerprint_inputs(cls, vocabulary: str = SHIPPED.name, **_: Any) -> str:
        """Return a text that changes with the vocabulary's file, so that the node then runs again."""
        return host.file_state(host.vocabularies().get(vocabulary or ""))

    @classmethod
    def validate_inputs(cls, vocabulary: str = SHIPPED.name) -> bool:
        """Accept any vocabulary: `execute` checks it, with a message that names the folder."""
        return True

    @classmethod
    def execute(
        cls,
        perception: Perceptions,
        subject: str,
        style: str,
        most: int,
        frame: int,
        track: int,
        missing: str = MISSING[0],
        vocabulary: str = SHIPPED.name,
    ) -> io.NodeOutput:
        check_perceptions(perception)
        check_choice("style", style, STYLES)
        check_choice("missing", missing, MISSING)
        path = file_of(vocabulary)
        seen = faces_of_pictures(perception, track, hold=False)
        problem = "" if frame < len(seen) and seen[frame] else absence(perception, frame, track)
        if problem and missing == "error":
            raise InputError(f"{problem}. Choose another frame or track, or set missing to hold or subject.")
        descriptions = describe(perception, read_vocabulary(path), subject=subject, style=style, most=most)
        nothing = subject.strip() if style == SENTENCE else ""
        texts = [
            BETWEEN_FACES.join(descriptions[face] for face in faces) or nothing
            for faces in faces_of_pictures(perception, track, hold=missing == "hold")
        ]
        text = texts[frame] if frame < len(texts) else nothing
        note = "\n".join(filter(None, [text, problem]))
        return io.NodeOutput(text, texts or [nothing], ui=host.note(note))


def describe(perceptions: Perceptions, vocabulary: Vocabulary, **how: Any) -> list[str]:
    """Return the description of each face; `how` are the other arguments of `described`."""
    actions, angles = measure(perceptions)
    return [
        described(findings(values, emotions, (gaze_yaw, gaze_pitch), (yaw, pitch, roll)), vocabulary, **how)
        for values, emotions, (gaze_yaw, gaze_pitch, yaw, pitch, roll) in zip(
            actions, perceptions.emotions, angles.tolist(), strict=True
        )
    ]


def file_of(vocabulary: str) -> Path:
    """Return a vocabulary's file by its name. Raises ValueError, with the folder, for a name that is not listed."""
    listed = host.vocabularies()  # only listed files are opened, so a name cannot lead to another folder
    if not isinstance(vocabulary, str) or vocabulary not in listed:
        raise InputError(
            f"there is no vocabulary {vocabulary!r} in {host.model_folders()[0]}; choose one of {', '.join(listed)}"
        )
    return listed[vocabulary]


def faces_of_pictures(perceptions: Perceptions, track: int, *, hold: bool) -> list[list[int]]:
    """Return the indices of the faces to describe in each picture, by default those of one track; see `rows_of_track`.

    With `ALL_FACES`, those are all faces, and with `hold`, a picture without any gets those of the last with some.
    """
    if track != ALL_FACES:
        return [[] if row is None else [row] for row in rows_of_track(perceptions, track, hold=hold)]
    faces: list[list[int]] = [[] for _ in range(perceptions.frame_count)]
    for row, frame in enumerate(perceptions.frames.tolist()):
        faces[frame].append(row)
    if hold:
        last = next(filter(None, faces), [])
        for frame, rows in enumerate(faces):
            last = faces[frame] = rows or last
    return faces


def absence(perceptions: Perceptions, frame: int, track: int) -> str:
    """Return why there is no description for a picture."""
    if track == ALL_FACES and frame < perceptions.frame_count:
        return f"there is no face in picture {frame}"
    return absent(perceptions, frame, track)
