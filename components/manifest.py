"""Argo CD's install manifest: read before anything is touched, and adapted to a region's settings as it is applied."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pulumi
import yaml

from components.config import ArgoCdConfig
from components.names import ARGOCD_NAMESPACE

_TIMEOUT_SECONDS = 30
_IMAGE_FIELD = re.compile(r"^[ -]*image: *[\"']?([^\s\"'#]+)", re.MULTILINE)
_SEPARATOR = re.compile(r"^---.*$\n?", re.MULTILINE)
_DEFINITION = re.compile(r"^kind: *[\"']?CustomResourceDefinition[\"']? *$", re.MULTILINE)
_OF_APPLICATION_SETS = re.compile(
    r"^  name: (applicationsets\.argoproj\.io|argocd-applicationset-controller\S*) *$", re.MULTILINE
)
_IMAGES = {"argocd": re.compile(r"(.*/)?argocd[:@].*"), "redis": re.compile(r"(.*/)?[^/]*redis[^/]*")}
_CLUSTER_SCOPED = ("Namespace", "ClusterRole", "ClusterRoleBinding")
_OFFICIAL = "give core-install.yaml or install.yaml of an Argo CD"
_WORKLOADS = ("Deployment", "StatefulSet")
_NOT_AWAITED = {"pulumi.com/skipAwait": "true"}
"""For Services: the provider waits at least ten seconds for each, and their pods, which count, are awaited by themselves."""


class ManifestError(ValueError):
    """The manifest that a stack names cannot be used."""


@dataclass(frozen=True)
class InstallManifest:
    """A manifest in two parts: its CustomResourceDefinitions, by name, and the text of everything else."""

    definitions: Mapping[str, Any]
    rest: str


def read_manifest(argocd: ArgoCdConfig) -> InstallManifest:
    """Read the manifest; a relative path starts at the working directory.

    Raises:
        ManifestError: If it is not there, is no manifest of a whole Argo CD, or runs no image of a kind that is to be another.
    """
    named = f'argocd.manifest "{argocd.manifest}"'
    try:
        manifest = _split(_text(argocd.manifest), argocd.application_sets)
    except (OSError, HTTPException, UnicodeDecodeError) as error:
        raise ManifestError(
            f"{named} cannot be read ({error}) — Argo CD is installed from it; correct argocd.manifest in the stack file, or "
            "name a copy of the file there"
        ) from error
    except (yaml.YAMLError, TypeError, KeyError) as error:
        raise ManifestError(f"{named} is no manifest — Argo CD is installed from it; {_OFFICIAL}") from error
    if "applications.argoproj.io" not in manifest.definitions:
        raise ManifestError(
            f"{named} does not define applications.argoproj.io — this region's Application could not be made; {_OFFICIAL}"
        )
    found = sorted(set(_IMAGE_FIELD.findall(manifest.rest)))
    for kind, image in _own_images(argocd).items():
        if not any(_IMAGES[kind].fullmatch(name) for name in found):
            raise ManifestError(
                f'argocd.images.{kind} "{image}" stands for no image of {argocd.manifest} — it would have no effect; leave it '
                f"out, or correct argocd.manifest (its images: {', '.join(found) or 'none'})"
            )
    return manifest


def adapted(argocd: ArgoCdConfig) -> Callable[[Any, pulumi.ResourceOptions], None]:
    """Make the transformation of the rest of a manifest: their namespace, the images and the pull policy of their containers."""
    own_images = _own_images(argocd)

    def adapt(manifest: Any, options: pulumi.ResourceOptions) -> None:
        if manifest["kind"] not in _CLUSTER_SCOPED:
            manifest["metadata"].setdefault("namespace", ARGOCD_NAMESPACE)
        for subject in manifest.get("subjects") or ():
            if subject["kind"] == "ServiceAccount":
                subject.setdefault("namespace", ARGOCD_NAMESPACE)
        if manifest["kind"] == "Service":
            manifest["metadata"]["annotations"] = {**manifest["metadata"].get("annotations", {}), **_NOT_AWAITED}
        if manifest["kind"] in _WORKLOADS:
            # as with the region's other workloads
            options.custom_timeouts = pulumi.CustomTimeouts(create="5m", update="5m")
            for container in _containers(manifest):
                for kind, image in own_images.items():
                    if _IMAGES[kind].fullmatch(container["image"]):
                        container["image"] = image
                if argocd.image_pull_policy:
                    container["imagePullPolicy"] = argocd.image_pull_policy

    return adapt


def _text(manifest: str) -> str:
    if not manifest.startswith(("https://", "http://")):
        return Path(manifest).expanduser().read_text(encoding="utf-8")
    with urlopen(manifest, timeout=_TIMEOUT_SECONDS) as response:
        return bytes(response.read()).decode()


def _split(text: str, application_sets: bool) -> InstallManifest:
    documents = _SEPARATOR.split(text)
    if not application_sets:
        documents = [each for each in documents if not _OF_APPLICATION_SETS.search(each)]
    parsed = [yaml.load(each, Loader=yaml.CSafeLoader) for each in documents if _DEFINITION.search(each)]
    return InstallManifest(
        definitions={each["metadata"]["name"]: each for each in parsed},
        rest="---\n".join(each for each in documents if not _DEFINITION.search(each)),
    )


def _own_images(argocd: ArgoCdConfig) -> dict[str, str]:
    return argocd.images.model_dump(exclude_none=True)


def _containers(workload: Any) -> Iterator[dict[str, Any]]:
    pod = workload["spec"]["template"]["spec"]
    yield from pod.get("initContainers") or ()
    yield from pod["containers"]
