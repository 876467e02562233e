"""The Dataset Writer node: adds perceptions and their prompts to a dataset."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from comfy_api.latest import io

from ...common.errors import InputError
from ...common.words import counted
from ...perception.drawing.contact_sheet import contact_sheet
from ...perception.origins import as_texts
from ...perception.vector import Perceptions
from ...training.dataset.copying import vectors_of
from ...training.dataset.samples import SPLITS, Samples, StoreError
from ...training.dataset.snapshot import DatasetSummary
from ...training.dataset.store import Store, dataset_path
from ..support import clips, host
from ..support.checks import check_choice, check_perceptions
from ..support.schema import PERCEPTION, aliases

ONE, PER_FACE, _ = PROMPTS = ("one for all faces", "one line per face", "one line per picture")
NO_SPLIT = "none"
QUOTED = 80  # characters of a prompt in a message


class DatasetWriter(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Appends every perceived face and its prompt to a dataset on disk."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_DatasetWriter",
            display_name="Dataset Writer",
            category="Perception CLIP/train",
            description=(
                "Adds every perceived face, together with a prompt that describes its expression, to a dataset "
                "for training a projection. Duplicates are ignored, so re-queuing the graph is safe; nothing is ever "
                "deleted. Shows the newest faces, drawn from their landmarks, and the sample counts. "
                "Datasets are stored in ComfyUI's user/__perception_clip/datasets/, which is not served over HTTP."
            ),
            inputs=[
                PERCEPTION.Input(
                    "perception",
                    tooltip="Faces from Face Perception. All are added except those filled in for pictures without a "
                    "face (score 0).",
                ),
                io.Clip.Input(
                    "clip",
                    tooltip="The CLIP of a Stable Diffusion 1.5 or XL checkpoint. A dataset must always use the same "
                    "CLIP.",
                ),
                io.String.Input(
                    "prompt",
                    multiline=True,
                    dynamic_prompts=True,
                    placeholder="a person laughing with an open mouth",
                    tooltip="What the faces express, worded as you would prompt for it; one prompt for all faces, or "
                    "one per line, as set in prompts. Only the first 75 tokens of each prompt count.",
                ),
                io.String.Input(
                    "dataset",
                    default="my_faces",
                    tooltip="Name of the dataset, up to 60 letters, digits, spaces, dots, dashes and underscores. "
                    "The dataset is created if it does not exist.",
                ),
                io.String.Input(
                    "group",
                    default="",
                    optional=True,
                    tooltip="Optional: the person or clip the faces are from. Training is evaluated on groups it has "
                    "not seen.",
                ),
                io.Combo.Input(
                    "prompts",
                    options=list(PROMPTS),
                    default=ONE,
                    optional=True,
                    tooltip="How prompt is read. one for all faces: the whole text is one prompt. one line per face: "
                    "one line for each face, picture by picture, in the order of Face Perception. one line per "
                    "picture: one line for each picture of a batch, with or without a face. Empty lines are ignored.",
                ),
                io.String.Input(
                    "label",
                    default="",
                    optional=True,
                    tooltip="Optional: one word for what the faces show, such as happy. Used for statistics, not for "
                    "training.",
                ),
                io.Combo.Input(
                    "split",
                    options=[NO_SPLIT, *SPLITS],
                    default=NO_SPLIT,
                    optional=True,
                    tooltip="Which part of the data the faces belong to. none: training decides.",
                ),
                io.String.Input(
                    "source",
                    default="",
                    optional=True,
                    tooltip="Optional: a note for yourself on where the picture is from.",
                ),
            ],
            outputs=[
                io.Int.Output("samples", display_name="samples", tooltip="Number of samples in the dataset."),
                io.String.Output(
                    "path",
                    display_name="path",
                    tooltip="Path of the dataset's file; connect it to path of Dataset Info or Train Projection.",
                ),
            ],
            is_output_node=True,
            **aliases("collect training data", "add sample"),
        )

    @classmethod
    def fingerprint_inputs(cls, **_: Any) -> float:
        """Return a value that never equals itself, so that every queued run writes; duplicates are ignored."""
        return float("nan")

    @classmethod
    def execute(
        cls,
        perception: Perceptions,
        clip: Any,
        prompt: str,
        dataset: str,
        group: str = "",
        prompts: str = ONE,
        label: str = "",
        split: str = NO_SPLIT,
        source: str = "",
    ) -> io.NodeOutput:
        check_perceptions(perception)
        check_choice("prompts", prompts, PROMPTS)
        check_choice("split", split, (NO_SPLIT, *SPLITS))
        texts = prompt_of_each(prompt, prompts, perception)
        path = dataset_path(host.datasets_folder(), dataset)
        encoder = clips.encoder(clip)
        seen = (perception.scores > 0).nonzero()[:, 0].tolist()
        faces, texts = perception.select(seen), [texts[index] for index in seen]
        with Store(path) as store:
            set_provenance(store, encoder, perception)
            embeddings, added_targets = vectors_of(texts, store, encoder.showing_progress())
            samples = Samples(
                faces.vectors.numpy(),
                faces.image_sizes.numpy(),
                texts,
                embeddings.numpy(),
                groups=[group.strip()] * len(faces),
                sources=[source.strip()] * len(faces),
                origins=as_texts(faces.origins),
                labels=[label.strip()] * len(faces),
                splits=["" if split == NO_SPLIT else split] * len(faces),
                scores=faces.scores.numpy(),
                added_targets={name: values.numpy() for name, values in added_targets.items()},
            )
            new = store.append(samples)
            with store.snapshot() as snapshot:
                summary = snapshot.summary()
        lines = [
            *nothing_added(perception, faces),
            f"{counted(summary.samples, 'sample')} ({new} new) in {path}",
            *frequent_prompts(summary),
            *too_long(texts, encoder),
        ]
        sheet = contact_sheet(summary.vectors, summary.image_sizes, summary.newest)[None] / 255
        shown = host.preview(sheet if summary.samples else sheet[:0])
        return io.NodeOutput(summary.samples, str(path), ui={**shown, **host.note("\n".join(lines))})


def prompt_of_each(prompt: str, prompts: str, perception: Perceptions) -> list[str]:
    """Return the prompt of each face; `prompts`, one of `PROMPTS`, determines how `prompt` is read.

    Raises ValueError if the prompt is empty, or if it does not have one line for each face or picture.
    """
    lines = [line.strip() for line in prompt.splitlines() if line.strip()]
    if not lines:
        raise InputError("The prompt is empty: describe what the face expresses, for example 'a sad old man'.")
    faces = len(perception)
    if prompts == ONE or not faces:
        return [prompt.strip()] * faces
    number, what = (faces, "face") if prompts == PER_FACE else (perception.frame_count, "picture")
    if len(lines) != number:
        filled = int((perception.scores <= 0).sum()) if prompts == PER_FACE else 0
        raise InputError(
            f"prompt has {counted(len(lines), 'line')}, but perception has {counted(number, what)}"
            f"{f', {filled} of them filled in' if filled else ''}: write one line for each {what}, in the same order "
            f"(empty lines are ignored), or set prompts to {ONE!r}"
        )
    return lines if prompts == PER_FACE else [lines[frame] for frame in perception.frames.tolist()]


def set_provenance(store: Store, encoder: clips.ClipEncoder, perception: Perceptions) -> None:
    """Call `Store.set_provenance`; extend its error with where in the graph to fix the mismatch."""
    try:
        store.set_provenance(
            encoder.identity, encoder.fingerprint, perception.landmarker, perception.emotion_model, encoder.space
        )
    except StoreError as error:
        raise StoreError(
            f"{error}. In the graph, change dataset on this node, connect the CLIP the dataset was created with, or "
            "set landmarker, detector and emotion_model of Face Perception back to their earlier values"
        ) from error


def nothing_added(perception: Perceptions, faces: Perceptions) -> Iterable[str]:
    """Yield a line if no face was perceived, or if some were skipped."""
    filled = len(perception) - len(faces)
    if not len(perception):
        yield "no face was perceived, so nothing was added"
    elif filled:
        yield f"{counted(filled, 'filled-in face')} skipped: only detected faces are used for training"


def frequent_prompts(summary: DatasetSummary) -> Iterable[str]:
    """Yield a line for each of the most frequent prompts."""
    for text, number in summary.frequent:
        yield f"{number} × {quoted(text)}"
    more = summary.prompts - len(summary.frequent)
    if more:
        yield f"and {counted(more, 'more prompt')}"


def too_long(texts: Sequence[str], encoder: clips.ClipEncoder) -> Iterable[str]:
    """Yield a line if some prompts are too long to be used in full."""
    cut = [text for text in dict.fromkeys(texts) if encoder.is_cut(text)]
    if cut:
        others = f" (and {len(cut) - 1} more)" if len(cut) > 1 else ""
        yield f"only the first {clips.TOKENS} tokens of a prompt are used; this one is longer: {quoted(cut[0])}{others}"


def quoted(text: str) -> str:
    """Return a prompt as one line of at most `QUOTED` characters."""
    line = " ".join(text.split())
    return line if len(line) <= QUOTED else f"{line[: QUOTED - 1]}…"
