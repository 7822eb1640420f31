"""Whatever is changed in an object that is delivered is told, and judged or refused: nothing of it is silent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pulumi import _types

from rules.facts.shapes import KINDS, Closed, part_of
from tests.rules.schema import Mutant, api_fields, mutants


@pytest.fixture(scope="module")
def found() -> list[Mutant]:
    return list(mutants())


def test_there_are_two_thousand_mutants(found: list[Mutant]) -> None:
    assert len(found) > 2_000


def test_of_none_is_said_that_nothing_changes(found: list[Mutant]) -> None:
    assert [f"{each.kind}: {each.field}, {each.how}" for each in found if not each.effects] == []


def test_what_is_not_refused_is_told_with_what_it_does(found: list[Mutant]) -> None:
    silent = [each for each in found if not each.refused and not all(each.effects)]

    assert [f"{each.kind}: {each.field}, {each.how}" for each in silent] == []


def test_what_no_rule_judges_is_refused_with_its_path(found: list[Mutant]) -> None:
    unjudged = [each for each in found if each.treatment == "refused"]
    passed = [each for each in unjudged if "objects-readable" not in {finding.rule_id for finding in each.findings}]

    assert len({(each.kind, each.field) for each in unjudged}) > 200
    assert [f"{each.kind}: {each.field}, {each.how}" for each in passed] == []


def test_what_is_harmless_is_never_refused(found: list[Mutant]) -> None:
    assert [str(each) for each in found if each.treatment == "harmless" and each.refused] == []


def _unknown(shape: type[Closed], types: dict[str, Any], where: str) -> Iterator[str]:
    """The fields of a shape that the API has not."""
    for field in shape.model_fields.values():
        typ, name = types.get(str(field.alias)), f"{where}.{field.alias}"
        part = part_of(field.annotation)
        if typ is None:
            yield name
        elif part is not None:
            typ = _types.unwrap_type(typ)
            inner = (get_args(typ) or (typ,))[-1]
            yield from _unknown(
                part, dict(_types.output_type_types(inner)) if _types.is_output_type(inner) else {}, name
            )


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_of_a_shape_is_one_of_the_api(kind: str) -> None:
    unknown = list(_unknown(KINDS[kind][1], dict(api_fields(kind)), kind))

    # the keys of a map are no fields of the API
    assert [each for each in unknown if ".annotations." not in each] == []
