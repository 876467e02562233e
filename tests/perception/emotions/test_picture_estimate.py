from __future__ import annotations

import torch

from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.emotions.picture_estimate import PictureEstimate
from perception_clip.perception.vector import EMOTIONS, NEUTRAL

MODEL, ESTIMATE = ExpressionModel.load(), PictureEstimate.load()


def test_sampled_probabilities_read_as_their_emotion_and_vary() -> None:
    emotions = torch.arange(1400) % 7
    landmarks, sizes = MODEL.sample(emotions, torch.ones(1400), torch.Generator().manual_seed(0))
    components = MODEL.components(landmarks, sizes)
    first, again, other = (ESTIMATE.sample(components, emotions, torch.Generator().manual_seed(n)) for n in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    torch.testing.assert_close(first.sum(dim=1), torch.ones(1400))
    assert (first.argmax(dim=1) == emotions).double().mean() > 0.99
    means = torch.stack([first[emotions == emotion].mean(dim=0) for emotion in range(7)])
    # As of real faces: a smile is sure, and a face is never certainly angry.
    assert means[EMOTIONS.index("happy"), EMOTIONS.index("happy")] > 0.55
    assert 0.3 < means[EMOTIONS.index("angry"), EMOTIONS.index("angry")] < 0.6
    assert (first.log().std(dim=0) > 0.4).all()


def test_the_mean_logits_of_mean_faces_are_largest_for_their_emotion() -> None:
    for name in ("angry", "fear", "happy", "sad", "surprise", "neutral"):
        shown = torch.nn.functional.one_hot(torch.tensor([EMOTIONS.index(name)]), 7).float()
        logits = ESTIMATE.logits(MODEL.means[[EMOTIONS.index(name)]], shown)
        assert EMOTIONS[int(logits.argmax())] == name
    assert ESTIMATE.emotions[NEUTRAL].abs().max() < 1e-6


def test_no_faces() -> None:
    nothing = ESTIMATE.sample(torch.zeros(0, 120), torch.zeros(0, dtype=torch.int64), torch.Generator())
    assert nothing.shape == (0, 7)
