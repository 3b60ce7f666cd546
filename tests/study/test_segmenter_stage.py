"""Training of a segmenter: it repeats, and it resumes to the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from synthaug.schedules import parse_mix
from synthaug.study.augmentation import Augmentation
from synthaug.study.grid_case import GridCase
from synthaug.study.lessons import Lessons
from synthaug.study.segmenter_stage import SegmenterStage, TrainingPlan, class_weights
from synthaug.study.segmenters import DynUNetSegmenter

SHAPE = (16, 16, 16)


def cases() -> list[GridCase]:
    """Bright boxes of label 1 and darker ones of label 2."""
    made = []
    for number in range(3):
        label = torch.zeros(SHAPE, dtype=torch.uint8)
        label[2:14, 2:14, 2:14] = 1
        label[4 + number : 9 + number, 5:10, 5:10] = 2
        noise = torch.from_numpy(np.random.default_rng(number).normal(0, 0.02, (1, *SHAPE)))
        image = (torch.tensor([0.0, 0.9, 0.3])[label.long()] + noise) * (label > 0)
        made.append(GridCase(str(number), image.half(), label))
    return made


def stage(folder: Path, *, steps: int = 6, seed: int = 0, augmentation: bool = True) -> SegmenterStage:
    plan = TrainingPlan(
        steps, 2, 1e-2, (4.0, 4.0, 4.0), Augmentation() if augmentation else None, (1.0, 1.0, 1.0),
        checkpoint_seconds=1e-9,
    )  # fmt: skip
    torch.manual_seed(seed)
    network = DynUNetSegmenter(filters=(4, 8, 8)).build(1, 3, SHAPE)
    lessons = Lessons(cases(), [], parse_mix("real"), seed)
    return SegmenterStage(folder, network, lessons, plan, Accelerator(cpu=True))


def weights(network: torch.nn.Module) -> list[torch.Tensor]:
    return [value.clone() for value in network.state_dict().values()]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.usefixtures("fresh_accelerator")
def test_a_training_that_stops_after_every_step_ends_on_the_same_weights(tmp_path: Path) -> None:
    whole = weights(stage(tmp_path / "whole").run())
    stops = 0
    while True:
        try:
            network = stage(tmp_path / "stopped").run(deadline=0.0)
            break
        except TimeoutError:
            stops += 1
            if stops == 6:  # the last step is made: nothing is left but to write the result
                network = stage(tmp_path / "stopped").run()
                break
    assert stops == 6
    assert same(whole, weights(network))


@pytest.mark.usefixtures("fresh_accelerator")
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    one, again, other = (weights(stage(tmp_path / str(i), seed=seed).run()) for i, seed in enumerate((0, 0, 1)))
    assert same(one, again)
    assert not same(one, other)


@pytest.mark.usefixtures("fresh_accelerator")
def test_a_batch_follows_from_seed_and_step(tmp_path: Path) -> None:
    image, label = stage(tmp_path / "a").batch(3)
    again, _ = stage(tmp_path / "b").batch(3)
    assert image.shape == (2, 1, *SHAPE)
    assert (label.dtype, image.dtype) == (torch.uint8, torch.float32)
    assert torch.equal(image, again)
    assert not torch.equal(image, stage(tmp_path / "c").batch(4)[0])
    plain, _ = stage(tmp_path / "d", augmentation=False).batch(3)
    assert any(torch.equal(plain[0], one.image.float()) for one in cases())


@pytest.mark.usefixtures("fresh_accelerator")
def test_boxes_are_learned(tmp_path: Path) -> None:
    network = stage(tmp_path / "learned", steps=100).run()
    first = cases()[0]
    with torch.inference_mode():
        found = network(first.image[None].float())[0].argmax(0)
    for label in (1, 2):
        inside, true = found == label, first.label == label
        assert 2 * int((inside & true).sum()) / int(inside.sum() + true.sum()) > 0.8


def test_rare_classes_weigh_more_and_the_mean_weight_of_a_voxel_is_one() -> None:
    label = torch.tensor([0] * 64 + [1] * 16 + [2] * 4, dtype=torch.uint8).reshape(84, 1, 1)
    weights = class_weights([label, label], 3)
    assert weights[1] / weights[0] == pytest.approx(2)
    assert weights[2] / weights[0] == pytest.approx(4)
    assert float(torch.tensor(weights)[label.long()].mean()) == pytest.approx(1)
    assert all(np.isfinite(class_weights([label], 4)))


@pytest.mark.usefixtures("fresh_accelerator")
def test_class_weights_go_down_to_one_by_the_middle_of_the_training(tmp_path: Path) -> None:
    made = stage(tmp_path)
    made._class_weights = torch.tensor([0.25, 1.0, 4.0])
    for progress, weights in ((0.0, [0.25, 1.0, 4.0]), (0.25, [0.5, 1.0, 2.0]), (0.5, [1.0] * 3), (0.9, [1.0] * 3)):
        torch.testing.assert_close(made._weights_at(progress), torch.tensor(weights))
