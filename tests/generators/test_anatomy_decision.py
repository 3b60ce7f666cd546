"""The last decision brings back what keeps structures apart, and leaves alone what is in range."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from synthaug.anatomy import NormalRange, StructureMeasures, Trend
from synthaug.anatomy.faces import count_faces
from synthaug.generators.anatomy_decision import AnatomyDecision, _Borders, _Field
from synthaug.labels import LabelScheme, Structure
from synthaug.networks.label_autoencoder import LabelAutoencoder

SCHEME = LabelScheme("onion", (Structure("core", 1), Structure("sheet", 2), Structure("shell", 3)))
SIZE, VOXEL_ML = 40, 0.001


@pytest.fixture(scope="module")
def real() -> torch.Tensor:
    """A core, a sheet one to two voxels thin around it, and a shell."""
    axis = torch.arange(SIZE) - SIZE / 2 + 0.5
    radius = (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2).sqrt()
    return torch.bucketize(-radius, torch.tensor([-17.0, -10.0, -8.5])).apply_(lambda layer: (0, 3, 2, 1)[layer])


@pytest.fixture(scope="module")
def logits(real: torch.Tensor) -> torch.Tensor:
    """Logits, folded, of the same head, in which the sheet is mostly a little less probable than what is beside it."""
    generator = torch.Generator().manual_seed(0)
    found = 4 * torch.nn.functional.one_hot(real, 4).movedim(-1, 0).float()
    found = torch.nn.functional.avg_pool3d(found[None], 3, 1, 1)[0]
    found[2] -= 1.4
    found += 0.2 * torch.randn(found.shape, generator=generator)
    return torch.stack([LabelAutoencoder.fold(one[None])[0] for one in found])


def normal(label: torch.Tensor, **changes: Trend) -> NormalRange:
    """Range around one head."""
    found = StructureMeasures.of(label.numpy(), SCHEME, VOXEL_ML)
    volumes = {name: Trend(0.0, math.log(one), 0.3) for name, one in found.volumes_ml.items()}
    return NormalRange(
        {**volumes, **changes}, {pair: Trend(0.0, share, 0.05) for pair, share in found.contacts.items()}
    )


def decide(
    logits: torch.Tensor,
    known: NormalRange,
    voxels: dict[tuple[int, ...], int] | None = None,
    rounds: int = 12,
    largest_shift: float = 4.0,
) -> torch.Tensor:
    decision = AnatomyDecision(known, SCHEME, VOXEL_ML, torch.device("cpu"))
    return decision.decide(logits, voxels or {}, rounds=rounds, largest_shift=largest_shift)


def contact(label: torch.Tensor, one: str, other: str) -> float:
    return StructureMeasures.of(label.numpy(), SCHEME, VOXEL_ML).contacts[one, other]


def test_a_sheet_that_was_lost_parts_its_neighbours_again(real: torch.Tensor, logits: torch.Tensor) -> None:
    before = LabelAutoencoder.unfold(logits.argmax(0)[None])[0]
    label = decide(logits, normal(real))
    assert contact(real, "core", "shell") == 0
    assert contact(before, "core", "shell") > 0.3
    assert contact(label, "core", "shell") < 0.05
    excesses = dict(normal(real).excesses(StructureMeasures.of(label.numpy(), SCHEME, VOXEL_ML), SCHEME))
    assert max(excesses.values()) <= 1
    assert float((label == real).float().mean()) > float((before == real).float().mean())


def test_what_is_in_range_is_left_alone(real: torch.Tensor, logits: torch.Tensor) -> None:
    before = LabelAutoencoder.unfold(logits.argmax(0)[None])[0]
    assert torch.equal(decide(logits, normal(before)), before)
    assert torch.equal(decide(logits, normal(real), rounds=0), before)


def test_what_is_asked_for_prevails(real: torch.Tensor, logits: torch.Tensor) -> None:
    voxels = int((real == 1).sum()) - 300
    narrow = normal(real, core=Trend(0.0, math.log(2 * VOXEL_ML * int((real == 1).sum())), 0.01))
    label = decide(logits, narrow, {(1,): voxels})
    assert int((label == 1).sum()) == pytest.approx(voxels, abs=2)


@pytest.mark.parametrize("voxels", [2600, 3600])
def test_a_volume_far_from_what_is_probable_is_met_as_without_a_range(
    real: torch.Tensor, logits: torch.Tensor, voxels: int
) -> None:
    found = decide(logits, normal(real), {(1,): voxels}, largest_shift=6.0)
    assert int((found == 1).sum()) == pytest.approx(voxels, abs=2)


@pytest.mark.parametrize(("voxels", "largest_shift"), [(3000, 0.5), (3600, 2.5)])
def test_what_contacts_take_of_a_volume_is_made_up_for(
    real: torch.Tensor, logits: torch.Tensor, voxels: int, largest_shift: float
) -> None:
    before = decide(logits, normal(real), {(1,): voxels}, rounds=0, largest_shift=largest_shift)
    assert int((before == 1).sum()) == pytest.approx(voxels, abs=2)
    found = decide(logits, normal(real), {(1,): voxels}, largest_shift=largest_shift)
    assert int((found == 1).sum()) == pytest.approx(voxels, abs=2)
    assert contact(found, "core", "shell") < 0.5 * contact(before, "core", "shell")


def test_no_structure_is_shifted_where_no_shift_is_allowed(real: torch.Tensor, logits: torch.Tensor) -> None:
    before = decide(logits, normal(real), {(1,): 4800}, rounds=0, largest_shift=0.0)
    found = decide(logits, normal(real), {(1,): 4800}, largest_shift=0.0)
    assert int((found == 1).sum()) <= int((before == 1).sum())


def test_contacts_that_contradict_a_volume_take_little_of_it(real: torch.Tensor, logits: torch.Tensor) -> None:
    before = decide(logits, normal(real), {(1,): 4800}, rounds=0)
    assert int((before == 1).sum()) == pytest.approx(4800, abs=2)
    assert int((decide(logits, normal(real), {(1,): 4800}) == 1).sum()) == pytest.approx(4800, rel=0.04)


def test_a_structure_is_not_lost_to_bring_the_rest_into_range(logits: torch.Tensor) -> None:
    small = logits.clone()
    place = torch.zeros(SIZE, SIZE, SIZE, dtype=torch.bool)
    place[18:22, 18:21, 18:20] = True
    small[1] = -5.0
    small[1][LabelAutoencoder.fold(place[None])[0]] = 2.0
    small[2][LabelAutoencoder.fold(place[None])[0]] = 1.0
    before = LabelAutoencoder.unfold(small.argmax(0)[None])[0]
    count = int((before == 1).sum())
    known = normal(before, core=Trend(0.0, math.log(0.5 * count * VOXEL_ML), 0.3))
    found = int((decide(small, known, rounds=20) == 1).sum())
    assert 10 <= found <= count


def with_borders(
    logits: torch.Tensor, voxels: dict[tuple[int, ...], int], largest_shift: float
) -> tuple[torch.Tensor, _Borders]:
    """The most probable label map ``(X, Y, Z)``, and what may change of it."""
    first, folded = logits.max(dim=0)
    label = LabelAutoencoder.unfold(folded[None])[0].int()
    return label, _Borders.of(logits, first, folded, label, voxels, largest_shift)


def faces_by(borders: _Borders, label: torch.Tensor) -> torch.Tensor:
    flat = label.flatten()
    return borders.count_faces(flat[borders.place], flat[borders.around])


def test_what_lies_beyond_the_field_of_view_is_no_neighbour() -> None:
    logits = torch.randn(4, 8, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    label, borders = with_borders(logits, {}, 0.0)
    assert len(borders.place) == label.numel()
    assert torch.equal(faces_by(borders, label), count_faces(label, 4))
    field = _Field(torch.zeros(4), torch.arange(16.0).view(4, 4))
    corner = int((borders.place == 0).nonzero())
    added = borders.potential(label.flatten()[borders.around], field)[:, corner] - borders.logits[:, corner]
    beside = [int(label[1, 0, 0]), int(label[0, 1, 0]), int(label[0, 0, 1]), *[int(label[0, 0, 0])] * 3]
    assert torch.allclose(added, field.pairwise[beside].sum(0), atol=1e-4)


def test_an_impossible_label_stays_so(real: torch.Tensor, logits: torch.Tensor) -> None:
    forbidden = logits.clone()
    left = torch.zeros(SIZE, SIZE, SIZE, dtype=torch.bool)
    left[: SIZE // 2] = True
    forbidden[2].masked_fill_(LabelAutoencoder.fold(left[None])[0], -torch.inf)
    label = decide(forbidden, normal(real))
    assert not (label[: SIZE // 2] == 2).any()
    assert (label[SIZE // 2 :] == 2).any()


def test_faces_are_counted_anew_where_labels_may_change(real: torch.Tensor, logits: torch.Tensor) -> None:
    label, borders = with_borders(logits, {(1,): 2000}, 2.0)
    assert 0 < len(borders.place) < label.numel()
    certain = logits.clone()
    certain.scatter_(0, logits.argmax(0, keepdim=True), 100.0)  # no border is open any more
    assert len(with_borders(certain, {}, 0.0)[1].place) == 0
    assert torch.equal(faces_by(borders, label), count_faces(label, 4))
    changed = label.clone()
    rng = np.random.default_rng(0)
    changed.view(-1)[borders.place] = torch.from_numpy(rng.integers(0, 4, len(borders.place), dtype=np.int32))
    assert torch.equal(faces_by(borders, changed), count_faces(changed, 4))
