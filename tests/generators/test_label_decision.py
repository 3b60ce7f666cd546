"""The decision keeps structures in their places, and settles what nothing is known of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from synthaug.anatomy import NormalRange, Trend
from synthaug.generators.guided_ldm import GuidedLDMNetworks
from synthaug.generators.guided_ldm_config import GuidedLDMConfig
from synthaug.generators.label_decision import LabelDecision
from synthaug.networks.label_autoencoder import LabelAutoencoder
from tests.generators.tiny_guided_ldm import SHAPE, tiny_config

SCHEME = tiny_config().scheme
VENTRICLE, CORTEX, CSF = (SCHEME.id_of(name) for name in ("third_ventricle", "cerebral_cortex", "csf"))


@pytest.fixture(scope="module")
def head() -> torch.Tensor:
    """A cortex with a ventricle that is open at its lower side, and a speck of it on the other one."""
    label = torch.zeros(SHAPE, dtype=torch.long)
    label[6:26, 6:26, 6:26] = CORTEX
    label[12:20, 12:20, 6:16] = VENTRICLE
    label[8:12, 8:12, 22:24] = VENTRICLE
    return label


def decide(head: torch.Tensor, config: GuidedLDMConfig, volumes_ml: dict[str, float]) -> np.ndarray:
    autoencoder: LabelAutoencoder = GuidedLDMNetworks.build(config).label_autoencoder
    latent = autoencoder.encode(head[None])
    latent = latent + 0.01 * torch.randn(latent.shape, generator=torch.Generator().manual_seed(0))  # no two are alike
    decision = LabelDecision(config, autoencoder, torch.device("cpu"), torch.float32)
    with torch.inference_mode():
        coarsest = torch.nn.functional.avg_pool3d(latent, 4)
        return decision.decide(config.mask_latent.scale(coarsest), latent, volumes_ml).numpy()


def with_sampling(**options: object) -> GuidedLDMConfig:
    return tiny_config().with_sampling(**options)


def test_without_settings_the_latent_s_label_map_comes_back(head: torch.Tensor) -> None:
    assert (decide(head, with_sampling(), {}) == head.numpy()).mean() > 0.99


def test_a_structure_of_one_piece_loses_its_speck(head: torch.Tensor) -> None:
    found = decide(head, with_sampling(one_piece=["third_ventricle"]), {})
    assert (found[8:12, 8:12, 22:24] == CORTEX).all()
    assert (found[13:19, 13:19, 7:15] == VENTRICLE).all()


def test_an_enclosed_structure_is_not_seen_from_outside(head: torch.Tensor) -> None:
    assert (decide(head, with_sampling(), {})[13:19, 13:19, 6] == VENTRICLE).all()
    found = decide(head, with_sampling(enclosed=["ventricles"]), {})
    assert not (found[:, :, :7] == VENTRICLE).any()
    assert (found[13:19, 13:19, 8:15] == VENTRICLE).all()


@pytest.mark.parametrize("known", [False, True])
def test_the_volume_asked_for_is_met_with_and_without_a_range(head: torch.Tensor, known: bool) -> None:
    wanted_ml = 0.95 * float((head == VENTRICLE).sum()) * 0.064
    normal = NormalRange({"third_ventricle": Trend(0.0, 9.0, 0.1)}, {}) if known else None
    config = replace(with_sampling(volume_shift=15.0), normal_range=normal)
    found = decide(head, config, {"third_ventricle": wanted_ml})
    assert (found == VENTRICLE).sum() * 0.064 == pytest.approx(wanted_ml, rel=0.02)


def test_what_leaves_its_place_while_borders_move_is_brought_back(
    head: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle = LabelDecision._settle

    def with_shifts(shifts: torch.Tensor) -> None:
        folded = LabelAutoencoder.fold(shifts[None])[0]

        def shifted(self: LabelDecision, logits: torch.Tensor, *others: object) -> torch.Tensor:
            logits[VENTRICLE] += folded
            return settle(self, logits, *others)  # type: ignore[arg-type]

        monkeypatch.setattr(LabelDecision, "_settle", shifted)

    cut = torch.zeros(SHAPE)
    cut[:, :, 10:14] = -50.0
    with_shifts(cut)
    assert (decide(head, with_sampling(), {})[13:19, 13:19, 14:16] == VENTRICLE).all()
    assert not (decide(head, with_sampling(one_piece=["third_ventricle"]), {})[:, :, 14:] == VENTRICLE).any()

    spilt, without_speck = torch.zeros(SHAPE), head.clone()
    spilt[10:18, 10:18, 25] = 50.0
    without_speck[8:12, 8:12, 22:24] = CORTEX
    with_shifts(spilt)
    assert (decide(without_speck, with_sampling(), {})[10:18, 10:18, 25] == VENTRICLE).all()
    assert not (
        decide(without_speck, with_sampling(enclosed=["third_ventricle"]), {})[10:18, 10:18, 25] == VENTRICLE
    ).any()
