"""The view of a cache: what nnU-Net itself would have stored, made once, never for other plans."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthaug.errors import StoreError
from synthaug.integrations.nnunet import view as view_module
from synthaug.integrations.nnunet.case_properties import read_properties
from synthaug.integrations.nnunet.dataset import NnunetDataset
from synthaug.integrations.nnunet.orientation import dataset_orientations
from synthaug.integrations.nnunet.view import PlansView, ViewSpec, _add_case, build_view, view_of
from synthaug.labels import LabelMapping, LabelScheme
from synthaug.store import Store
from synthaug.volumes import read_pair
from tests.integration.tiny_nnunet import LABELS, PLANS, TinyDataset, full_table, make_cache

pytestmark = pytest.mark.integration


def spec_of(dataset: TinyDataset, scheme: LabelScheme, **changed: Any) -> ViewSpec:
    target = LabelScheme.from_nnunet({"labels": LABELS}, name="tiny")
    table = full_table(scheme) if scheme.name == "ventricles-t1" else {name: name for name in target.names}
    arguments: dict[str, Any] = {
        "plans": json.loads(PLANS.read_text()),
        "configuration": "3d_fullres",
        "dataset_json": dataset.dataset_json(),
        "mapping": LabelMapping(scheme, target, table),
        "channel_order": (0,),
        "orientations": ("LAS",),
    }
    return ViewSpec(**{**arguments, **changed})


def lines_of(store: Store, spec: ViewSpec) -> list[str]:
    lines: list[str] = []
    build_view(store, spec, lines.append)
    return lines


def test_a_real_case_through_the_view_equals_nnunets_own(dataset: TinyDataset, tmp_path: Path) -> None:
    from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

    found = NnunetDataset.find("901")
    target = LabelScheme.from_nnunet({"labels": LABELS}, name="tiny")
    case = found.cases["tiny_2"]
    pair = read_pair(case.images, case.label, target, ("T1",))  # RAS+, the files are LAS
    spec = spec_of(dataset, target, orientations=dataset_orientations(found, "SimpleITKIO"))
    assert set(spec.orientations) == {"LAS"}
    view = PlansView(tmp_path / "view")
    for folder in (view.cases, view.folder / "digests"):
        folder.mkdir(parents=True)
    _add_case(view, spec, "tiny_2", pair)

    own = nnUNetDatasetBlosc2(str(dataset.preprocessed / "nnUNetPlans_3d_fullres"), ["tiny_2"]).load_case("tiny_2")
    view.load_case("tiny_2")  # checked
    data, seg, seg_prev, properties = view.load_case("tiny_2")  # read in parts
    assert seg_prev is None
    assert data.chunks == own[0].chunks
    np.testing.assert_array_equal(data[:], own[0][:])
    np.testing.assert_array_equal(seg[:], own[1][:])
    assert data[:].dtype == own[0][:].dtype
    assert seg[:].dtype == own[1][:].dtype
    assert properties["class_locations"].keys() == own[3]["class_locations"].keys()
    for label, locations in own[3]["class_locations"].items():
        np.testing.assert_array_equal(properties["class_locations"][label], locations)


def test_a_view_is_made_once_and_completed(dataset: TinyDataset, tmp_path: Path) -> None:
    store = make_cache(tmp_path / "cache", num=2)
    spec = spec_of(dataset, store.info.scheme)
    assert any("preprocessed 2 of 2" in line for line in lines_of(store, spec))
    view = view_of(store, spec)
    first = {path: path.stat().st_mtime_ns for path in view.cases.iterdir()}
    assert lines_of(store, spec) == []
    make_cache(tmp_path / "cache", num=4)
    assert lines_of(store, spec) == ["synthaug: preprocessed 2 of 2 synthetic cases"]
    assert {path: path.stat().st_mtime_ns for path in view.cases.iterdir() if path in first} == first
    assert sorted(view.names()) == store.names()
    assert {path.name for path in view.folder.iterdir()} == {"cases", "digests", "view.json"}
    # nnU-Net infers the format of a folder from the endings in it
    assert {path.suffix for path in view.cases.iterdir()} == {".b2nd", ".pkl"}


def test_a_case_without_its_mark_is_made_again(dataset: TinyDataset, tmp_path: Path) -> None:
    store = make_cache(tmp_path / "cache", num=2)
    spec = spec_of(dataset, store.info.scheme)
    view = build_view(store, spec, lambda line: None)
    name = store.names()[0]
    (view.cases / f"{name}.pkl").unlink()
    assert view.names() == store.names()[1:]
    build_view(store, spec, lambda line: None)
    assert view.names() == store.names()
    assert view.damaged() == []


@pytest.mark.parametrize("ending", [".b2nd", "_seg.b2nd", ".pkl"])
def test_any_flipped_byte_is_found_and_the_case_made_again(dataset: TinyDataset, tmp_path: Path, ending: str) -> None:
    store = make_cache(tmp_path / "cache", num=2)
    spec = spec_of(dataset, store.info.scheme)
    view = build_view(store, spec, lambda line: None)
    name = store.names()[1]
    path = view.cases / f"{name}{ending}"
    intact = path.read_bytes()
    path.write_bytes(intact[:-20] + bytes([intact[-20] ^ 1]) + intact[-19:])
    assert view.damaged() == [name]
    assert any("damaged" in line and name in line for line in lines_of(store, spec))
    assert view.damaged() == []


def test_other_plans_or_mappings_never_meet_this_view(dataset: TinyDataset, tmp_path: Path) -> None:
    store = make_cache(tmp_path / "cache", num=2)
    spec = spec_of(dataset, store.info.scheme)
    build_view(store, spec, lambda line: None)
    plans = json.loads(PLANS.read_text())
    plans["configurations"]["3d_fullres"]["spacing"] = [3.0, 3.0, 3.0]
    target = spec.mapping.target
    other_table = {**spec.mapping.table, "thalamus": "background"}
    others = [
        spec_of(dataset, store.info.scheme, plans=plans),
        spec_of(dataset, store.info.scheme, configuration="2d"),
        spec_of(dataset, store.info.scheme, orientations=("RAS",)),
        spec_of(dataset, store.info.scheme, mapping=LabelMapping(store.info.scheme, target, other_table)),
    ]
    assert len({spec.key, *(other.key for other in others)}) == 5
    line = lines_of(store, others[0])[0]
    assert spec.key in line
    assert "made for other plans" in line
    assert others[0].key in line


def test_a_case_that_was_removed_from_the_store_leaves_the_view(dataset: TinyDataset, tmp_path: Path) -> None:
    import shutil

    store = make_cache(tmp_path / "cache", num=2)
    spec = spec_of(dataset, store.info.scheme)
    view = build_view(store, spec, lambda line: None)
    pruned, kept = store.names()
    shutil.rmtree(store.folder / "cases" / pruned)
    build_view(store, spec, lambda line: None)
    assert view.names() == [kept]


def test_a_damaged_case_of_the_store_is_left_out_with_a_line(dataset: TinyDataset, tmp_path: Path) -> None:
    store = make_cache(tmp_path / "cache", num=2)
    name = store.names()[0]
    image = store.folder / "cases" / name / "image.b2nd"
    image.write_bytes(image.read_bytes()[:-1])
    lines = lines_of(store, spec_of(dataset, store.info.scheme))
    assert any("left out" in line and name in line for line in lines)


class Harmful:
    """Would create a file if it were unpickled without restraint."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_properties_that_would_run_code_are_refused(tmp_path: Path) -> None:
    path, touched = tmp_path / "case.pkl", tmp_path / "touched"
    path.write_bytes(pickle.dumps({"class_locations": {}, "more": Harmful(touched)}))
    with pytest.raises(StoreError, match="not part of a case's properties"):
        read_properties(path)
    assert not touched.exists()


@pytest.mark.parametrize("content", [b"", b"\x80", b"nonsense", pickle.dumps([1]), pickle.dumps({"spacing": 1})])
def test_damaged_properties_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "case.pkl").write_bytes(content)
    with pytest.raises(StoreError, match="not the properties"):
        read_properties(tmp_path / "case.pkl")


def test_the_view_of_a_cache_that_cannot_be_written_to_lies_elsewhere(
    dataset: TinyDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_cache(tmp_path / "cache", num=2)
    spec = spec_of(dataset, store.info.scheme)
    before = sorted(store.folder.rglob("*"))
    monkeypatch.setattr(view_module, "can_write", lambda folder: store.folder not in (folder, *folder.parents))
    lines: list[str] = []
    view = build_view(store, spec, lines.append, tmp_path / "elsewhere")
    assert view.folder.parent == tmp_path / "elsewhere"
    assert view.names() == store.names()
    assert any("cannot be written to" in line for line in lines)
    assert sorted(store.folder.rglob("*")) == before
    assert view_of(store, spec, tmp_path / "elsewhere").folder == view.folder
    shutil.copytree(view.folder, store.folder / "views" / spec.key)  # by who may write there
    assert view_of(store, spec, tmp_path / "elsewhere").folder == store.folder / "views" / spec.key


def test_caches_of_one_generator_leave_each_others_cases_in_a_view_elsewhere(
    dataset: TinyDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = make_cache(tmp_path / "one", num=2), make_cache(tmp_path / "two", num=3)
    only_there, *_ = two.names()
    shutil.rmtree(one.folder / "cases" / only_there, ignore_errors=True)
    spec = spec_of(dataset, one.info.scheme)
    monkeypatch.setattr(view_module, "can_write", lambda folder: tmp_path / "elsewhere" in (folder, *folder.parents))
    build_view(two, spec, lambda line: None, tmp_path / "elsewhere")
    damaged = view_of(two, spec, tmp_path / "elsewhere").cases / f"{only_there}.b2nd"
    damaged.write_bytes(b"x")
    view = build_view(one, spec, lambda line: None, tmp_path / "elsewhere")
    assert view.names() == two.names()
    assert damaged.read_bytes() == b"x"  # the other one's to mend
    build_view(two, spec, lambda line: None, tmp_path / "elsewhere")
    assert view.damaged() == []


def test_a_view_moves_with_its_cache(dataset: TinyDataset, tmp_path: Path) -> None:
    store = make_cache(tmp_path / "cache", num=2)
    spec = spec_of(dataset, store.info.scheme)
    lines_of(store, spec)
    shutil.move(store.folder, tmp_path / "moved")
    moved = Store.open(tmp_path / "moved")
    assert lines_of(moved, spec) == []
    view = view_of(moved, spec)
    for name in moved.names():
        assert view.load_case(name)[0].shape[0] == 1
