"""How long a pushed commit takes to move the traffic, and what that costs: asked for by the push, with v2 retired and introduced
between, and by Argo CD's own polling.

Run as root: `.venv/bin/python -m bench.delivery`; through as many retirements and requests as one likes with
`--rate 500 --changes 20 --retirements 10 --requests 1000000 --polled 0`. It makes a lab of its own and removes it. Each change turns
all requests from one version to the other in both regions, so that every answer says under which weights it was sent. The time is from
the start of `git push` to the first moment at which half of a region's requests are answered by the new version.

Each request that failed is printed. A retry can hide an attempt that failed, so these are counted by the Envoys: of clients, and of the
pods. It ends with code 1 where there is one of either, or where the Envoys counted fewer attempts than requests were sent.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.load import Answer, Load
from lab.delivery.remote import Remote
from lab.machine.waiting import comes_true
from lab.place import CHECKOUT, Lab
from rollout.access import RegionAccess
from rollout.cluster.application import read_application
from rollout.cluster.client import api_client, list_all_pods
from rollout.cluster.envoys import Envoy, ask_envoys
from rollout.cluster.exec import Page
from rollout.git.repository import Repository
from rollout.plan.overlays import weighed
from rollout.promote.upstream import commit_files, regions_at
from rollout.regions import discover
from stackfile.model import PROJECT

_WINDOWS_A_SECOND = 10
"""How often a half is told."""
_MOST_SECONDS = 1_200.0
_PUSHED_SECONDS = 60
_SYNCED_SECONDS = 180
_POLLED_SECONDS = 420  # Argo CD looks every 120 s, up to 60 s later, at a branch's head that it remembers for 180 s
_COUNTED_SECONDS = 60
_ATTEMPTS = "rq_total"
_COUNTER = (
    r"cluster\.(inbound\|8080|outbound\|80\|[^|]+\|echo\.echo)(?:\|\||\.svc\.cluster\.local);?\.upstream_"
    rf"({_ATTEMPTS}|rq_(5xx|retry|rx_reset|timeout|per_try_timeout|pending_overflow|pending_failure_eject)"
    r"|cx_(connect_fail|none_healthy|protocol_error|destroy_remote_with_active_rq))"
)
"""What Envoys count of the attempts: those of clients to each version, those of a pod's own to its container. One that failed was tried
again (`rq_retry`) or ended as a 5xx, be it Envoy's own (`rq_5xx`); the others tell why. `rq_total` has those that got a connection."""
_PAGE = "stats?format=json&usedonly&filter=cluster.(in|out)bound"
SETTINGS = f"""\
  {PROJECT}:istio:
    values: {{meshConfig: {{defaultConfig: {{proxyStatsMatcher: {{inclusionRegexps: ['{_COUNTER}']}}}}}}}}
"""
"""What comes to the end of a stack file: by itself Istio has an Envoy count none of this."""
Counts = Mapping[tuple[str, str], int]
"""What Envoys have counted since they began, by the pod's UID and by counter."""


def half_on(version: str, answers: list[Answer], since_seconds: float, window: int) -> float | None:
    """When, after a moment, half of the requests of a tenth of a second were first answered by a version; Unix time."""
    later = sorted((answer for answer in answers if answer.at_seconds >= since_seconds), key=lambda one: one.at_seconds)
    for position in range(len(later) - window + 1):
        some = later[position : position + window]
        if 2 * sum(answer.version == version for answer in some) >= window:
            return some[window // 2].at_seconds
    return None


def read_counters(pod: str, statistics_page: str) -> dict[tuple[str, str], int]:
    """What an Envoy counted of the attempts, from its page of statistics."""
    return {
        (pod, f"{found[1]} {found[2]}"): int(each["value"])
        for each in json.loads(statistics_page)["stats"]
        if (found := re.fullmatch(_COUNTER, each.get("name", "")))
    }


def since(before: Counts, now: Counts) -> Counter[str]:
    """What was counted meanwhile, by counter. One that fell or was not there counts from 0: it is of another cluster or pod."""
    grown = Counter[str]()
    for where, value in now.items():
        then = before.get(where, 0)
        grown[where[1]] += value - then if value >= then else value
    return +grown


class Attempts:
    """What all Envoys count of the attempts from now on, from look to look.

    A cluster or pod that goes takes along what it counted since the last look: so there must be one when it has no requests any more.
    """

    def __init__(self, regions: Sequence[RegionAccess]) -> None:
        self._regions = regions
        self._found = Counter[str]()
        self._last: Counts = {}
        self._last = self._read()

    @property
    def number(self) -> int:
        """How many attempts clients made."""
        return sum(count for name, count in self._found.items() if re.fullmatch(f"outbound.* {_ATTEMPTS}", name))

    @property
    def failures(self) -> Mapping[str, int]:
        """What was counted of attempts that failed: no counter is of the others, and one attempt may be in several."""
        return {name: count for name, count in sorted(self._found.items()) if not name.endswith(f" {_ATTEMPTS}")}

    def look(self) -> None:
        """Add what was counted since the last look."""
        now = self._read()
        self._found += since(self._last, now)
        self._last = now

    def _read(self) -> Counts:
        pages: list[tuple[Envoy, Page]] = []

        def all_answer() -> bool:
            pages[:] = [(envoy, page) for region in self._regions for envoy, (page,) in _asked(region)]
            return not any(page.error for _envoy, page in pages)

        until(all_answer, _COUNTED_SECONDS)
        return {where: count for envoy, page in pages for where, count in read_counters(envoy.uid, page.text).items()}


def _asked(region: RegionAccess) -> list[tuple[Envoy, list[Page]]]:
    return ask_envoys(region, list_all_pods(region, api_client(region)), lambda _: [_PAGE])


def until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until a condition is met.

    Raises:
        TimeoutError: it is not in time.
    """
    if not comes_true(condition, seconds):
        raise TimeoutError(f"it took longer than {seconds:.0f} s")


class Project:
    """A clone of what is committed here, on a branch `main`, with a lab of its own whose Envoys count the attempts."""

    def __init__(self, checkout: Path) -> None:
        git = ("git", "-c", "safe.directory=*")
        author = ("--config=user.name=bench", "--config=user.email=bench@corp.local")
        subprocess.run([*git, "clone", "--quiet", *author, str(CHECKOUT), str(checkout)], check=True)
        subprocess.run([*git, "switch", "--quiet", "--force-create", "main"], cwd=checkout, check=True)
        (checkout / ".venv").symlink_to(CHECKOUT / ".venv")
        self.lab = Lab(checkout, checkout / ".lab", Lab.of_environment().cache)
        for region in self.lab.regions:
            with (checkout / f"Pulumi.{region.name}.yaml").open("a") as stack_file:
                stack_file.write(SETTINGS)
        subprocess.run([*git, "commit", "--quiet", "--all", "--message=Count attempts"], cwd=checkout, check=True)
        self._repository = Repository(checkout)
        self._tip = self._repository.head()[0]

    def run(self, *arguments: str) -> None:
        """Run `python -m` with these arguments in it."""
        subprocess.run([sys.executable, "-m", *arguments], cwd=self.lab.checkout, check=True)

    def push(self, version: str) -> float:
        """Give a version all requests in all regions by a commit, and push it; when the push began, in Unix time."""
        weights = {name: 100 if name == version else 0 for name in ("v1", "v2")}
        tree = self._repository.at(self._tip)
        files = {region.name: weighed(tree, region.name, "echo", weights) for region in self.lab.regions}
        self._tip = commit_files(self._repository, self._tip, "echo", files, f"Weigh {weights}").commit
        began = time.time()
        self._repository.push(self._tip, "lab", "main")
        return began

    def renew(self, version: str) -> None:
        """Retire a version that has no requests, and introduce it again."""
        declared = next(iter(regions_at(self._repository, self._tip).values()))
        image = declared.services["echo"].versions[version].image
        self.run("rollout", "retire", version, "--rate=10")
        self.run("rollout", "introduce", version, f"--image={image}")
        self._tip = self._repository.fetch("lab", "main")

    def regions(self) -> Sequence[RegionAccess]:
        """How to reach its regions."""
        return discover(self.lab.checkout).regions

    def await_synced(self) -> None:
        """Wait until Argo CD has brought all regions to the last commit and finds them healthy."""
        until(self._is_synced, _SYNCED_SECONDS)

    def _is_synced(self) -> bool:
        found = [read_application(region, "argocd/echo") for region in self.regions()]
        return all(each.is_well and each.synced_revision == self._tip for each in found)


def change(project: Project, loads: Sequence[Load], version: str, limit_seconds: float, rate: int) -> list[float]:
    """Turn all requests to one version by a commit; the seconds that it took in each region."""
    before = [load.sent for load in loads]
    began = project.push(version)
    until(lambda: all(load.share(version, rate) == 1 for load in loads), limit_seconds)
    window = max(2, rate // _WINDOWS_A_SECOND)
    times = [
        half_on(version, load.answers[max(0, sent - rate) :], began, window)
        for load, sent in zip(loads, before, strict=True)
    ]
    project.await_synced()
    return [moment - began for moment in times if moment is not None]


def measure(
    project: Project,
    table: Table,
    what: str,
    versions: Sequence[str],
    limit_seconds: float,
    *,
    rate: int,
    requests: int = 0,
    renewed: str = "",
) -> bool:
    """Turn all requests to each of the versions in turn, and put a row under the others; at least so many requests are sent.

    Args:
        project: The project, up.
        table: Where the row goes, also of what is stopped.
        what: The row's name.
        versions: In turn.
        limit_seconds: How long a change may take.
        rate: Requests a second in each region.
        requests: How many to send at least.
        renewed: A version that is retired and introduced again after each change to another one.

    Returns:
        Whether no request and no attempt failed, and all attempts were counted.
    """
    if not versions:
        return True
    times: list[float] = []
    loads: list[Load] = []
    attempts = Attempts(project.regions())

    def sent() -> int:
        return sum(load.sent for load in loads)

    def failed() -> int:
        return sum(sum(load.failures().values()) for load in loads)

    try:
        with ExitStack() as stack:
            loads += [stack.enter_context(Load(region, rate)) for region in project.lab.regions]
            for number, version in enumerate(versions, 1):
                times += change(project, loads, version, limit_seconds, rate)
                attempts.look()
                if renewed not in ("", version):
                    project.renew(renewed)
                    # it counts anew
                    attempts.look()
                wanted = requests * number // len(versions)
                until(lambda wanted=wanted: sent() >= wanted, _MOST_SECONDS)  # type: ignore[misc]
                so_far = f"{sent():,} requests, {failed()} failed; of attempts {dict(attempts.failures) or 'none'}"
                print(f"{time.strftime('%X')} change {number} of {len(versions)}, to {version}: {so_far}", flush=True)
        attempts.look()
    finally:
        for region, load in zip(project.lab.regions, loads, strict=False):  # where they could not begin, there are none
            for each in (answer for answer in load.answers if answer.failed):
                at = time.strftime("%X", time.localtime(each.at_seconds))
                print(f"{at} {region.name}: {each.code} {each.error} {each.body.strip()}")
        counts = [f"{sent():,}", str(failed()), f"{attempts.number:,}", str(dict(attempts.failures) or 0)]
        table.add_row(what, str(len(times)), *told(times), *counts)
    return not failed() and not attempts.failures and attempts.number >= sent()


def told(times: Sequence[float]) -> list[str]:
    """The median, what 95 % do not pass, and the longest."""
    ordered = sorted(times)
    if not ordered:
        return ["-"] * 3
    most = ordered[-(-len(ordered) * 95 // 100) - 1]
    return [f"{figure:.2f}" for figure in (statistics.median(ordered), most, ordered[-1])]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=100, help="requests a second in each region (default: 100)")
    parser.add_argument("--changes", type=int, default=50, help="changes that a push asks for (default: 50)")
    parser.add_argument("--retirements", type=int, default=1, help="of v2, a change before and after each (default: 1)")
    parser.add_argument("--polled", type=int, default=3, help="changes that are found by polling (default: 3)")
    parser.add_argument(
        "--requests", type=int, default=0, help="to send at least through changes, and through retirements"
    )
    wish = parser.parse_args()
    columns = ("changes × regions", "median s", "95 % s", "slowest s", "sent", "failed", "attempts", "of them failed")
    table = Table("commit to half of the traffic", *columns)
    with tempfile.TemporaryDirectory(prefix="echo-bench-") as folder:
        project = Project(Path(folder) / "checkout")
        hook = Remote(project.lab).hook
        try:
            began = time.monotonic()
            project.run("lab", "up", "--no-verify")
            print(f"the lab was up after {time.monotonic() - began:.0f} s", flush=True)
            project.push("v1")
            project.await_synced()
            turns = itertools.cycle(("v2", "v1"))
            numbers = (wish.changes, 2 * wish.retirements, wish.polled)
            asked, between, polled = [list(itertools.islice(turns, number)) for number in numbers]
            turned = partial(measure, project, table, rate=wish.rate)
            well = turned("asked for by the push", asked, _PUSHED_SECONDS, requests=wish.requests)
            what = "the same, v2 retired and introduced"
            well &= turned(what, between, _PUSHED_SECONDS, requests=wish.requests, renewed="v2")
            hook.rename(hook.with_suffix(".off"))
            well &= turned("found by polling", polled, _POLLED_SECONDS)
        finally:
            Console(width=140).print(table)
            project.run("lab", "down")
    sys.exit(not well)


if __name__ == "__main__":
    main()
