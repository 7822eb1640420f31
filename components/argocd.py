"""Argo CD in one region: its install manifest, read before anything is touched, adapted, and installed."""

import re
from collections.abc import Iterator, Sequence
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pulumi
import yaml
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta

from components.names import ARGOCD_NAMESPACE, recommended_labels
from stackfile.model import ArgoCdConfig

_TIMEOUT_SECONDS = 30
_HASH = "#sha256="
"""Between where a manifest is and the SHA-256 that it must have."""
_SEPARATOR = re.compile(r"^---.*$\n?", re.MULTILINE)
_OF_APPLICATION_SETS = re.compile(
    r"^  name: (applicationsets\.argoproj\.io|argocd-applicationset-controller\S*) *$", re.MULTILINE
)
_IMAGES = {"argocd": re.compile(r"(.*/)?argocd[:@].*"), "redis": re.compile(r"(.*/)?[^/]*redis[^/]*")}
_CLUSTER_SCOPED = ("CustomResourceDefinition", "Namespace", "ClusterRole", "ClusterRoleBinding")
_OFFICIAL = "give core-install.yaml or install.yaml of an Argo CD"
_NOT_AWAITED = {"pulumi.com/skipAwait": "true"}
"""For Services: the provider waits at least ten seconds for each, and their pods, which count, are awaited by themselves."""
_WORKLOADS = ("Deployment", "StatefulSet")

Manifest = dict[str, Any]
"""One object as YAML has it."""


class ManifestError(ValueError):
    """The manifest that a stack names cannot be used."""


def read_manifest(argocd: ArgoCdConfig) -> tuple[Manifest, ...]:
    """Read the objects of the manifest, with a region's namespace, images and pull policy; a relative path starts at the working directory.

    Raises:
        ManifestError: If it is not there, has another hash, is no manifest of a whole Argo CD, or runs no image of a kind that is to
            be another.
    """
    named = f'argocd.manifest "{argocd.manifest}"'
    try:
        objects = _parsed(_text(argocd.manifest), argocd.application_sets)
        found = sorted({container["image"] for each in objects for container in _containers(each)})
        defined = {each["metadata"]["name"] for each in objects if each["kind"] == "CustomResourceDefinition"}
        for each in objects:
            _adapt(each, argocd)
    except (OSError, HTTPException, UnicodeDecodeError) as error:
        raise ManifestError(
            f"{named} cannot be read ({error}) — Argo CD is installed from it; correct argocd.manifest in the stack file, or "
            "name a copy of the file there"
        ) from error
    except (yaml.YAMLError, TypeError, KeyError) as error:
        raise ManifestError(f"{named} is no manifest — Argo CD is installed from it; {_OFFICIAL}") from error
    if "applications.argoproj.io" not in defined:
        raise ManifestError(
            f"{named} does not define applications.argoproj.io — this region's Application could not be made; {_OFFICIAL}"
        )
    for kind, image in _own_images(argocd).items():
        if not any(_IMAGES[kind].fullmatch(name) for name in found):
            raise ManifestError(
                f'argocd.images.{kind} "{image}" stands for no image of {argocd.manifest} — it would have no effect; leave it '
                f"out, or correct argocd.manifest (its images: {', '.join(found) or 'none'})"
            )
    return objects


def _adapt(manifest: Manifest, argocd: ArgoCdConfig) -> None:
    metadata = manifest["metadata"]
    if manifest["kind"] not in _CLUSTER_SCOPED:
        metadata.setdefault("namespace", ARGOCD_NAMESPACE)
    if manifest["kind"] == "Service":
        metadata["annotations"] = {**(metadata.get("annotations") or {}), **_NOT_AWAITED}
    for subject in manifest.get("subjects") or ():
        if subject["kind"] == "ServiceAccount":
            subject.setdefault("namespace", ARGOCD_NAMESPACE)
    for container in _containers(manifest):
        for kind, image in _own_images(argocd).items():
            if _IMAGES[kind].fullmatch(container["image"]):
                container["image"] = image
        if argocd.image_pull_policy:
            container["imagePullPolicy"] = argocd.image_pull_policy


def _text(manifest: str) -> str:
    source, _, wanted = manifest.partition(_HASH)
    if source.startswith(("https://", "http://")):
        with urlopen(source, timeout=_TIMEOUT_SECONDS) as response:
            content = bytes(response.read())
    else:
        content = Path(source).expanduser().read_bytes()
    if wanted and wanted != (found := sha256(content).hexdigest()):
        raise ManifestError(
            f'argocd.manifest "{source}" is not the file that the stack file names: its hash is {found}, not {wanted}. '
            "Look at what has changed, and write its hash into argocd.manifest."
        )
    return content.decode()


def _parsed(text: str, application_sets: bool) -> tuple[Manifest, ...]:
    documents: Sequence[str] = _SEPARATOR.split(text)
    if not application_sets:
        documents = [each for each in documents if not _OF_APPLICATION_SETS.search(each)]
    parsed = [yaml.load(each, Loader=yaml.CSafeLoader) for each in documents]
    return tuple(each for each in parsed if each is not None)


def _own_images(argocd: ArgoCdConfig) -> dict[str, str]:
    return argocd.images.model_dump(exclude_none=True)


def _containers(manifest: Manifest) -> Iterator[dict[str, Any]]:
    if manifest["kind"] in _WORKLOADS:
        pod = manifest["spec"]["template"]["spec"]
        yield from pod.get("initContainers") or ()
        yield from pod["containers"]


class ArgoCdInstall(pulumi.ComponentResource):
    """Argo CD in its namespace, as the objects of its own manifest have it but for the images.

    The manifest's objects are registered untyped: their typed classes take longer to import, and to read back, than all the rest of
    a preview's program.
    """

    namespace: pulumi.Output[str]
    """The namespace's name, not known before it is there."""

    def __init__(self, name: str, args: Sequence[Manifest], opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("echo-rollout:argocd:ArgoCdInstall", name, None, opts)
        namespace = core.Namespace(
            name,
            metadata=meta.ObjectMetaArgs(
                name=ARGOCD_NAMESPACE, labels=recommended_labels(ARGOCD_NAMESPACE, ARGOCD_NAMESPACE, "namespace")
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        # the type of the parent is part of an URN: with another one, Pulumi would make all of these objects anew
        file = pulumi.ComponentResource("kubernetes:yaml:ConfigFile", name, None, pulumi.ResourceOptions(parent=self))
        for manifest in args:
            of_the_cluster = manifest["kind"] == "CustomResourceDefinition"
            _register(manifest, pulumi.ResourceOptions(parent=self if of_the_cluster else file, depends_on=[namespace]))
        file.register_outputs({})
        self.namespace = namespace.id
        self.register_outputs({})


def _register(manifest: Manifest, opts: pulumi.ResourceOptions) -> None:
    """Register one object as the provider's typed class would."""
    version, kind, metadata = manifest["apiVersion"], manifest["kind"], manifest["metadata"]
    group_and_version = version if "/" in version else f"core/{version}"
    name = "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))
    more = pulumi.ResourceOptions(
        # as with the region's other workloads
        custom_timeouts=pulumi.CustomTimeouts(create="5m", update="5m") if kind in _WORKLOADS else None,
        additional_secret_outputs=["data", "stringData"] if kind == "Secret" else None,
    )
    pulumi.CustomResource(
        f"kubernetes:{group_and_version}:{kind}", name, manifest, pulumi.ResourceOptions.merge(opts, more)
    )
