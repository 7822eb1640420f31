"""What a living mesh cannot change at once: who it is, and more than one minor version of Istio."""

from __future__ import annotations

from collections.abc import Iterator

from rules.change.transition import Transition, acknowledged, between_revisions
from rules.facts.region import Change, Region, istio_minor
from rules.finding import Rule, Severity, Violation
from rules.region.platform import VALUES

_IDENTITY = {
    "mesh.trustDomain": f"{VALUES}meshConfig.trustDomain",
    "mesh.meshId": f"{VALUES}global.meshID",
    "mesh.network": f"{VALUES}global.network",
}
"""Who a region is in the mesh: the setting, and the Helm value that takes its place."""
_ALIASES = f"{VALUES}meshConfig.trustDomainAliases"
_RESTART = "restart every pod that has a sidecar, one Deployment at a time (kubectl rollout restart)"


def _changes_identity(transition: Transition) -> Iterator[Violation]:
    before, after = transition.before, transition.after
    for setting, value in _IDENTITY.items():
        old, new = (each.settings.get(value, each.settings.get(setting)) for each in (before, after))
        where, what = f"$.{setting}", f"{old} → {new}"
        if None in (old, new) or old == new:
            continue
        by_alias = setting == "mesh.trustDomain" and new in _aliases(before) and old in _aliases(after)
        if by_alias or setting == "mesh.meshId":
            yield _harmless(where, f"{what}: pods are of the old one until they are restarted")
        elif setting == "mesh.trustDomain":
            yield Violation(where, what, steps=_by_alias(after, old, new))
        else:
            steps = (
                "send the region's clients elsewhere; waive mesh-identity-kept (rules.waived), with the reason; commit",
                f"then make this change; {_up(after)}; {_RESTART}; {acknowledged(after)}; let the clients come back",
            )
            yield Violation(where, what, "leave it: Istio has no way to change it under requests", steps)
    for gone in sorted(_aliases(before) - _aliases(after) - {str(after.settings.get("mesh.trustDomain"))}):
        yield _harmless(f"$.{_ALIASES}", f"{gone} goes: pods that still have a certificate of it are refused")


def _harmless(where: str, what: str) -> Violation:
    """What is right as long as somebody restarts the pods."""
    return Violation(where, what, _RESTART, severity=Severity.WARNING)


def _aliases(region: Region) -> frozenset[str]:
    found = region.settings.get(_ALIASES)
    return frozenset(map(str, found)) if isinstance(found, list | tuple) else frozenset()


def _by_alias(region: Region, old: object, new: object) -> tuple[str, ...]:
    aliases = _ALIASES.removeprefix("istio.values.")
    return (
        f"leave mesh.trustDomain at {old}, and set {aliases}: [{new}] in istio.values; {_up(region)}",
        acknowledged(region),
        f"then set mesh.trustDomain: {new} and {aliases}: [{old}]; {_up(region)}; {_RESTART}; {acknowledged(region)}",
        f"when that is done in every region, take {old} out of {aliases}; {_up(region)}",
    )


def _jumps(transition: Transition) -> Iterator[Violation]:
    after = transition.after
    old, new = istio_minor(transition.before.settings), istio_minor(after.settings)
    if old is None or new is None or (old[0] == new[0] and new[1] - old[1] in (0, 1)):
        return
    to = after.settings["istio.version"]
    where, what = "$.istio.version", f"{transition.before.settings['istio.version']} → {to}"
    if old[0] != new[0]:
        yield Violation(where, f"{what} is another major version")
    elif old[1] - new[1] == 1:
        yield Violation(
            where,
            f"{what} is one minor version down: sidecars are newer than istiod until their pods are restarted",
            "go back only from an upgrade that went wrong",
            (f"make this change in {after.name} alone; {_up(after)}", f"{_RESTART}; {acknowledged(after)}"),
            Severity.WARNING,
        )
    else:
        step = 1 if new > old else -1
        yield Violation(
            where,
            f"{what} is {abs(new[1] - old[1])} minor versions {'up' if step > 0 else 'down'}, and Istio supports one at a time",
            steps=(
                f"set istio.version to the newest release of {old[0]}.{old[1] + step}; {_up(after)}",
                f"{_RESTART}; {acknowledged(after)}",
                f"then go on in the same way, one minor version at a time, to {to}",
            ),
        )


def _up(region: Region) -> str:
    return f"commit, pulumi up -s {region.name}"


PLATFORM_CHANGE: tuple[Rule[Change], ...] = (
    Rule(
        id="mesh-identity-kept",
        holds="The trust domain, the network and the name of a mesh stay as they are while it answers requests.",
        reason="pods keep who they are until they are restarted, and the proxies of the old and of the new refuse each other or take "
        "each other for remote",
        mend="take the steps",
        fact="https://istio.io/latest/docs/tasks/security/authorization/authz-td-migration/",
        check=between_revisions(_changes_identity),
        of_service=False,
    ),
    Rule(
        id="istio-one-minor-at-a-time",
        holds="Istio goes up by at most one minor version in one change, and down only to go back from an upgrade.",
        reason="sidecars are of the old version until their pods are restarted, and Istio supports istiod one minor version ahead of them",
        mend="go one minor version at a time, and restart the sidecars in between",
        fact="https://istio.io/latest/docs/setup/upgrade/in-place/#upgrade-prerequisites",
        check=between_revisions(_jumps),
        of_service=False,
    ),
)
