"""A study from its check to its results: pairs made, networks trained and tested, by any number of processes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from synthaug.configuration import config_to_dict
from synthaug.errors import ConfigurationError
from synthaug.fitting.stage import DeadlineReached
from synthaug.networks.precision import autocast, choose_device, choose_dtype
from synthaug.precomputing.processes import Share
from synthaug.store.claims import Claims
from synthaug.study.arms import Arm, Run, plan_runs
from synthaug.study.augmentation import Augmentation
from synthaug.study.configuration import StudyConfig
from synthaug.study.grid_case import GridCase
from synthaug.study.network_check import check_network
from synthaug.study.nnunet_training import NnunetTraining, check_nnunet
from synthaug.study.pair_cache import PairCache
from synthaug.study.segmenter_stage import SegmenterStage, TrainingPlan, class_weights
from synthaug.study.segmenters import NetworkSegmenter, NnunetSegmenter
from synthaug.study.study_data import StudyData, SurveyedData, pair_content
from synthaug.study.tested_case import TestedCase
from synthaug.study.workspace import RunResult, Workspace

logger = logging.getLogger(__name__)

POLL_S = 1.0
"""How often a process that has nothing left to begin looks whether the others are done."""


class Experiment:
    """The runs of a study in a folder.

    Args:
        config: the study.
        folder: of its results.
        device: torch device, or auto.
        checkpoint_seconds: time between checkpoints of a training.
    """

    def __init__(
        self, config: StudyConfig, folder: Path, *, device: str = "auto", checkpoint_seconds: float = 30.0
    ) -> None:
        self.config = config
        self.workspace = Workspace(folder)
        self.runs = plan_runs(config)
        self._device = device
        self._checkpoint_seconds = checkpoint_seconds
        self._prepared: set[tuple[Path, int]] = set()

    @cached_property
    def accelerator(self) -> Accelerator:
        """Device and precision of the trainings."""
        device = choose_device(self._device)
        precision = "bf16" if choose_dtype(device) == torch.bfloat16 else "no"
        return Accelerator(cpu=device.type == "cpu", mixed_precision=precision)

    @cached_property
    def data(self) -> SurveyedData:
        """The cases, each of which was read once."""
        self.workspace.refuse_foreign()
        found = StudyData.find(self.config, self.workspace.folder)
        return found.survey(_logged("cases read"))

    def check(self) -> None:
        """Refuse whatever cannot end well, before any pair is made and any network trained.

        Raises:
            SynthAugError: a device, case, shape, network, structure, generator, cache or schedule that does not fit, a
                test case that a generator was fitted on, or a folder of another study.
        """
        device = choose_device(self._device)
        data = self.data
        data.check_shape()
        for segmenter in self.config.segmenters.values():
            if isinstance(segmenter, NnunetSegmenter):
                check_nnunet(data.data.first.dataset, segmenter)
            elif isinstance(segmenter, NetworkSegmenter):
                channels = len(data.data.last.dataset.channels)
                check_network(segmenter, channels, data.data.scheme.num_classes, data.grid.shape, device)
        for cache in self._caches(self.runs):
            data.check_pairs(cache, self._device)
        self.workspace.begin(config_to_dict(self.config), data.identity(), self.runs)

    def check_begun(self) -> None:
        """Refuse a folder of another study, or of none, without reading a case.

        Raises:
            ConfigurationError: says which it is.
        """
        self.workspace.require(self.runs)

    def work(self, share: Share | None = None) -> None:
        """Until every run has a result: make what no other process is making, and wait for the others.

        A launcher ends all its processes when one of them leaves with runs missing, and what a process that was lost
        has begun is taken over. Pairs are made and brought to the grid before the first training, so that what is
        wrong with them is known early.

        Args:
            share: this process among the others; None: the only one.

        Raises:
            SynthAugError: pairs that fail quality control or do not fit the grid, or a training that cannot go on.
        """
        share = share or Share()
        self._make_pairs([run for run in self.runs if self._is_due(run)], share)
        claims = self.workspace.claims()
        order = share.order(len(self.runs))
        with claims.kept_alive():
            while due := [self.runs[number] for number in order if self._is_due(self.runs[number])]:
                made = [run for run in due if self._make_unclaimed(run, claims.take, claims, share)]
                if not made:
                    self._wait_for_others()

    def work_on(self, number: int) -> bool:
        """Make one run; False where another process is making it.

        Raises:
            ConfigurationError: there is no such run.
        """
        if not 0 <= number < len(self.runs):
            raise ConfigurationError(f"--run {number}: the study has runs 0 to {len(self.runs) - 1}; --list shows them")
        run = self.runs[number]
        claims = self.workspace.claims()
        with claims.kept_alive():
            # this process looks once: it has not seen for how long a claim of another machine was left untouched
            return not self._is_due(run) or self._make_unclaimed(run, claims.take_from_silent, claims, Share())

    def _make_unclaimed(self, run: Run, take: Callable[[str], bool], claims: Claims, share: Share) -> bool:
        """Make a run; False where another process is making it."""
        if not take(run.name):
            return False
        try:
            if self._is_due(run):  # finished by another process between the two looks
                self._make(run, share)
                self._tell_progress(share)
        finally:
            claims.release(run.name)
        return True

    def _wait_for_others(self) -> None:
        time.sleep(POLL_S)

    def _tell_progress(self, share: Share) -> None:
        seconds = [result.seconds for result in self.workspace.results(self.runs).values()]
        left = len(self.runs) - len(seconds)
        minutes = float(np.mean(seconds)) * left / share.count / 60
        logger.info("%d of %d runs are done, about %.0f min of training to go", len(seconds), len(self.runs), minutes)

    def _is_due(self, run: Run) -> bool:
        result = self.workspace.result(run)
        if result is None:
            return True
        budget, had = self.config.budget_seconds, result.budget_seconds
        return result.is_short and had is not None and (budget is None or budget > had)

    def _caches(self, runs: Iterable[Run]) -> list[PairCache]:
        """Every cache that runs draw from, once for each schedule that they draw by and each number of pairs."""
        drawn = (cache for run in runs for _, cache in self.data.caches(run.arm, run.seed))
        return list({(cache.folder, cache.drawn, cache.num): cache for cache in drawn}.values())

    def _make_pairs(self, runs: Sequence[Run], share: Share) -> None:
        """Pairs that are due, and on the grid where a network of the study draws from them."""
        on_grid = [run for run in runs if isinstance(self.config.segmenters[run.arm.segmenter], NetworkSegmenter)]
        needed = {(cache.folder, cache.num) for cache in self._caches(on_grid)}
        for pairs, cache in {(one.folder, one.num): one for one in self._caches(runs)}.items():
            cache.make(self._device, share)
            if pairs in needed - self._prepared:
                self.data.prepare_pairs(cache)
                self._prepared.add(pairs)

    def _make(self, run: Run, share: Share) -> None:
        self._make_pairs([run], share)
        caches = self._caches([run])
        notes = tuple(note for cache in caches for note in cache.notes())
        pairs = {cache.name: pair_content(*cache.open()) for cache in caches}
        folder = self.workspace.begin_run(run, {"cases": self.data.identity(), "pairs": pairs})
        logger.info("run %d of %d: %s, seed %d", self.runs.index(run), len(self.runs), _title(run.arm), run.seed)
        count = sum(len(content) - 1 for content in pairs.values())
        segmenter = self.config.segmenters[run.arm.segmenter]
        if isinstance(segmenter, NnunetSegmenter):
            result = self._train_nnunet(run, segmenter, folder, share)
        else:
            assert isinstance(segmenter, NetworkSegmenter)
            result = self._train_network(run, segmenter, folder)
        if result.is_short:
            logger.warning("run %d stopped after %.0f s; it is not compared", self.runs.index(run), result.seconds)
        self.workspace.finish_run(run, replace(result, pairs=count, notes=(*result.notes, *notes)))

    def _train_network(self, run: Run, segmenter: NetworkSegmenter, folder: Path) -> RunResult:
        stage = self._stage(run, segmenter, folder)
        budget = self.config.budget_seconds
        deadline = None if budget is None else time.time() + max(0.0, budget - stage.spent_seconds)
        try:
            tested = self._test(stage.run(deadline=deadline))
        except DeadlineReached:
            return RunResult(stage.step, True, stage.spent_seconds, budget, 0, ())
        finally:
            self.accelerator.free_memory()
        skipped = stage.skipped_steps
        notes = (f"Run {run.name}: {skipped} step(s) had no finite gradient and were left out.",) if skipped else ()
        device = self.accelerator.device
        trained_on = f"{device.type} in {str(choose_dtype(device)).removeprefix('torch.')}"
        return RunResult(self.config.steps, False, stage.spent_seconds, budget, 0, tested, notes, trained_on)

    def _train_nnunet(self, run: Run, segmenter: NnunetSegmenter, folder: Path, share: Share) -> RunResult:
        caches = self._caches([run]) or self._caches(self.runs)[:1]  # the trainer opens one whatever its share
        caches[0].make(self._device, share)
        training = NnunetTraining(
            folder=folder / "nnunet",
            segmenter=segmenter,
            held=self.data.data.first,
            training=self.data.data.first.subset(run.arm.real_cases, run.seed),
            cache=caches[0],
            mix=run.arm.mix(self.config.switch),
            seed=run.seed,
            steps=self.config.steps,
            device=choose_device(self._device),
        )
        budget = self.config.budget_seconds
        if not training.train(budget):
            return RunResult(0, True, training.spent_seconds, budget, 0, ())
        scheme = self.data.data.first.dataset.scheme
        tested = training.test(self.config.structures or scheme.names, self.config.structure)
        return RunResult(self.config.steps, False, training.spent_seconds, budget, 0, tested)

    def _stage(self, run: Run, segmenter: NetworkSegmenter, folder: Path) -> SegmenterStage:
        config, data = self.config, self.data
        plan = TrainingPlan(
            steps=config.steps,
            batch=config.batch,
            learning_rate=config.learning_rate,
            spacing_mm=data.grid.spacing_mm,
            augmentation=Augmentation() if config.augmentation else None,
            class_weights=self._class_weights,
            checkpoint_seconds=self._checkpoint_seconds,
        )
        torch.manual_seed(run.seed)  # the same initial weights in every arm
        channels = len(data.data.last.dataset.channels)
        network = segmenter.build(channels, data.data.scheme.num_classes, data.grid.shape)
        return SegmenterStage(folder, network, data.lessons(run.arm, run.seed), plan, self.accelerator)

    @cached_property
    def _class_weights(self) -> tuple[float, ...]:
        """By the real training cases, the same in every arm."""
        labels = (one.label for one in self.data.training_cases())
        return class_weights(labels, self.data.data.scheme.num_classes)

    @torch.inference_mode()
    def _test(self, network: nn.Module) -> tuple[TestedCase, ...]:
        return tuple(self._tested(network, case) for case in self.data.test_cases())

    def _tested(self, network: nn.Module, case: GridCase) -> TestedCase:
        device = self.accelerator.device
        with autocast(device, choose_dtype(device)):
            found = network(case.image[None].to(device).float())[0].float().argmax(0)
        return TestedCase.of(
            case.name,
            case.label.numpy(),
            found.cpu().numpy(),
            self.data.data.scheme,
            voxel_volume_ml=self.data.grid.voxel_volume_ml,
            structures=self.config.structures or self.data.data.scheme.names,
            structure=self.config.structure,
        )


def describe_runs(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Number, name, arm and seed of each run, JSON-ready."""
    return [{"number": number, "name": run.name, "seed": run.seed, **vars(run.arm)} for number, run in enumerate(runs)]


def _title(arm: Arm) -> str:
    return f"{arm.segmenter}, {arm.title}"


def _logged(what: str) -> Callable[[int, int], None]:
    def log(done: int, total: int) -> None:
        if done % 10 == 0 or done == total:
            logger.info("%s: %d of %d", what, done, total)

    return log
