"""Who may run the verbs of `rollout` in a region: two ServiceAccounts, each with what its verbs ask the cluster for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import pulumi
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes.rbac import v1 as rbac

from components.istio import NAMESPACE as ISTIO
from components.names import ARGOCD_NAMESPACE, recommended_labels
from components.probe import NAMESPACE
from stackfile.model import RegionConfig

READER = "rollout-reader"
"""Runs `status` and `verify`."""
PROMOTER = "rollout-promoter"
"""Runs all verbs."""

_API = "rbac.authorization.k8s.io"
_Rules = list[rbac.PolicyRuleArgs]


@dataclass(frozen=True)
class RolloutAccessArgs:
    """Where the verbs look.

    `services` has the namespaces of the services, `proxies` all in which sidecars, gateways, istiod and the probe run, and
    `applications` the names of Argo CD's Applications, none where Argo CD does not deliver.
    """

    services: Sequence[str]
    proxies: Sequence[str]
    applications: Sequence[str]

    @classmethod
    def of(cls, config: RegionConfig) -> Self:
        """Where they look in a region that has an `access`."""
        assert config.access is not None, "else nobody gets any"
        services = [*dict.fromkeys(service.namespace for service in config.services.values())]
        gateway = [config.gateway.namespace] if config.gateway else []
        return cls(
            services,
            [*dict.fromkeys((*services, NAMESPACE, ISTIO, *gateway, *config.access.clients))],
            [] if config.delivery == "direct" else [*config.services],
        )


class RolloutAccess(pulumi.ComponentResource):
    """The accounts, in the probe's namespace, and their roles: what they read everywhere, and what they may do in which namespace.

    Neither may write to any object of a service. What a promotion changes it changes in Git.
    """

    def __init__(self, name: str, args: RolloutAccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("echo-rollout:access:RolloutAccess", name, None, opts)
        self._child = pulumi.ResourceOptions(parent=self)
        for account in (READER, PROMOTER):
            metadata = _metadata(account, NAMESPACE)
            core.ServiceAccount(account, metadata=metadata, automount_service_account_token=False, opts=self._child)
        role = rbac.ClusterRole(READER, metadata=_metadata(READER), rules=_everywhere(), opts=self._child)
        rbac.ClusterRoleBinding(
            READER,
            metadata=_metadata(READER),
            role_ref=rbac.RoleRefArgs(api_group=_API, kind="ClusterRole", name=READER),
            subjects=_subjects(READER, PROMOTER),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[role]),
        )
        for namespace, rules in _reading(args).items():
            self._allow(READER, namespace, rules, READER, PROMOTER)
        if args.applications:
            # the annotation by which Argo CD is asked to look at Git now
            refresh = [_rule("argoproj.io", "applications", "patch", names=args.applications)]
            self._allow(PROMOTER, ARGOCD_NAMESPACE, refresh, PROMOTER)
        self.register_outputs({})

    def _allow(self, role: str, namespace: str, rules: _Rules, *accounts: str) -> None:
        name, metadata = f"{role}-{namespace}", _metadata(role, namespace)
        made = rbac.Role(name, metadata=metadata, rules=rules, opts=self._child)
        rbac.RoleBinding(
            name,
            metadata=metadata,
            role_ref=rbac.RoleRefArgs(api_group=_API, kind="Role", name=role),
            subjects=_subjects(*accounts),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[made]),
        )


def _everywhere() -> _Rules:
    """Whose proxies there are, and whose routes lead to a service, is known only by looking everywhere."""
    return [_rule("", "pods", "list"), _rule("networking.istio.io", ("virtualservices", "destinationrules"), "list")]


def _reading(args: RolloutAccessArgs) -> Mapping[str, _Rules]:
    # A proxy, istiod and the probe are asked by a command in their pod. The API server checks `get`, by which the websocket is
    # asked for, and from Kubernetes 1.35 on `create` as well; it cannot tell one container of a namespace from another.
    rules = {namespace: [_rule("", "pods/exec", "get", "create")] for namespace in args.proxies}
    for namespace in args.services:
        rules[namespace] += [
            _rule("", "namespaces", "get"),
            _rule("apps", "deployments", "list"),
            _rule("autoscaling", "horizontalpodautoscalers", "list"),
        ]
    if args.applications:
        rules[ARGOCD_NAMESPACE] = [
            *rules.get(ARGOCD_NAMESPACE, ()),
            _rule("argoproj.io", "applications", "get", names=args.applications),
            _rule("argoproj.io", "appprojects", "list"),
        ]
    return rules


def _rule(group: str, resources: str | Sequence[str], *verbs: str, names: Sequence[str] = ()) -> rbac.PolicyRuleArgs:
    found = [resources] if isinstance(resources, str) else [*resources]
    return rbac.PolicyRuleArgs(api_groups=[group], resources=found, verbs=[*verbs], resource_names=[*names] or None)


def _subjects(*accounts: str) -> list[rbac.SubjectArgs]:
    return [rbac.SubjectArgs(kind="ServiceAccount", name=each, namespace=NAMESPACE) for each in accounts]


def _metadata(name: str, namespace: str | None = None) -> meta.ObjectMetaArgs:
    return meta.ObjectMetaArgs(name=name, namespace=namespace, labels=recommended_labels("rollout", name, "access"))
