"""Held-out cases among a generator's training cases, for whoever trains with MONAI or plain torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from synthaug import SynthAugment, check_leakage
from synthaug.errors import ConfigurationError, LeakageError, SynthAugError
from synthaug.generators.cases import CasePaths, case_record
from synthaug.leakage import find_leaks, refuse_leaks
from synthaug.live import LiveSource
from synthaug.sources import GeneratorSource, StoreSource
from synthaug.store import Store, StoreInfo
from synthaug.volumes import CaseRecord
from tests.leaked_copies import COPIES
from tests.raw_dataset import write_raw_dataset
from tests.real_samples import RealCases
from tests.stand_in_generator import StandInGenerator
from tests.stand_in_store import fill

FITTED = [CaseRecord("a", "image-a", "label-a"), CaseRecord("b", None, "label-b")]


@pytest.mark.parametrize(
    ("held_out", "same"),
    [
        (CaseRecord("a", None, None), "identifier"),
        (CaseRecord("a", "other", "other"), "identifier"),
        (CaseRecord("renamed", "image-a", "other"), "image"),
        (CaseRecord("renamed", "other", "label-b"), "label"),
    ],
)
def test_a_case_is_recognised(held_out: CaseRecord, same: str) -> None:
    (leak,) = find_leaks(FITTED, [held_out])
    assert leak.same == same
    assert held_out.identifier in str(leak)


def test_what_is_unknown_is_not_the_same() -> None:
    assert find_leaks([CaseRecord("b", None, None)], [CaseRecord("c", None, None)]) == []
    assert find_leaks(FITTED, [CaseRecord("c", "image-c", "label-c")]) == []


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CasePaths]:
    """A case that a generator was fitted on, one that it was not, by name."""
    folder = tmp_path_factory.mktemp("raw")
    names = ("seen", "unseen")
    write_raw_dataset(folder, names)
    return {
        name: CasePaths(name, (folder / "imagesTr" / f"{name}_0000.nii.gz",), folder / "labelsTr" / f"{name}.nii.gz")
        for name in names
    }


def files(case: CasePaths) -> tuple[Path, Path]:
    return case.images[0], case.label


def fitted_on(case: CasePaths) -> StandInGenerator:
    return StandInGenerator(training_cases=[case_record(case)])


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_of_a_held_out_case_is_refused_when_the_mixed_dataset_is_made(
    cases: dict[str, CasePaths], tmp_path: Path, copy: Callable[[CasePaths, Path], CasePaths]
) -> None:
    generator = fitted_on(copy(cases["seen"], tmp_path / "copy"))
    SynthAugment(RealCases(), generator, held_out=[files(cases["unseen"])])
    with pytest.raises(
        LeakageError, match=r"fitted on 1 of 2 held-out case\(s\): .*seen_0000.*allow_leakage"
    ) as refused:
        SynthAugment(RealCases(), generator, held_out=[files(cases["unseen"]), files(cases["seen"])])
    assert "unseen" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_whatever_a_training_draws_from_tells_what_its_generator_was_fitted_on(
    cases: dict[str, CasePaths], tmp_path: Path
) -> None:
    generator = fitted_on(cases["seen"])
    store = Store.create(tmp_path / "cache", StoreInfo.of(generator))
    fill(store, generator, [20.0, 40.0])
    for made_by in (generator, GeneratorSource(generator), store, store.folder, str(store.folder), StoreSource(store)):
        with pytest.raises(LeakageError, match="seen_0000"):
            check_leakage(made_by, [files(cases["seen"])])
        assert check_leakage(made_by, [files(cases["unseen"])]) == ()


def test_a_live_source_tells_it_too(cases: dict[str, CasePaths], monkeypatch: pytest.MonkeyPatch) -> None:
    from tests import stand_in_generator

    monkeypatch.setattr(stand_in_generator, "make", lambda **options: fitted_on(cases["seen"]))
    source = LiveSource("python:tests.stand_in_generator:make", "uniform:30:40")
    with pytest.raises(LeakageError, match="seen_0000"):
        check_leakage(source, [files(cases["seen"])])
    source.close()


def test_a_held_out_case_has_any_form_that_a_training_has_it_in(cases: dict[str, CasePaths]) -> None:
    generator = fitted_on(cases["seen"])
    image, label = files(cases["seen"])
    forms: list[Any] = [
        (str(image), str(label)),
        [image, label],
        ([image], label),
        {"image": str(image), "label": str(label), "age": 40},
        CaseRecord("renamed", None, case_record(cases["seen"]).label_sha256),
        CaseRecord("seen", None, None),
    ]
    for form in forms:
        with pytest.raises(LeakageError):
            check_leakage(generator, [form])
    with pytest.raises(LeakageError):
        check_leakage(generator, [{"t1": image, "seg": label}], keys=("t1", "seg"))


def test_channels_lie_in_one_file_or_in_several(cases: dict[str, CasePaths], tmp_path: Path) -> None:
    image: Any = nibabel.load(cases["seen"].images[0])
    channels = [np.asarray(image.dataobj), 2 * np.asarray(image.dataobj)]
    single = [tmp_path / f"{number}.nii.gz" for number in range(2)]
    for path, channel in zip(single, channels, strict=True):
        nibabel.save(nibabel.Nifti1Image(channel, image.affine), path)
    nibabel.save(nibabel.Nifti1Image(np.stack(channels, axis=-1), image.affine), tmp_path / "both.nii.gz")
    other_label = cases["unseen"].label
    fitted = case_record(CasePaths("both", tuple(single), cases["seen"].label))
    generator = StandInGenerator(training_cases=[fitted])
    for held_out in ((single, other_label), (tmp_path / "both.nii.gz", other_label)):
        with pytest.raises(LeakageError, match="same image"):
            check_leakage(generator, [held_out])
    assert check_leakage(generator, [(single[::-1], other_label)]) == ()


def test_an_allowed_leak_is_warned_of_and_told_by_the_statistics(cases: dict[str, CasePaths]) -> None:
    generator = fitted_on(cases["seen"])
    with pytest.warns(UserWarning, match=r"allow_leakage is set.*seen_0000.*held-out"):
        mixed = SynthAugment(RealCases(), generator, held_out=[files(cases["seen"])], allow_leakage=True)
    (told,) = mixed.stats()["leakage"]
    assert str(cases["seen"].images[0]) in told
    assert "training case seen" in told
    assert SynthAugment(RealCases(), generator).stats()["leakage"] == []


def test_two_cases_without_a_label_are_not_the_same_case(cases: dict[str, CasePaths], tmp_path: Path) -> None:
    empty = tmp_path / "empty.nii.gz"
    label: Any = nibabel.load(cases["seen"].label)
    nibabel.save(nibabel.Nifti1Image(np.zeros(label.shape, np.int16), label.affine), empty)
    generator = fitted_on(CasePaths("seen", cases["seen"].images, empty))
    assert check_leakage(generator, [(cases["unseen"].images[0], empty)]) == ()
    with pytest.raises(LeakageError, match="same image"):
        check_leakage(generator, [(cases["seen"].images[0], empty)])


class Silent:
    """A source of somebody's own that does not tell."""

    def draw(self) -> None: ...


@pytest.mark.parametrize(
    ("made_by", "held_out", "what"),
    [
        (Silent(), [("a.nii", "b.nii")], "Silent does not tell.*training_cases"),
        (StandInGenerator(), "cases.nii", "a list of validation cases"),
        (StandInGenerator(), {"image": "a", "label": "b"}, "a list of validation cases"),
        (StandInGenerator(), 5, "a list of validation cases"),
        (StandInGenerator(), ["case.nii"], r"'case\.nii' is no case"),
        (StandInGenerator(), [{"image": "a"}], "is no case.*'label'"),
        (StandInGenerator(), [("a", "b", "c")], "is no case"),
        (StandInGenerator(), [([], "b")], "is no case"),
    ],
)
def test_other_forms_are_refused_by_what_they_are(made_by: Any, held_out: Any, what: str) -> None:
    with pytest.raises(ConfigurationError, match=what) as refused:
        check_leakage(made_by, held_out)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_named() -> None:
    generator = StandInGenerator(training_cases=[CaseRecord("a", "b", "c")])
    with pytest.raises(SynthAugError, match=r"nowhere\.nii"):
        check_leakage(generator, [("nowhere.nii", "nowhere.nii")])


def test_a_leak_is_named_by_what_learned_it_and_by_case() -> None:
    held_out = [CaseRecord("a", "i1", "l1"), CaseRecord("b", "i2", "l2")]
    words = {"whose": "test cases of D", "mend": "take another one"}
    refuse_leaks({"fine": [CaseRecord("c", "i3", "l3")]}, held_out, **words)
    with pytest.raises(LeakageError, match=r"generators\.x: was made from 1 of the 2 test cases of D .*same image"):
        refuse_leaks({"generators.x": [CaseRecord("copy", "i2", "l9")]}, held_out, **words)
