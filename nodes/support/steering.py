"""What nodes that steer a prompt with a checkpoint share: their inputs, the steps, and the note on the node."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ...common.words import counted
from ...perception.vector import Perceptions
from ...projection.choice import FACE_CHOICES, IN_PLACE, choose
from ...projection.conditioning import Conditioning, inject, within
from ...projection.face_vectors import FaceVectors
from ...projection.in_place import Places, in_place, parse_boxes, places_of_boxes, places_of_heads
from ...projection.insight import Shift, Similarity, nearest, shifts, warnings
from ...projection.opening import Projection
from ...projection.where import ALL, END, GROUPS, SUBJECT, SUBJECT_AND_END, WHERE, WORDS, end_is_known, usable
from . import checkpoints, clips, host
from .prompt_tokens import PromptTokens, not_contained, prompt_tokens
from .schema import file_choice

SHOWN_PROMPTS, SHOWN_FACES = 3, 4  # on the node
STEERED_FACES = (*FACE_CHOICES, IN_PLACE)
FACES_TOOLTIP = (
    "Which faces to use when there are several. first: the first face of the first picture that has one. mean: the "
    "average of all. each: one conditioning for each face, all acting together as with Conditioning (Combine); "
    "sampling time grows with the number of faces. per frame: one row for each picture, from its first face, for a "
    "latent batch of the same length; a picture without a face keeps the prompt unchanged. in place: each face acts "
    "only where its head is in its picture, so that several people each get their own expression; sampling time grows "
    "with the number of faces."
)
BOXES_TOOLTIP = (
    "For faces: in place, when the people are to be elsewhere than in the photos. Connect a text with a box for each "
    "face, one per line: left, top, right and bottom in percent of the picture, 0 to 100, such as 5 10 45 70."
)
WHERE_TOOLTIP = (
    "Which tokens the face acts on. subject and end: the words of the subject, so that the expression lands on the "
    "person, and the end of the text. subject: these words only. end: the end of the text and the padding after it, so "
    "all words stay. words: all words. all: every token, which shifts the whole image, background included. If the "
    "text has no subject or the checkpoint no vectors for it, the end of the text is used, and the node shows why."
)
UNKNOWN_END = (
    "the end of the text cannot be recognized in this conditioning (with SDXL, after CLIP Set Last Layer, or beyond 77 "
    "tokens), so every token but BOS is changed there. CLIP Text Encode (Face) knows where the text ends"
)
APART = "use a picture of all the people, or connect boxes that give each face its own place"


class UsesCheckpoint(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """A node with the inputs `checkpoint` and `checkpoint_name`, of which `run` gets the one that counts."""

    @classmethod
    def execute(cls, checkpoint: str, checkpoint_name: str | None = None, **inputs: Any) -> io.NodeOutput:
        """Run the node with the connected name of a checkpoint, or else with that of the widget."""
        return cls.run(checkpoint=checkpoint if checkpoint_name is None else checkpoint_name, **inputs)

    @classmethod
    def validate_inputs(cls, checkpoint: str) -> bool:
        """Accept any checkpoint: `execute` checks it, and its error has a remedy, unlike ComfyUI's "not in list"."""
        return True

    @classmethod
    def fingerprint_inputs(cls, checkpoint: str | None, **others: Any) -> str:
        """Return a text that changes with the checkpoint's file; for a connected name, the node before does this."""
        return "linked" if "checkpoint_name" in others else checkpoints.state(checkpoint or "")


def checkpoint_input() -> io.Combo.Input:
    """Return the drop-down of projection checkpoints."""
    return io.Combo.Input(
        "checkpoint",
        **file_choice(checkpoints.listed()),
        tooltip="A trained projection from the pack's projection/checkpoints/ or ComfyUI's models/perception_clip/. "
        "New and retrained files are used without a restart (press R to refresh the list).",
    )


def checkpoint_name_input() -> io.String.Input:
    """Return the input that overrides the drop-down when it is connected."""
    return io.String.Input(
        "checkpoint_name",
        optional=True,
        force_input=True,
        tooltip="Connect the checkpoint output of Train Projection or Starter Projection; it overrides the checkpoint "
        "widget.",
    )


def boxes_input() -> io.String.Input:
    """Return the input of the places of faces."""
    return io.String.Input("boxes", optional=True, force_input=True, tooltip=BOXES_TOOLTIP)


def clip_input() -> io.Clip.Input:
    """Return the input of the CLIP that the checkpoint is compared with."""
    return io.Clip.Input(
        "clip",
        optional=True,
        tooltip="Optional: the CLIP that encoded the prompt. The node then warns if the checkpoint was trained with a "
        "different one.",
    )


def amount_inputs() -> list[Any]:
    """Return the inputs strength, start_percent, end_percent and faces."""
    return [
        io.Float.Input(
            "strength",
            default=1.0,
            min=-2.0,
            max=3.0,
            step=0.05,
            tooltip="How strongly the face is applied, −2 to 3, unitless. 0 leaves the conditioning "
            "unchanged; negative values push away from the expression.",
        ),
        *range_inputs(),
        io.Combo.Input("faces", options=list(STEERED_FACES), default="first", tooltip=FACES_TOOLTIP),
    ]


def range_inputs() -> list[Any]:
    """Return the inputs start_percent and end_percent."""
    return [
        io.Float.Input(
            "start_percent",
            default=0.0,
            min=0.0,
            max=1.0,
            step=0.01,
            tooltip="When the face starts to act, as a fraction of the sampling, 0 (start) to 1 (end). From about "
            "0.15, the layout of the image stays that of the prompt.",
        ),
        io.Float.Input(
            "end_percent",
            default=1.0,
            min=0.0,
            max=1.0,
            step=0.01,
            tooltip="When the face stops acting, as a fraction of the sampling, 0 to 1; must not be less than "
            "start_percent.",
        ),
    ]


def prompt_inputs() -> list[Any]:
    """Return the inputs text and clip of a node that encodes a prompt itself."""
    return [
        io.String.Input(
            "text",
            multiline=True,
            dynamic_prompts=True,
            tooltip="The prompt. Weights such as (word:1.2), embedding:name and long texts work as in CLIP Text "
            "Encode.",
        ),
        io.Clip.Input("clip", tooltip="The CLIP of a Stable Diffusion 1.5 or XL model."),
    ]


def subject_inputs() -> list[Any]:
    """Return the inputs subject and where of a node that encodes a prompt itself."""
    return [
        io.String.Input(
            "subject",
            default="",
            tooltip="The words of the text that the face acts on, separated by commas, such as: old man, girl. If "
            "empty, they are found by nouns for people, such as woman or king; if there are none, by face or portrait. "
            "The node shows the words.",
        ),
        io.Combo.Input("where", options=list(WHERE), default=SUBJECT_AND_END, tooltip=WHERE_TOOLTIP),
    ]


def encode(
    clip: Any, text: str, perception: Perceptions, subject: str, where: str
) -> tuple[Conditioning, PromptTokens | None]:
    """Return a prompt as CLIP Text Encode encodes it, and what its tokens are.

    The latter is None if there is no face to act on them, or for a CLIP other than Stable Diffusion's.
    """
    [conditioning] = clips.conditionings(clip, [text])
    if not len(perception) or clips.space_of(clip) is None:
        return conditioning, None
    return conditioning, prompt_tokens(clip, text, subject if SUBJECT in GROUPS[where] else "")


def unchanged(conditioning: Conditioning) -> list[list[Any]]:
    """Return a conditioning for which there is no face."""
    return [[tokens, dict(options)] for tokens, options in conditioning]


def placed(
    projection: Projection,
    perception: Perceptions,
    faces: FaceVectors,
    conditioning: Conditioning,
    clip: Any,
    where: str,
    prompt: PromptTokens | None,
) -> tuple[dict[str, Any], list[str]]:
    """Return the arguments of `inject` that say where faces act, and what the user should know, a line each.

    If the faces cannot act where they should, they act on the end of the text.
    """
    roles = None if prompt is None else prompt.roles
    place, missing = usable(where, faces, roles)
    problems = warnings(projection, perception, clips.fingerprint_for(projection, clip))
    if missing:
        problems.append(f"acts on the end of the text, not on {where}: {missing}")
    if prompt is None and place in (END, WORDS) and not all(map(has_known_end, conditioning)):
        problems.append(UNKNOWN_END)
    if prompt is not None and prompt.missing:
        problems.append(not_contained(prompt.missing))
    return {"space": projection.space, "where": place, "roles": roles}, [f"⚠ {text}" for text in problems]


def steer(
    perception: Perceptions,
    conditioning: Conditioning,
    checkpoint: str,
    clip: Any,
    *,
    faces: str,
    where: str,
    mode: str,
    strength: float,
    start_percent: float,
    end_percent: float,
    boxes: str | None = None,
    prompt: PromptTokens | None = None,
    match_norm: bool = False,
    **widgets: Any,
) -> io.NodeOutput:
    """Return a node's output: a prompt's conditioning, steered by faces, with a note on how.

    Args:
        checkpoint: name of the projection.
        clip: the text encoder that encoded the prompt; None if it is not known.
        faces: one of STEERED_FACES.
        where: one of WHERE. If it is not possible, the faces act on the end of the text, and the note gives the reason.
        boxes: for faces "in place", the places of the faces if not their own; see in_place.parse_boxes.
        prompt: what the prompt's tokens are; None if its text is not known.
        mode, strength, start_percent, end_percent, match_norm, widgets: as for `inject`.
    """
    projection = checkpoints.load(checkpoint)
    if not len(perception):
        return io.NodeOutput(
            unchanged(conditioning), ui=host.note("no face: the conditioning passes through unchanged")
        )
    parts = chosen(projection, perception, faces)
    reached = within(conditioning, start_percent, end_percent) or conditioning
    how, problems = placed(projection, perception, parts[0].vectors, reached, clip, where, prompt)
    how["match_norm"] = match_norm

    def changed(part: Part, start: float = 0.0, end: float = 1.0) -> list[list[Any]]:
        return inject(
            conditioning,
            part.vectors,
            part.neutral,
            seen=part.seen,
            mode=mode,
            strength=strength,
            start_percent=start,
            end_percent=end,
            **how,
            **widgets,
        )

    if faces == IN_PLACE:
        places = places_of(perception, boxes)
        steered = in_place(conditioning, list(map(changed, parts)), places.regions, start_percent, end_percent)
        problems += [f"⚠ face {index} is hidden behind a larger one: {APART}" for index in places.hidden]
    else:
        steered = [entry for part in parts for entry in changed(part, start_percent, end_percent)]
        if boxes is not None:
            problems.append(f"⚠ boxes has no effect with faces: {faces}. Set faces to {IN_PLACE}")

    acting = acting_faces(parts, projection.space.width)
    lengths = shifts(reached, acting.vectors, acting.neutral, **how)
    count = counted(len(perception), "face")
    which = f"{count} in place" if faces == IN_PLACE else f"{faces} of {count}"
    which += " (mean lengths)" if len(acting.seen) > 1 else ""
    lines = [
        *problems,
        f"{checkpoint}, trained with {projection.metadata.encoder}",
        f"{which}: {effect(lengths, mode, strength, prompt)}",
        *closest(nearest(projection, acting.vectors.end[:SHOWN_FACES], SHOWN_PROMPTS)),
    ]
    return io.NodeOutput(steered, ui=host.note("\n".join(lines)))


@dataclass(frozen=True)
class Part:
    """Chosen faces that act together: R rows for R pictures of a batch, or one for all; see choice.py."""

    vectors: FaceVectors  # (R, …)
    neutral: FaceVectors  # (R, …) of each row's own neutral face
    seen: Tensor  # (R,) bool: whether the row has a face


def chosen(projection: Projection, perception: Perceptions, faces: str) -> list[Part]:
    """Return the faces to use, one of STEERED_FACES, in the parts that each become their own conditioning."""
    vectors, neutral = checkpoints.project(projection, perception)
    values = torch.cat([vectors.joined, neutral.joined], dim=1)
    parts = choose(values, perception, "each" if faces == IN_PLACE else faces)
    return [_part(rows, seen, projection.space.width) for rows, seen in parts]


def acting_faces(parts: Sequence[Part], width: int) -> Part:
    """Return the rows of all parts that have a face, in a text space of this width."""
    rows = [torch.cat([part.vectors.joined, part.neutral.joined], dim=1)[part.seen] for part in parts]
    return _part(torch.cat(rows), torch.cat([part.seen[part.seen] for part in parts]), width)


def _part(rows: Tensor, seen: Tensor, width: int) -> Part:
    face, without = rows.chunk(2, dim=1)
    return Part(FaceVectors.split(face, width), FaceVectors.split(without, width), seen)


def places_of(perception: Perceptions, boxes: str | None) -> Places:
    """Return where faces act: in their heads, or in the boxes that a text has for them."""
    if boxes is None:
        return places_of_heads(perception)
    return places_of_boxes(parse_boxes(boxes, len(perception)))


def effect(lengths: dict[str, Shift], mode: str, strength: float, prompt: PromptTokens | None = None) -> str:
    """Describe how far faces move each group of tokens, compared with the length of these tokens."""
    names = {END: "the end of the text", WORDS: "the words", ALL: "every token but BOS"}
    if prompt is not None:
        names[SUBJECT] = f"the subject “{', '.join(prompt.subject)}”"
    if mode == "steer":
        ways = {group: f"by {abs(strength) * shift.delta:.2f}" for group, shift in lengths.items()}
    else:
        ways = {group: f"{strength:.0%} of the way to {shift.face:.2f}" for group, shift in lengths.items()}
    moved = (f"{names[group]} ({counted(lengths[group].tokens, 'token')}) {way}" for group, way in ways.items())
    return f"{'shifts' if mode == 'steer' else 'moves'} {' and '.join(moved)} of the tokens' length"


def has_known_end(entry: Sequence[Any]) -> bool:
    """Return whether the end of the text can be recognized in an entry of a conditioning."""
    tokens, options = entry
    return end_is_known(tokens, options.get("pooled_output"))


def closest(prompts_of_faces: list[list[Similarity]]) -> Iterable[str]:
    """Yield one line per face with its most similar prompts, if the projection has prompts."""
    for prompts in prompts_of_faces:
        if prompts:
            yield "closest to " + ", ".join(f"“{text}” {value:.2f}" for text, value in prompts)
