"""What speaks against a stack's configuration before anything is registered: the rules, and what it refers to on the cluster."""

import re
from collections.abc import Iterator, Sequence

import pulumi

from components.existing.cluster import Connection, named
from components.service import workload_objects
from rules.facts.manifests import read
from rules.facts.region import Region
from rules.finding import Severity
from rules.judgement import judge_region
from stackfile.model import RegionConfig

_CONTENT_HASH = re.compile(r".*-([0-9a-f]{8,64}|[2456789bcdfghkmt]{10})")
"""How a name ends that is another for another content: some hexadecimal digits, or Kustomize's ten characters."""


class UnsafeError(ValueError):
    """The region must not come up as it is configured; the message is one finding after the other."""


def refuse(problems: Sequence[str], warnings: Sequence[str] = ()) -> None:
    """Log the warnings; return if there is no problem.

    Raises:
        UnsafeError: If there is one, with all of them.
    """
    for warning in warnings:
        pulumi.log.warn(warning)
    if problems:
        raise UnsafeError("\n".join(problems))


def require_safe(config: RegionConfig) -> None:
    """Hold against a configuration every rule that needs to know no other revision, and log the warnings.

    Raises:
        UnsafeError: If a rule refuses it, with everything that any rule refuses.
    """
    file = config.model_dump(by_alias=True)
    findings = judge_region(
        [Region.of(file, name, read(workload_objects(config, service))) for name, service in config.services.items()]
    )
    refused, warned = (
        [str(finding) for finding in findings if finding.severity is severity]
        for severity in (Severity.REFUSED, Severity.WARNING)
    )
    refuse(refused, warned)


def require_fixed_files(connection: Connection, config: RegionConfig) -> None:
    """Return if no ConfigMap or Secret that a version mounts can change under it; log which of them are not there yet.

    Raises:
        UnsafeError: If one can: all pods of the version would come to run with the change, none of them as a canary.
        ClusterError: If the cluster cannot be asked.
    """
    problems = []
    for where, kind, namespace, name in _mounted(config):
        if _CONTENT_HASH.fullmatch(name):
            continue
        found = connection.get(named(f"/api/v1/namespaces/{namespace}/{kind.lower()}s", name))
        if found is not None and not found["items"]:
            pulumi.log.warn(
                f"{where}: there is no {kind} {namespace}/{name} yet, and pods that mount it wait until there is"
            )
        elif found is not None and found["items"][0].get("immutable") is not True:
            problems.append(
                f"{where}: {kind} {namespace}/{name} is not immutable — a change of it reaches all pods of the version as they restart, "
                "none of them as a canary; set immutable: true in it, or give it a name that ends with a hash of its content"
            )
    refuse(problems)


def _mounted(config: RegionConfig) -> Iterator[tuple[str, str, str, str]]:
    """Each ConfigMap and Secret that a version mounts: where that is said, its kind, its namespace and its name."""
    for service in config.services.values():
        for version, each in service.versions.items():
            for key, kind, names in (
                ("configMaps", "ConfigMap", each.config_maps),
                ("secrets", "Secret", each.secrets),
            ):
                for folder, name in names.items():
                    where = f"$.services.{service.name}.versions.{version}.{key}.{folder}"
                    yield where, kind, service.namespace, name
