from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.plugins.kubernetes import values
from lab.plugins.kubernetes.values import UNKNOWN, Secret

LEAVES = st.none() | st.booleans() | st.integers(-(2**50), 2**50) | st.text(max_size=5) | st.just(UNKNOWN)
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3) | inner.map(Secret)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abc", min_size=1), TREES, max_size=3))
def test_values_survive_the_wire(properties: dict[str, Any]) -> None:
    assert values.decode(values.encode(properties)) == properties


def test_whole_numbers_arrive_as_int() -> None:
    assert repr(values.decode(values.encode({"port": 80.0}))) == "{'port': 80}"


@pytest.mark.parametrize("held", [UNKNOWN, [UNKNOWN], {"a": [Secret({"b": UNKNOWN})]}])
def test_unknown_values_are_found_however_deep(held: Any) -> None:
    assert values.has_unknown({"x": held})


def test_plain_strips_secrets_within_secrets() -> None:
    assert values.plain({"a": Secret([Secret(1)])}) == {"a": [1]}


def test_a_secret_does_not_show_itself() -> None:
    assert "hunter2" not in repr(Secret("hunter2"))


def test_outputs_are_secret_where_inputs_are() -> None:
    marked = values.with_secrets_of({"spec": {"token": Secret("t"), "port": 1}}, {"spec": {"token": "t", "port": 1}})

    assert marked == {"spec": {"token": Secret("t"), "port": 1}}


def test_a_list_with_a_secret_in_it_is_secret_whole() -> None:
    marked = values.with_secrets_of({"env": [{"value": Secret("t")}]}, {"env": [{"value": "t"}, {"value": "u"}]})

    assert marked == {"env": Secret([{"value": "t"}, {"value": "u"}])}


def test_what_is_in_a_kubernetes_secret_is_secret_without_being_told() -> None:
    assert values.with_secrets_of({}, {"kind": "Secret", "data": {"a": "YQ=="}})["data"] == Secret({"a": "YQ=="})
