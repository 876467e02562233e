"""How much sampled faces look like real ones, and what a starter trained on them makes of real faces.

    OMP_NUM_THREADS=1 python benchmarks/sampled_faces.py [--data ../shared/data] [--samples 12000]

A classifier (gradient-boosted trees, five folds) tells real faces of the expression photo set from sampled ones with
the same labels, by their shape components alone and together with the log-probabilities of their emotions. Then
starters are trained: with the placeholder text encoder, and with the real CLIP vector of a name, drawn by a seed, in
place of each emotion's and each trait's prompts. What their vectors say is compared with the labels of FER2013's faces,
with held-out sampled faces (recall by kind of prompt, whatever the wording), and with what photos plainly show. Last,
how far a starter moves for the faces of two photos and a video.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from expression import EVERY, STRETCHES
from inputs import need
from PIL import Image
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import cross_val_score
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize, one_hot

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import calibrate_face_expression as calibration  # noqa: E402
import train_picture_estimate as both_forms  # noqa: E402

from perception_clip.perception.emotions.expression import ExpressionModel  # noqa: E402
from perception_clip.perception.emotions.face_expression import FaceExpressionModel  # noqa: E402
from perception_clip.perception.pipeline import PerceptionPipeline  # noqa: E402
from perception_clip.perception.sequences.videos import Video  # noqa: E402
from perception_clip.perception.vector import EMOTIONS, NEUTRAL, pack, split  # noqa: E402
from perception_clip.projection.checkpoint import Checkpoint  # noqa: E402
from perception_clip.training.commands.demo import sample_photos  # noqa: E402
from perception_clip.training.dataset.npz import Dataset  # noqa: E402
from perception_clip.training.encoders.base import KnownPrompts  # noqa: E402
from perception_clip.training.encoders.loading import load_encoder  # noqa: E402
from perception_clip.training.fitting import Fitted, fit  # noqa: E402
from perception_clip.training.learning.settings import STARTER, STARTER_SAMPLES  # noqa: E402
from perception_clip.training.prompts.starter import EMOTION, KINDS, PAIR, meanings  # noqa: E402
from perception_clip.training.starter import sample_dataset, sample_faces  # noqa: E402

MOST = 150  # real faces of an emotion
SEEDS = 3
SHOWN = {  # photos and frames of the video, and what they plainly show
    "art_pearl_earring.jpg": "turn right",
    "obama2.jpg": "jaw",
    "astronaut_rot30.png": "tilt right",
    16: "closed",
    40: "closed",
    64: "closed",
    168: "gaze right",
    276: "brows up",
    408: "tilt right",
    460: "tilt left",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--samples", type=int, default=STARTER_SAMPLES)
    arguments = parser.parse_args()
    need(arguments.data, "give the folder of shared data with --data")
    report_likeness(arguments.data)
    report_starters(arguments.data, arguments.samples)


def report_likeness(folder: Path) -> None:
    model, faces, generator = ExpressionModel.load(), both_forms.load_faces(folder), torch.Generator().manual_seed(0)
    some = torch.cat([(faces.labels == emotion).nonzero()[:MOST, 0] for emotion in range(len(EMOTIONS))])
    labels, picture = faces.labels[some], faces.logits[some].log_softmax(dim=1)
    real = model.components(faces.landmarks[some], faces.image_sizes[some])
    vectors, sizes = sample_faces(labels, torch.ones(len(labels)), generator)
    landmarks, probabilities = split(vectors)
    sampled = model.components(landmarks, sizes)
    print("| a classifier tells real faces from sampled ones by | area under the curve |\n|---|---|")
    report("shape components", real, sampled)
    for name, of_sampled in (
        ("… and the landmark model's probabilities of the sampled faces", model.probabilities(landmarks, sizes)),
        ("… and sampled probabilities", probabilities),
    ):
        report(name, torch.cat([real, picture], dim=1), torch.cat([sampled, of_sampled.log()], dim=1))
    print(flush=True)


def report(name: str, real: Tensor, sampled: Tensor) -> None:
    inputs, answers = torch.cat([real, sampled]).numpy(), np.repeat([0, 1], [len(real), len(sampled)])
    order = np.random.default_rng(0).permutation(len(answers))
    areas = cross_val_score(
        HistGradientBoostingClassifier(random_state=0), inputs[order], answers[order], cv=5, scoring="roc_auc"
    )
    print(f"| {name} | {areas.mean():.3f} ({areas.min():.3f} to {areas.max():.3f} in the folds) |")


def report_starters(folder: Path, samples: int) -> None:
    path = folder / "fer2013_public_test.npz"
    faces = calibration.read_faces(path, calibration.halves(path)[1])
    picture = FaceExpressionModel().calibrated(faces.logits).softmax(dim=1)
    vectors, sizes = pack(faces.landmarks, picture), torch.ones(len(faces.labels), 2)
    shown, shown_vectors, shown_sizes = shown_faces(folder)
    with np.load(folder / "clip_l14_pooled.npz") as data:
        names = torch.from_numpy(data["pooled"]).float()
    print(f"{len(faces.labels)} faces, balanced accuracy of the reading {accuracy(picture, faces.labels)}\n")
    columns = (
        "a starter's prompts",
        "seed",
        "nearest prompt",
        "nearest mean of an emotion's prompts",
        *KINDS,
        "photos",
    )
    print(f"| {' | '.join((*columns, 'CPU seconds'))} |\n|{'---|' * (len(columns) + 1)}")
    checkpoints, wrong = [], []
    for seed in range(SEEDS):
        encoder = load_encoder("random")
        encoder = KnownPrompts.encoded(encoder, list(meanings()))
        started = time.process_time()
        dataset = sample_dataset(encoder, samples, seed)
        sampled = time.process_time() - started
        for kind, data in (("placeholder", dataset), ("real CLIP vectors", renamed(dataset, names, seed))):
            started = time.process_time()
            fitted = trained(data, seed)
            seconds = sampled + time.process_time() - started
            checkpoints.append(fitted.checkpoint)
            answers = nearest_emotions(fitted.checkpoint, vectors, sizes)
            evaluation = fitted.evaluation
            assert evaluation is not None
            said = nearest_prompts(fitted.checkpoint, shown_vectors, shown_sizes)
            right = [name in meanings()[prompt].category.split(", ") for name, prompt in zip(shown, said, strict=True)]
            wrong += [
                f"{kind}, {seed}: {place} ({shown[number]}): {said[number]}"
                for number, place in enumerate(SHOWN)
                if not right[number]
            ]
            cells = [accuracy(each, faces.labels) for each in answers]
            cells += [f"{score.recall.value:.3f}" for score in evaluation.per_kind]
            print(
                f"| {kind} | {seed} | {' | '.join(cells)} | {sum(right)} of {len(right)} | {seconds:.0f} |", flush=True
            )
    print("\nPhotos whose nearest prompt does not say it:\n" + "\n".join(wrong))
    report_moves(checkpoints[0], folder / "video/expressive_face.mp4")


def shown_faces(folder: Path) -> tuple[list[str], Tensor, Tensor]:
    """What the first face of each of `SHOWN` shows, its perception and the size of its picture."""
    frames = [frame.picture for frame in Video(folder / "video/expressive_face.mp4").frames(every=EVERY)]
    pipeline, vectors, sizes = PerceptionPipeline(), [], []
    for place in SHOWN:
        if isinstance(place, str):
            picture = torch.from_numpy(np.array(Image.open(folder / "faces" / place).convert("RGB")))
        else:
            picture = frames[place // EVERY]
        faces = pipeline([picture])
        vectors.append(faces.vectors[0])
        sizes.append(faces.image_sizes[0])
    return list(SHOWN.values()), torch.stack(vectors), torch.stack(sizes)


def renamed(dataset: Dataset, names: Tensor, seed: int) -> Dataset:
    """The dataset with the vector of a name, drawn by the seed, for each emotion and each trait.

    A pair has the sum of both, relative to the mean of all names: the vectors of a good text encoder nearly add up.
    """
    categories = list(dict.fromkeys(meaning.category for meaning in meanings().values() if meaning.kind != PAIR))
    center = names.mean(dim=0)
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
    offset = dict(zip(categories, names[order[: len(categories)]] - center, strict=True))
    assert dataset.prompts is not None
    parts = [meanings()[prompt].category.split(", ") for prompt in dataset.prompts.tolist()]
    vectors = [center + sum(offset[part] for part in some) / len(some) ** 0.5 for some in parts]
    return replace(dataset, clip_embeddings=torch.stack(vectors).numpy(), added_targets={})


def emotions_of(prompts: list[str], kinds: tuple[str, ...]) -> Tensor:
    """The emotion (P,) that each prompt of these kinds names; −1 for others."""
    named = [
        meanings()[prompt].category.split(", ")[0] if meanings()[prompt].kind in kinds else "" for prompt in prompts
    ]
    return torch.tensor([EMOTIONS.index(name) if name in EMOTIONS else -1 for name in named])


def trained(dataset: Dataset, seed: int) -> Fitted:
    with TemporaryDirectory() as folder:
        return fit(dataset, Path(folder), replace(STARTER, seed=seed), resumable=False, report=False)


def centered(checkpoint: Checkpoint, vectors: Tensor) -> Tensor:
    return (vectors - checkpoint.network.target_mean) / checkpoint.network.target_scale


def similarities(checkpoint: Checkpoint, vectors: Tensor, sizes: Tensor, targets: Tensor) -> Tensor:
    projected = normalize(centered(checkpoint, checkpoint.project(vectors, sizes).end), dim=1)
    return projected @ normalize(targets, dim=1).T


def means_of(checkpoint: Checkpoint) -> Tensor:
    """The means (7, W) of the centered vectors of the prompts for each emotion alone."""
    assert checkpoint.prompt_vectors is not None
    prompts = centered(checkpoint, checkpoint.prompt_vectors)
    emotions = emotions_of(checkpoint.metadata.prompts, (EMOTION,))
    return torch.stack([prompts[emotions == number].mean(dim=0) for number in range(len(EMOTIONS))])


def nearest_emotions(checkpoint: Checkpoint, vectors: Tensor, sizes: Tensor) -> list[Tensor]:
    """Return the emotion that each face is projected to, one-hot (N, 7): of the nearest prompt that names one, alone or
    in a pair, and of the nearest mean of the prompts for an emotion alone. The placeholder's vectors are alike for the
    same wording, so that the nearest prompt of a face between two strengths may have another emotion."""
    assert checkpoint.prompt_vectors is not None
    emotions = emotions_of(checkpoint.metadata.prompts, (EMOTION, PAIR))
    named = (emotions >= 0).nonzero()[:, 0]
    targets = centered(checkpoint, checkpoint.prompt_vectors[named])
    nearest = emotions[named][similarities(checkpoint, vectors, sizes, targets).argmax(dim=1)]
    nearest_mean = similarities(checkpoint, vectors, sizes, means_of(checkpoint)).argmax(dim=1)
    return [one_hot(answer, len(EMOTIONS)).float() for answer in (nearest, nearest_mean)]


def nearest_prompts(checkpoint: Checkpoint, vectors: Tensor, sizes: Tensor) -> list[str]:
    assert checkpoint.prompt_vectors is not None
    targets = centered(checkpoint, checkpoint.prompt_vectors)
    nearest = similarities(checkpoint, vectors, sizes, targets).argmax(dim=1)
    return [checkpoint.metadata.prompts[number] for number in nearest.tolist()]


def accuracy(scores: Tensor, labels: Tensor) -> str:
    return calibration.interval(lambda some: calibration.balanced(scores[some], labels[some]), labels)


def report_moves(checkpoint: Checkpoint, path: Path) -> None:
    """How far a starter moves from neutral for real faces, in units of the way from neutral to the mean of happy's
    prompts; and the mean-centered cosine to that mean."""
    pipeline, means = PerceptionPipeline(), means_of(checkpoint)
    happy = means[EMOTIONS.index("happy")]
    pictures = {photo.name: [photo.picture] for photo in sample_photos()}
    frames = [frame.picture for frame in Video(path).frames(every=EVERY)]
    for part, (start, end, _) in STRETCHES.items():
        pictures[part] = frames[-(-start // EVERY) : end // EVERY + 1]
    print("\n| faces | read as happy | distance from neutral | cosine to happy |\n|---|---|---|---|")
    for name, some in pictures.items():
        faces = pipeline(some)
        projected = centered(checkpoint, checkpoint.project(faces.vectors, faces.image_sizes).end)
        move = projected - centered(checkpoint, checkpoint.neutral[: checkpoint.width])
        length = move.norm(dim=1).mean() / (happy - means[NEUTRAL]).norm()
        likely, cosine = faces.emotions[:, EMOTIONS.index("happy")].mean(), cosine_similarity(projected, happy[None])
        print(f"| {name} | {likely:.2f} | {length:.2f} | {cosine.mean():.2f} |")


if __name__ == "__main__":
    main()
