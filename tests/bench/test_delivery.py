"""What the Envoys are told to count of the attempts, and what is made of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from bench.delivery import SETTINGS, read_counters, since
from lab.place import CHECKOUT
from stackfile.reader import load_stack_file

_V2 = "cluster.outbound|80|v2|echo.echo.svc.cluster.local;.upstream_"
_OWN = "cluster.inbound|8080||;.upstream_"
_OTHERS = (
    "cluster.outbound|443||kubernetes.default.svc.cluster.local;.upstream_rq_total",
    "cluster.outbound|80|v2|echo.echo.svc.cluster.local;.external.upstream_rq_5xx",
    "server.live",
)


def test_envoys_count_the_attempts_of_clients_and_of_pods_alone(tmp_path: Path) -> None:
    stack_file = tmp_path / "Pulumi.region-a.yaml"
    stack_file.write_text((CHECKOUT / stack_file.name).read_text() + SETTINGS)
    values = load_stack_file(stack_file).istio.values
    (counter,) = values["meshConfig"]["defaultConfig"]["proxyStatsMatcher"]["inclusionRegexps"]
    names = [f"{_V2}rq_total", f"{_V2}rq_retry", f"{_OWN}cx_destroy_remote_with_active_rq", *_OTHERS]
    assert [name for name in names if re.fullmatch(counter, name)] == names[:3]


def test_counters_are_read_by_pod_and_direction() -> None:
    page = [{"name": f"{_V2}rq_5xx", "value": 3}, {"name": f"{_OWN}rq_total", "value": 7}, {"histograms": {}}]
    read = read_counters("uid", json.dumps({"stats": page}))
    assert read == {("uid", "outbound|80|v2|echo.echo rq_5xx"): 3, ("uid", "inbound|8080 rq_total"): 7}


def test_what_an_envoy_counts_anew_is_added() -> None:
    """Of a pod that is still there, of one that is new, and of a cluster that came back."""
    before = {("a", "rq_total"): 10, ("a", "rq_retry"): 5, ("gone", "rq_total"): 4}
    now = {("a", "rq_total"): 12, ("a", "rq_retry"): 1, ("b", "rq_total"): 3}
    assert since(before, now) == {"rq_total": 5, "rq_retry": 1}
