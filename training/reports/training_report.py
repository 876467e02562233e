"""The report of a training run: a page that holds all of its pictures, and a folder with the pictures."""

from __future__ import annotations

import io
from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from ...common.files import atomic_path
from ...projection.checkpoint import Checkpoint
from ..evaluation.evaluation import PART_METRICS, PROJECTION, Evaluation
from ..evaluation.metrics import HEADLINES, TITLES
from ..evaluation.verdict import BEFORE, Verdict, beats
from ..learning.data import TrainingData
from ..learning.run import Epoch, best_epoch
from . import plots
from .analysis import Importance, WorstPrediction, importance, prompt_map, worst_predictions
from .page import write_page
from .style import has_matplotlib

REPORT = "report.html"
PICTURE_FOLDER = "report"
BASELINES = {
    "ridge": "a linear map of the same features",
    "nearest neighbor": "the target of the most similar training face",
    "emotion mix": "the mean targets of the emotions, weighted by the face's emotion probabilities",
    "mean": "always the mean of the training targets",
}
LISTED_PROMPTS = 500  # prompts in the table


def write_training_report(
    folder: Path,
    checkpoint: Checkpoint,
    data: TrainingData,
    evaluation: Evaluation,
    verdict: Verdict,
    history: Sequence[Epoch],
    *,
    title: str,
    facts: Mapping[str, object],
    sources: Sequence[str] | None = None,
) -> Path:
    """Write report.html to `folder`, which is created, and its pictures to a folder below it. Return the page's path.

    Args:
        checkpoint: what was trained.
        data: the dataset of `evaluation`; few of its rows are read.
        history: the epochs; empty for a checkpoint that was only evaluated.
        facts: settings and origins to list at the end, name → value.
        sources: (N,) the source of each row of the dataset, to name the worst predictions.

    Each file is written whole or not at all, the page last. Without matplotlib there are no pictures, and the page
    names the extra to install. Raises OSError if the folder cannot be written to.
    """
    worst = worst_predictions(evaluation, data, sources)
    matters = importance(checkpoint, data, evaluation)
    return write_page(
        folder / REPORT,
        "training_report.html.j2",
        title=title,
        state=state(evaluation, verdict),
        sentences=verdict.sentences,
        evaluation=evaluation,
        history=history,
        kept=best_epoch(history),
        worst=worst,
        importance=matters,
        facts={**_origins(checkpoint), **_subject(evaluation), **facts},
        pictures=_pictures(folder / PICTURE_FOLDER, evaluation, history, worst, matters) if has_matplotlib() else {},
        metrics=TITLES,
        headlines=HEADLINES,
        part_metrics={metric: TITLES[metric] for metric in PART_METRICS},
        baselines=BASELINES,
        own=PROJECTION,
        before=BEFORE,
        listed=LISTED_PROMPTS,
    )


def state(evaluation: Evaluation, verdict: Verdict) -> str:
    """Return "ready", "caution", or "refused" if the projection is no better than always predicting the mean."""
    if verdict.ready:
        return "ready"
    return "caution" if beats(evaluation.lead["mean"]) else "refused"


def _pictures(
    folder: Path,
    evaluation: Evaluation,
    history: Sequence[Epoch],
    worst: Sequence[WorstPrediction],
    matters: Importance,
) -> dict[str, str]:
    """Draw all pictures into the folder. Return file name → the picture as a data URL."""
    figures = {
        "scores.png": plots.scores(evaluation),
        "learning_curves.png": plots.learning_curves(history),
        "prompts.png": plots.prompts(evaluation),
        "emotions.png": plots.emotions(evaluation),
        "confusion.png": plots.confusions(evaluation),
        "map.png": plots.prompt_map(prompt_map(evaluation)),
        "worst.png": plots.worst(worst),
        "regions.png": plots.regions(matters),
    }
    urls = {}
    for name, figure in figures.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes(buffer.getvalue())
        urls[name] = f"data:image/png;base64,{b2a_base64(buffer.getvalue(), newline=False).decode('ascii')}"
    return urls


def _subject(evaluation: Evaluation) -> dict[str, object]:
    """Return how well the subject's vector is projected, if it is; all other figures are of the end of the text."""
    found = evaluation.subject
    return {} if found is None else {"subject's vector": f"mean-centered cosine {str(found).strip()}"}


def _origins(checkpoint: Checkpoint) -> dict[str, object]:
    """Return what is known of the checkpoint, name → value."""
    about = checkpoint.metadata
    samples = about.dataset.get("samples")
    known = {
        "text space": about.space,
        "text encoder": about.encoder,
        "landmarker": about.landmarker,
        "emotion model": about.emotion_model,
        "made by": about.made_by,
        "samples": f"{samples:,}" if isinstance(samples, int) else None,
        "dataset SHA-256": about.dataset.get("sha256"),
        "network": ", ".join(f"{name} {value}" for name, value in asdict(checkpoint.network.architecture).items()),
        "weights": f"{sum(weight.numel() for weight in checkpoint.network.parameters()):,}",
    }
    return {name: value for name, value in known.items() if value is not None}
