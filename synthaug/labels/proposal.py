"""Label mappings proposed from the names, sides and groups of two schemes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from synthaug.errors import AmbiguousMappingError
from synthaug.labels.anatomical_name import AnatomicalName, parse_anatomical_name
from synthaug.labels.anatomy import concept_of, wholes_of
from synthaug.labels.mapping import LabelMapping
from synthaug.labels.scheme import BACKGROUND, LabelScheme
from synthaug.labels.tissue_class import whole_of_tissue_classes

INDIVISIBLE = "ventricles"
"""Where a target scheme has some ventricles, one that it lacks is not quietly made CSF or brain: the user is asked."""


@dataclass(frozen=True)
class _Named:
    name: str
    parsed: AnatomicalName
    concept: str

    @classmethod
    def of(cls, name: str) -> _Named:
        parsed = parse_anatomical_name(name)
        return cls(name, parsed, concept_of(parsed))

    @property
    def wholes(self) -> frozenset[str]:
        return wholes_of(self.concept)


def propose_mapping(
    source: LabelScheme,
    target: LabelScheme,
    *,
    decided: Mapping[str, str] | None = None,
    allow_missing: Collection[str] = (),
) -> LabelMapping:
    """Propose what each structure of a source scheme becomes in a target scheme.

    A source structure goes to the target structure that means the same; otherwise to the narrowest one that it lies
    within by anatomy (an inferior lateral ventricle within ``ventricles``) or by a group of the source scheme with
    that name; otherwise to the background.

    Args:
        source: scheme of the synthetic label maps.
        target: scheme of the dataset that they are to join.
        decided: source structures whose goal is settled by hand; they are taken as they are.
        allow_missing: target structures that may stay without a source.

    Returns:
        A total mapping, to be shown to the user before it is used.

    Raises:
        AmbiguousMappingError: a structure could become several others, or a target structure gets no source, so that
            synthetic cases would teach its absence. The message lists every such structure with its choices.
        LabelError: ``decided`` names a structure that its scheme does not have.
    """
    for name, goal in (decided or {}).items():  # a slip here is not the ambiguity that it leaves behind
        source.id_of(name)
        target.id_of(goal)
    wholes = whole_of_tissue_classes(source)  # what was split by intensity is put together by name, before any meaning
    settled = {part: whole for part, whole in wholes.items() if whole in target.names} | dict(decided or {})
    targets = [_Named.of(name) for name in target.names]
    sources = [_Named.of(name) for name in source.names if name not in settled]
    reach = {one.name: [goal for goal in targets if _reaches(one, goal, source)] for one in sources}
    coverage = {goal.name: {name for name, goals in reach.items() if goal in goals} for goal in targets}
    table = dict(settled)
    choices: dict[str, list[str]] = {}
    for one in sources:
        found = _same(one, reach[one.name]) or _narrowest(reach[one.name], coverage)
        if len(found) > 1:
            choices[one.name] = [goal.name for goal in found]
        elif found and _splits_a_family(one, found[0], targets):
            choices[one.name] = [found[0].name, BACKGROUND]
        else:
            table[one.name] = found[0].name if found else BACKGROUND
    reached = set(table.values()) | {name for names in choices.values() for name in names}
    missing = [goal for goal in targets if goal.name not in reached and goal.name not in allow_missing]
    for one in sources:
        finer = [goal.name for goal in missing if _is_part(goal, one)]
        if finer:
            now = table.pop(one.name, BACKGROUND)
            choices[one.name] = list(dict.fromkeys([*choices.get(one.name, []), *finer, now]))
    offered = {name for names in choices.values() for name in names}
    unreachable = [goal.name for goal in missing if goal.name not in offered]
    if choices or unreachable:
        raise AmbiguousMappingError(_complaint(source, target, choices, unreachable))
    return LabelMapping(source, target, {name: table[name] for name in source.names if name in table} | settled)


def _reaches(one: _Named, goal: _Named, scheme: LabelScheme) -> bool:
    if goal.parsed.side not in (None, one.parsed.side):
        return False
    if goal.concept == one.concept or goal.concept in one.wholes:
        return True
    return any(
        _Named.of(group).concept == goal.concept and one.name in members for group, members in scheme.groups.items()
    )


def _same(one: _Named, goals: list[_Named]) -> list[_Named]:
    for is_same in (
        lambda goal: goal.name == one.name,
        lambda goal: goal.parsed == one.parsed,
        lambda goal: goal.concept == one.concept and goal.parsed.side == one.parsed.side,
    ):
        found = [goal for goal in goals if is_same(goal)]
        if found:
            return found
    return []


def _narrowest(goals: list[_Named], coverage: Mapping[str, set[str]]) -> list[_Named]:
    return [goal for goal in goals if not any(coverage[other.name] < coverage[goal.name] for other in goals)]


def _splits_a_family(one: _Named, goal: _Named, targets: list[_Named]) -> bool:
    leaves_family = INDIVISIBLE in one.wholes and INDIVISIBLE in _parts_between(one, goal)
    return leaves_family and any(INDIVISIBLE in other.wholes for other in targets)


def _parts_between(one: _Named, goal: _Named) -> set[str]:
    return {whole for whole in one.wholes if goal.concept in wholes_of(whole)}


def _is_part(goal: _Named, one: _Named) -> bool:
    """Whether a target structure is only a part of a source structure, which therefore cannot be split into it."""
    if one.parsed.side not in (None, goal.parsed.side):
        return False
    return one.concept in goal.wholes or (one.concept == goal.concept and goal.parsed.side is not None)


def _complaint(
    source: LabelScheme, target: LabelScheme, choices: Mapping[str, list[str]], unreachable: list[str]
) -> str:
    problems = [f"{name!r} could become {' or '.join(goals)}" for name, goals in choices.items()]
    problems += [f"{name!r} of {target.name!r} gets no source structure" for name in unreachable]
    return (
        f"no clear mapping from {source.name!r} to {target.name!r}: {'; '.join(problems)}; "
        "write the mapping of these structures by hand "
        f"(structures of {source.name!r}: {', '.join(source.names)}; "
        f"of {target.name!r}: {', '.join(target.names)}, {BACKGROUND})"
    )
