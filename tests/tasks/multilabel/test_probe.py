from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from raytl.config.schema import TrainConfig
from raytl.tasks.multilabel.loss import label_loss
from raytl.tasks.multilabel.probe import solve


def test_each_label_is_a_logistic_regression_on_its_known_images() -> None:
    draw = np.random.default_rng(0)
    features = draw.normal(size=(120, 6))
    targets = (features[:, :2] + draw.normal(size=(120, 2)) > 0.5).astype(np.int8)
    targets[draw.random((120, 2)) < 0.2] = -1
    given, vectors = torch.from_numpy(features.astype(np.float32)), torch.from_numpy(targets)
    loss = label_loss(TrainConfig(), ("a", "b"), targets)
    strength = 0.01
    solved = solve(given[:80], vectors[:80], given[80:], vectors[80:], loss, lambda _: {}, strengths=(strength,)).best
    mean, deviation = features[:80].mean(0), features[:80].std(0)
    count = (targets[:80] >= 0).sum()
    for label in (0, 1):
        known = targets[:80, label] >= 0
        peer = LogisticRegression(C=1 / (strength * count), tol=1e-10, max_iter=10_000)
        peer.fit(((features[:80] - mean) / deviation)[known], targets[:80, label][known])
        expected = peer.decision_function((features - mean) / deviation)
        ours = features @ solved.weight[label].numpy() + float(solved.bias[label])
        assert np.abs(ours - expected).max() < 2e-3


def test_the_soft_head_is_the_strongest_penalty_within_one_standard_error_of_the_best() -> None:
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(60, 40, generator=draw)
    targets = (features[:, :3] + torch.randn(60, 3, generator=draw) > 0).to(torch.int8)
    loss = label_loss(TrainConfig(), ("a", "b", "c"), targets.numpy())
    solved = solve(features[:30], targets[:30], features[30:], targets[30:], loss, lambda logits: {"n": len(logits)})
    assert solved.soft.strength >= solved.best.strength
    assert solved.scores[solved.best.strength] == {"n": 30}
    by_image = {
        head.strength: loss(features[30:] @ head.weight.T + head.bias, targets[30:]).mean(dim=1)
        for head in (solved.best, solved.soft)
    }
    best, soft = by_image[solved.best.strength], by_image[solved.soft.strength]
    assert best.mean() <= soft.mean() <= best.mean() + best.std(correction=0) / 30**0.5 + 1e-6
