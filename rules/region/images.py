"""Whether what runs is what the file says: images that cannot change under their name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rules.facts.region import Region
from rules.finding import Rule, Violation

_DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")
_LATEST = "latest"


def _not_pinned(region: Region) -> Iterator[Violation]:
    for deployment in region.workloads.deployments:
        for image in deployment.images:
            if problem := _problem(image, region.limits.immutable_tags):
                yield Violation(f"{deployment.id}: spec.template.spec.containers", f"{image} {problem}")


def _problem(image: str, immutable_tags: Sequence[str]) -> str | None:
    if _DIGEST.fullmatch(image):
        return None
    name, has_digest, _ = image.partition("@")
    if has_digest:
        return "has a digest that is no sha256:<64 hexadecimal digits>"
    # a port may come before the first slash, never after the last
    tag = name.rpartition("/")[2].partition(":")[2]
    if not tag:
        return "has neither digest nor tag, which is the tag latest"
    if tag == _LATEST or not any(re.fullmatch(pattern, tag) for pattern in immutable_tags):
        return f"has the tag {tag}, which may come to be another image"
    return None


IMAGES: tuple[Rule[Region], ...] = (
    Rule(
        id="image-pinned",
        holds="An image has a digest, or a tag that is never moved (rules.immutableTags), and never latest.",
        reason="a pod that starts later would run something else than its neighbours, without a commit to roll back",
        mend="write <image>@sha256:<digest>, or a tag such as 1.2.3",
        fact="https://kubernetes.io/docs/concepts/containers/images/#image-names",
        check=_not_pinned,
    ),
)
