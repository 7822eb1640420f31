"""What is read of a cluster before anything is registered, together with everything that speaks against using it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pulumi

from components.existing.cluster import Connection, named
from components.names import MANAGED_BY

Object = Mapping[str, Any]
"""One object as the API server has it; empty where it is not there."""


class Look:
    """Reads objects of a cluster and collects all problems, so that one update reports them together.

    Attributes:
        refused: What an update must not begin with.
        warned: What somebody should have read.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.refused: list[str] = []
        self.warned: list[str] = []
        self._served: set[str] | None = None

    def wrong(self, where: str, what: str, why: str, do: str, *, warning: bool = False) -> None:
        """Note a problem in the form that all messages have."""
        (self.warned if warning else self.refused).append(f"{where}: {what} — {why}; {do}")

    def listed(self, path: str, what: str) -> Sequence[Object] | None:
        """The objects at a path; None where the user may not list them, which stops an update, and a preview not.

        Raises:
            ClusterError: If the cluster cannot be asked.
        """
        found = self._connection.get(path)
        if found is not None:
            return found["items"] or ()
        resource = path.partition("?")[0].rpartition("/")[2]
        self.wrong(
            what,
            f"the user may not list {resource}",
            "the split and mutual TLS may rest on what is not seen here",
            f"grant the verb list for {resource}; without it a preview goes on, and an update does not",
            warning=pulumi.runtime.is_dry_run(),
        )
        return None

    def named(self, path: str, name: str, what: str) -> Object | None:
        """The object of this name among those at a path, empty where there is none; None where the user may not know."""
        found = self.listed(named(path, name), what)
        return None if found is None else next(iter(found), {})

    def kinds(self, of: str, needed: Mapping[str, Sequence[str]]) -> bool:
        """Note each kind that the API server does not serve; `needed` has them by group and version. Tell if all are there."""
        missing = [
            f"{version} {kind}"
            for version, kinds in needed.items()
            for kind in kinds
            if kind not in (self._kinds_of(version) if self.serves(version) else ())
        ]
        for each in missing:
            self.wrong(
                each,
                "the cluster does not have this kind",
                "the region's objects of it could not be made",
                f"install the CRDs of {of}, or leave {of.lower().replace(' ', '')}.install out",
            )
        return not missing

    def serves(self, version: str) -> bool:
        """Tell if the API server has this group and version; a user needs no right to know that."""
        if self._served is None:
            groups = (self._connection.get("/apis") or {}).get("groups") or ()
            self._served = {each["groupVersion"] for group in groups for each in group["versions"]}
        return version in self._served

    def _kinds_of(self, version: str) -> set[str]:
        return {each["kind"] for each in (self._connection.get(f"/apis/{version}") or {}).get("resources") or ()}


def is_ours(found: Object) -> bool:
    """Tell if an object is of this program, by its label."""
    return bool((found["metadata"].get("labels") or {}).get(MANAGED_BY[0]) == MANAGED_BY[1])


def containers(workload: Object) -> Iterator[Object]:
    """The containers of a Deployment or a StatefulSet."""
    yield from workload["spec"]["template"]["spec"]["containers"]


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Tell if a label selector, as an object has it, selects something with these labels; none at all selects everything."""
    said = selector or {}
    if any(labels.get(key) != value for key, value in (said.get("matchLabels") or {}).items()):
        return False
    return all(_holds(each, labels) for each in said.get("matchExpressions") or ())


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case _:
            return key not in labels
