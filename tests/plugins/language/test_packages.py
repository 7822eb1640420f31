from __future__ import annotations

from collections.abc import Mapping

import pytest

from lab.plugins.language.packages import Provider, required_providers
from lab.plugins.language.virtualenv import Distribution, VirtualenvError


def installed(name: str, version: str = "1.2.3", plugin: Mapping[str, object] | None = None) -> Distribution:
    return Distribution(name=name, version=version, plugin=plugin, required=False)


def test_provider_is_the_one_that_the_plugin_description_names() -> None:
    package = installed("my-kubernetes", plugin={"resource": True, "name": "kubernetes", "version": "4.34.2"})
    assert required_providers([package]) == (Provider("kubernetes", "v4.34.2", ""),)


def test_provider_of_a_package_without_description_is_told_by_its_name() -> None:
    assert required_providers([installed("pulumi-random")]) == (Provider("random", "v1.2.3", ""),)


def test_description_without_name_and_version_leaves_both_to_the_package() -> None:
    assert required_providers([installed("pulumi-random", plugin={"resource": True})]) == (
        Provider("random", "v1.2.3", ""),
    )


def test_two_packages_of_one_provider_ask_for_it_once() -> None:
    plugin = {"resource": True, "name": "kubernetes", "version": "4.34.2"}
    assert (
        len(required_providers([installed("pulumi-kubernetes", plugin=plugin), installed("mine", plugin=plugin)])) == 1
    )


@pytest.mark.parametrize(
    "package",
    [
        installed("requests"),
        installed("pulumi"),
        installed("pulumi-policy"),
        installed("pulumi-none", plugin={"resource": False}),
    ],
    ids=lambda package: package.name,
)
def test_package_without_provider_asks_for_none(package: Distribution) -> None:
    assert required_providers([package]) == ()


def test_short_release_becomes_a_semantic_version() -> None:
    assert required_providers([installed("pulumi-random", version="4.1")]) == (Provider("random", "v4.1.0", ""),)


def test_version_that_is_no_plain_release_is_left_to_the_engine() -> None:
    assert required_providers([installed("pulumi-random", version="4.1.0a1")]) == ()


def test_server_of_a_plugin_is_passed_on() -> None:
    package = installed("pulumi-mine", plugin={"resource": True, "server": "https://plugins.corp.local"})
    assert required_providers([package]) == (Provider("mine", "v1.2.3", "https://plugins.corp.local"),)


def test_parameterized_provider_is_refused_with_its_package() -> None:
    package = installed("pulumi-mine", plugin={"resource": True, "parameterization": {"name": "x"}})
    with pytest.raises(VirtualenvError, match="pulumi-mine uses a parameterized provider"):
        required_providers([package])
