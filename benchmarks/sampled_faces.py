"""How much sampled faces look like real ones, and what a starter trained on them makes of real faces.

    OMP_NUM_THREADS=1 python benchmarks/sampled_faces.py [--data ../shared/data] [--samples 6000]

A classifier (gradient-boosted trees, five folds) tells real faces of the expression photo set from sampled ones with
the same labels, by their shape components alone and together with the log-probabilities of their emotions. Then
starters are trained, and what their vectors say is compared with the labels of faces of FER2013: with the placeholder
text encoder, and with the real CLIP vector of a name, drawn by a seed, in place of each emotion's prompts. Last, how
far a starter moves for the faces of two photos and a video.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from expression import EVERY, STRETCHES
from inputs import need
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
from perception_clip.training.encoders.loading import load_encoder  # noqa: E402
from perception_clip.training.fitting import fit  # noqa: E402
from perception_clip.training.learning.settings import STARTER_EPOCHS, STARTER_SAMPLES, Settings  # noqa: E402
from perception_clip.training.prompts.strengths import NEUTRAL_BELOW, STRONGEST, prompt_at  # noqa: E402
from perception_clip.training.starter import sample_dataset, sample_faces  # noqa: E402

MOST = 150  # real faces of an emotion
SEEDS = 3
EMOTION_OF = {
    prompt_at(name, strength): number
    for number, name in enumerate(EMOTIONS)
    for strength in np.arange(NEUTRAL_BELOW, STRONGEST, 0.01)
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
    vectors, sizes = sample_faces(model, labels, torch.ones(len(labels)), generator)
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
    with np.load(folder / "clip_l14_pooled.npz") as data:
        names = torch.from_numpy(data["pooled"]).float()
    print(f"{len(faces.labels)} faces, balanced accuracy of the reading {accuracy(picture, faces.labels)}\n")
    print("| a starter's prompts | seed | nearest prompt | nearest mean of an emotion's prompts |\n|---|---|---|---|")
    checkpoints = []
    for seed in range(SEEDS):
        dataset = sample_dataset(load_encoder("random"), samples, seed)
        for kind, data in (("placeholder", dataset), ("a real CLIP vector", renamed(dataset, names, seed))):
            checkpoints.append(trained(data, seed))
            answers = nearest_emotions(checkpoints[-1], vectors, sizes)
            print(f"| {kind} | {seed} | {' | '.join(accuracy(each, faces.labels) for each in answers)} |", flush=True)
    report_moves(checkpoints[0], folder / "video/expressive_face.mp4")


def renamed(dataset: Dataset, names: Tensor, seed: int) -> Dataset:
    """The dataset with one prompt for each emotion, whose vector is that of a name, drawn by the seed."""
    chosen = names[torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))[: len(EMOTIONS)]]
    assert dataset.prompts is not None
    emotions = emotions_of(dataset.prompts.tolist())
    return replace(dataset, clip_embeddings=chosen[emotions].numpy(), prompts=np.array(EMOTIONS)[emotions.numpy()])


def emotions_of(prompts: list[str]) -> Tensor:
    numbers = EMOTION_OF | {name: number for number, name in enumerate(EMOTIONS)}
    return torch.tensor([numbers.get(prompt, NEUTRAL) for prompt in prompts])


def trained(dataset: Dataset, seed: int) -> Checkpoint:
    with TemporaryDirectory() as folder:
        settings = Settings(epochs=STARTER_EPOCHS, seed=seed)
        return fit(dataset, Path(folder), settings, resumable=False, report=False).checkpoint


def centered(checkpoint: Checkpoint, vectors: Tensor) -> Tensor:
    return (vectors - checkpoint.network.target_mean) / checkpoint.network.target_scale


def prompts_of(checkpoint: Checkpoint) -> tuple[Tensor, Tensor]:
    """Return the means (7, W) of the centered vectors of an emotion's prompts; and the emotion of each prompt (P,)."""
    assert checkpoint.prompt_vectors is not None
    prompts, emotions = centered(checkpoint, checkpoint.prompt_vectors), emotions_of(checkpoint.metadata.prompts)
    return torch.stack([prompts[emotions == number].mean(dim=0) for number in range(len(EMOTIONS))]), emotions


def nearest_emotions(checkpoint: Checkpoint, vectors: Tensor, sizes: Tensor) -> list[Tensor]:
    """Return the emotion that each face is projected to, one-hot (N, 7): of the nearest prompt, and of the nearest mean
    of the prompts of an emotion. The placeholder's vectors are alike for the same wording, so that the nearest prompt
    of a face between two strengths may have another emotion."""
    means, emotions = prompts_of(checkpoint)
    assert checkpoint.prompt_vectors is not None
    projected = normalize(centered(checkpoint, checkpoint.project(vectors, sizes).end), dim=1)
    nearest, nearest_mean = (
        (projected @ normalize(some, dim=1).T).argmax(dim=1)
        for some in (centered(checkpoint, checkpoint.prompt_vectors), means)
    )
    return [one_hot(answer, len(EMOTIONS)).float() for answer in (emotions[nearest], nearest_mean)]


def accuracy(scores: Tensor, labels: Tensor) -> str:
    return calibration.interval(lambda some: calibration.balanced(scores[some], labels[some]), labels)


def report_moves(checkpoint: Checkpoint, path: Path) -> None:
    """How far a starter moves from neutral for real faces, in units of the way from neutral to the mean of happy's
    prompts; and the mean-centered cosine to that mean."""
    pipeline, means = PerceptionPipeline(), prompts_of(checkpoint)[0]
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
