"""The command that the probe is given."""

from __future__ import annotations

import json
from dataclasses import replace

from rollout.traffic.attack import Attack
from stackfile.model import RequestConfig

GET = Attack("http://echo/", 3_000, 500)


def test_a_get_of_the_address_is_the_default() -> None:
    command = "/probe attack --url http://echo/ --rate 500 --requests 3000 --workers 50"

    assert GET.command == command.split()
    assert GET.expected == ((200,),)


def test_each_kind_is_told_in_its_place_with_all_that_the_probe_must_know() -> None:
    order = RequestConfig(
        method="POST",
        path="/orders?dry=1",
        headers={"content-type": "text/plain"},
        body="three 'pears'",
        weight=9,
        expected_status=(201, 202),
    )
    attack = replace(GET, kinds=(RequestConfig(), order))

    assert attack.command[: len(GET.command)] == GET.command
    first, one, second, other = attack.command[len(GET.command) :]
    assert (first, second) == ("--request", "--request")
    assert json.loads(one) == {"method": "GET", "path": "/", "headers": {}, "body": "", "weight": 1}
    assert json.loads(other) == {
        "method": "POST",
        "path": "/orders?dry=1",
        "headers": {"content-type": "text/plain"},
        "body": "three 'pears'",
        "weight": 9,
    }
    assert attack.expected == ((200,), (201, 202))


def test_an_only_kind_is_told_where_it_is_no_plain_get() -> None:
    assert "--request" in replace(GET, kinds=(RequestConfig(path="/ready"),)).command


def test_the_header_and_the_gateway_are_told_where_there_are_some() -> None:
    attack = replace(GET, version_header="x-rollout-version", connect_to="gateway.ingress:443")

    assert attack.command[len(GET.command) :] == [
        *("--version-header", "x-rollout-version"),
        *("--connect-to", "gateway.ingress:443"),
    ]


def test_a_header_is_added_to_each_kind() -> None:
    kinds = (RequestConfig(), RequestConfig(path="/orders", headers={"accept": "*/*"}))

    told = replace(GET, kinds=kinds).with_header("x-version", "v2").command

    assert [json.loads(text)["headers"] for text in told if text.startswith("{")] == [
        {"x-version": "v2"},
        {"accept": "*/*", "x-version": "v2"},
    ]
