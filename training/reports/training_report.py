"""A folder with pictures of how a training run went, and one page that holds them all and can be passed on."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ...common.files import atomic_path
from ...common.words import counted
from ...projection.checkpoint import Checkpoint
from ..evaluation.evaluation import PROJECTION, Evaluation, Score
from ..evaluation.metrics import Interval
from ..evaluation.verdict import BEFORE, Verdict, beats
from ..learning.data import TrainingData
from ..learning.run import Epoch, best_epoch
from . import plots
from .analysis import Importance, Wrong, importance, most_wrong, prompt_map
from .page import details, escaped, fact_table, interval, page, paragraph, picture, section, table
from .style import has_matplotlib

if TYPE_CHECKING:
    from matplotlib.figure import Figure


REPORT = "report.html"
PICTURE_FOLDER = "report"
PICTURES = {  # file name → what it shows
    "scores.png": "Centred cosine and recall@1 of the projection and of each simple rule, with intervals",
    "learning_curves.png": "Loss, validation metrics and learning rate by epoch",
    "prompts.png": "Recall@1 of the prompts, with intervals",
    "emotions.png": "Centred cosine and recall@1 by emotion, with intervals",
    "confusion.png": "Table of which prompts are taken for which",
    "map.png": "Map of prompts and predictions",
    "worst.png": "The most wrong held-out faces, drawn from their landmarks",
    "regions.png": "A face whose landmarks are coloured by how much they matter, and the shares of its regions",
}
NO_PICTURES = (
    'There are no pictures, as matplotlib is not installed: pip install "perception-clip[train]" (or matplotlib) '
    "brings them."
)
METRICS = {  # metric → the head of its column; the raw cosine comes last, as it flatters everything
    "centred_cosine": "centred cosine",
    "recall_at_1": "recall@1",
    "recall_at_5": "recall@5",
    "reciprocal_rank": "reciprocal rank",
    "r_squared": "R²",
    "cosine": "raw cosine",
}
HEADLINES = ("centred_cosine", "recall_at_1")
RULES = {
    "ridge": "ridge: a linear map of the same features",
    "nearest neighbour": "nearest neighbour: the target of the most similar training face",
    "emotion mix": "emotion mix: the emotions' mean targets, mixed by the face's probabilities",
    "mean": "mean: always the mean of the training targets",
}
LISTED = 500  # prompts in the table
STATES = {  # state → sign and words: never colour alone
    "ready": ("✔", "Ready to use"),
    "caution": ("⚠", "Usable with care"),
    "refused": ("✖", "Not ready"),
}


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
    """Write report.html into `folder`, which is made, and the pictures in it as PNGs below it; return its path.

    Args:
        checkpoint: what was trained.
        data: the dataset that `evaluation` was made on; few of its rows are read.
        history: the epochs; none for a checkpoint that is only judged.
        facts: settings and origins to list at the end, name → value.
        sources: (N,) where the dataset's rows are from, to name the most wrong ones.

    Each file is written whole or not at all, the page last. Without matplotlib there are no pictures, and the page says
    which extra brings them. Raises OSError if the folder cannot be written to.
    """
    wrong = most_wrong(evaluation, data, sources)
    matters = importance(checkpoint, data, evaluation)
    shown = _pictures(folder / PICTURE_FOLDER, evaluation, history, wrong, matters) if has_matplotlib() else {}
    text = page(
        title,
        [
            _verdict(evaluation, verdict),
            "" if shown else paragraph(NO_PICTURES, "note"),
            _headline(evaluation, shown),
            _added(evaluation),
            _training(history, shown),
            _prompts(evaluation, shown),
            _emotions(evaluation, shown),
            _confusion(shown),
            _map(shown),
            _worst(wrong, shown),
            _regions(matters, shown),
            _origins(checkpoint, facts),
        ],
    )
    with atomic_path(folder / REPORT) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return folder / REPORT


def state(evaluation: Evaluation, verdict: Verdict) -> str:
    """Which of `STATES` it is: "refused" if the projection is no better than always predicting the mean."""
    if verdict.ready:
        return "ready"
    return "caution" if beats(evaluation.lead["mean"]) else "refused"


def _pictures(
    folder: Path, evaluation: Evaluation, history: Sequence[Epoch], wrong: Sequence[Wrong], matters: Importance
) -> dict[str, str]:
    """Draw each picture into the folder; file name → HTML of the picture."""
    draw: dict[str, Callable[[], Figure]] = {
        "scores.png": lambda: plots.scores(evaluation),
        "learning_curves.png": lambda: plots.learning_curves(history),
        "prompts.png": lambda: plots.prompts(evaluation),
        "emotions.png": lambda: plots.emotions(evaluation),
        "confusion.png": lambda: plots.confusions(evaluation),
        "map.png": lambda: plots.prompt_map(prompt_map(evaluation)),
        "worst.png": lambda: plots.worst(wrong),
        "regions.png": lambda: plots.regions(matters),
    }
    shown = {}
    for name, alt in PICTURES.items():
        buffer = io.BytesIO()
        draw[name]().savefig(buffer, format="png")
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes(buffer.getvalue())
        shown[name] = picture(buffer.getvalue(), alt)
    return shown


def _verdict(evaluation: Evaluation, verdict: Verdict) -> str:
    kind = state(evaluation, verdict)
    sign, words = STATES[kind]
    sentences = "\n".join(paragraph(sentence) for sentence in verdict.sentences)
    return f'<div class="verdict {kind}">\n<p><strong>{sign} {words}</strong></p>\n{sentences}\n</div>'


def _headline(evaluation: Evaluation, shown: Mapping[str, str]) -> str:
    metrics = {key: name for key, name in METRICS.items() if any(key in of for of in evaluation.scores.values())}
    rows = [
        [
            escaped(method),
            *(_cell(values, metric) for metric in metrics),
        ]
        for method, values in evaluation.scores.items()
    ]
    leads = [
        [
            escaped(method),
            *(f"{_cell(values, metric, signed=True)}<small>{_said(values[metric])}</small>" for metric in HEADLINES),
        ]
        for method, values in evaluation.lead.items()
    ]
    people = "of people or clips that training never saw" if evaluation.by_group else (
        "of people or clips that training may have seen, as there are too few to hold any out: the numbers flatter"
    )  # fmt: skip
    return section(
        "How good it is",
        paragraph(
            f"Judged on {counted(len(evaluation.rows), 'face')} {people}; "
            f"it learned from {counted(evaluation.trained, 'face')}. "
            f"Recall chooses from {counted(len(evaluation.names), 'prompt')}. "
            "In brackets: 95 % bootstrap intervals. Centred: measured from the mean training target, since CLIP's "
            "vectors share a large common part, which makes every raw cosine look good."
        ),
        table(
            ["", *metrics.values()],
            rows,
            strong=list(evaluation.scores).index(PROJECTION),
        ),
        paragraph("; ".join(text for name, text in RULES.items() if name in evaluation.scores) + ".", "note"),
        shown.get("scores.png", ""),
        paragraph("How far the projection is ahead of each of them, face by face:"),
        table(["", *(METRICS[metric] for metric in HEADLINES)], leads),
    )


def _said(lead: Interval) -> str:
    return "ahead" if lead.low > 0 else "behind" if lead.high < 0 else "no clear difference"


def _added(evaluation: Evaluation) -> str:
    """Before and after, for training that started from another checkpoint; else nothing."""
    if BEFORE not in evaluation.scores:
        return ""
    before, after, lead = evaluation.scores[BEFORE], evaluation.scores[PROJECTION], evaluation.lead[BEFORE]
    rows = [
        [escaped(name), interval(before[metric]), interval(after[metric]), interval(lead[metric], signed=True)]
        for metric, name in METRICS.items()
        if metric in before and metric in after and metric in lead
    ]
    return section(
        "What the real data added",
        paragraph(" ".join(_gain(METRICS[metric], before[metric], lead[metric]) for metric in HEADLINES)),
        table(["", "before: the checkpoint it started from", "after", "difference"], rows),
        paragraph("Both were judged on the same held-out faces, and the differences are paired.", "note"),
    )


def _gain(name: str, before: Interval, lead: Interval) -> str:
    after = before.value + lead.value
    if lead.low > 0:
        return f"The real data raised {name} from {before.value:.3f} to {after:.3f}."
    if lead.high < 0:
        return f"With the real data, {name} fell from {before.value:.3f} to {after:.3f}."
    return f"No clear change of {name}: {before.value:.3f} before, {after:.3f} after."


def _training(history: Sequence[Epoch], shown: Mapping[str, str]) -> str:
    kept = best_epoch(history)
    if not history:
        said = "No epochs were trained in this run."
    elif kept is None:
        said = f"{counted(len(history), 'epoch')} trained; none was better than the start, which was kept."
    else:
        said = f"{counted(len(history), 'epoch')} trained; the weights of epoch {kept.number} were kept."
    return section("How training went", paragraph(said), shown.get("learning_curves.png", "") if history else "")


def _prompts(evaluation: Evaluation, shown: Mapping[str, str]) -> str:
    listed = evaluation.per_prompt[:LISTED]
    heading = f"All {len(listed)} in numbers" if len(listed) == len(evaluation.per_prompt) else (
        f"The {len(listed)} with the most held-out faces of {len(evaluation.per_prompt):,} in numbers"
    )  # fmt: skip
    return section(
        "Prompt by prompt",
        paragraph(
            "Recall@1: the share of a prompt's held-out faces whose prediction is nearest to that prompt. In brackets: "
            "the number of its held-out faces; few of them make a wide interval."
        ),
        shown.get("prompts.png", ""),
        details(heading, _scores(listed)) if shown else _scores(listed),
    )


def _emotions(evaluation: Evaluation, shown: Mapping[str, str]) -> str:
    return section(
        "Emotion by emotion",
        paragraph("Faces by their most probable emotion, whatever their prompt."),
        shown.get("emotions.png", ""),
        details("In numbers", _scores(evaluation.per_emotion)) if shown else _scores(evaluation.per_emotion),
    )


def _confusion(shown: Mapping[str, str]) -> str:
    return _only_picture(
        "What is taken for what",
        "Each row is a prompt; its cells say where its held-out faces went. A perfect projection fills the diagonal.",
        shown.get("confusion.png"),
    )


def _map(shown: Mapping[str, str]) -> str:
    return _only_picture(
        "Map of prompts and predictions",
        "The plane in which the prompts' vectors differ most. A good projection puts faces near the prompt of their "
        "own colour; one that plays safe draws them all to the middle. Distances that lie outside the plane are lost.",
        shown.get("map.png"),
    )


def _worst(wrong: Sequence[Wrong], shown: Mapping[str, str]) -> str:
    rows = [
        [
            escaped(f"{sample.row:,}"),
            f"{sample.cosine:.2f}".replace("-", "−"),
            escaped(sample.own),
            escaped(sample.chosen),
            escaped(f"{sample.emotion} {sample.probability:.0%}"),
            escaped(sample.source or "–"),
        ]
        for sample in wrong
    ]
    head = ["row, from 0", "centred cosine", "its prompt", "taken for", "looks", "source"]
    return section(
        "The most wrong samples",
        paragraph(
            "The held-out faces with the lowest centred cosine. Look here for wrong labels and badly found landmarks: "
            "`filter` and `relabel` mend the dataset."
        ),
        shown.get("worst.png", ""),
        details("In numbers", table(head, rows, kind="texts")) if shown else table(head, rows, kind="texts"),
        paragraph("These are real people's faces: think before you pass this page on.", "note"),
    )


def _regions(matters: Importance, shown: Mapping[str, str]) -> str:
    regions = sorted(matters.regions.items(), key=lambda item: -item[1])
    looked = counted(matters.rows, "held-out face")
    return section(
        "Which parts of the face matter",
        paragraph(
            f"How much the answer changes when a part moves as it does from face to face, measured by gradients on "
            f"{looked}. The shape is that of the landmarks without pose, place and size."
        ),
        shown.get("regions.png", ""),
        *(
            table([head, "share"], [[escaped(name), f"{share:.0%}"] for name, share in shares])
            for head, shares in (("part", matters.parts.items()), ("region of the shape", regions))
            if not shown
        ),
    )


def _origins(checkpoint: Checkpoint, given: Mapping[str, object]) -> str:
    about = checkpoint.metadata
    sha, samples = about.dataset.get("sha256"), about.dataset.get("samples")
    known = {
        "text space": about.space,
        "text encoder": about.encoder,
        "landmarker": about.landmarker,
        "emotion model": about.emotion_model,
        "made by": about.made_by,
        "samples": f"{samples:,}" if isinstance(samples, int) else None,
        "dataset SHA-256": sha,
        "network": ", ".join(f"{name} {value}" for name, value in asdict(checkpoint.network.architecture).items()),
        "weights": f"{sum(weight.numel() for weight in checkpoint.network.parameters()):,}",
    }
    listed = {**{name: value for name, value in known.items() if value is not None}, **given}
    return section("Settings and origins", fact_table(listed))


def _only_picture(heading: str, text: str, shown: str | None) -> str:
    return section(heading, paragraph(text), shown) if shown else ""


def _scores(scores: Sequence[Score]) -> str:
    metrics = [metric for metric in METRICS if scores and metric in scores[0].metrics]
    rows = [
        [
            escaped(score.name),
            f"{score.rows:,}",
            f"{score.trained:,}",
            *(_cell(score.metrics, metric) for metric in metrics),
        ]
        for score in scores
    ]
    return table(["", "held-out faces", "training faces", *(METRICS[metric] for metric in metrics)], rows)


def _cell(values: Mapping[str, Interval], metric: str, signed: bool = False) -> str:
    return interval(values[metric], signed) if metric in values else "–"
