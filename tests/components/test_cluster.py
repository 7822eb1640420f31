"""A misspelt context fails late in the provider, once for each resource, and none of the messages says which contexts there are.

The program looks the context up itself, before anything is touched.
"""

from pathlib import Path

import pytest

from components.existing.cluster import ClusterError, require_context
from stackfile.model import ClusterConfig

REGION_A = ClusterConfig(context="region-a")


def kubeconfig(path: Path, *contexts: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["contexts:", *(f"- {{name: {context}, context: {{}}}}" for context in contexts)]))
    return path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without a kubeconfig."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    return tmp_path


def refusal(cluster: ClusterConfig) -> str:
    with pytest.raises(ClusterError) as caught:
        require_context(cluster)
    return str(caught.value)


def test_context_is_found_in_the_home_directory(home: Path) -> None:
    kubeconfig(home / ".kube/config", "other", "region-a")
    require_context(REGION_A)


def test_context_is_found_in_any_file_of_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [kubeconfig(tmp_path / "one", "other"), tmp_path / "absent", kubeconfig(tmp_path / "two", "region-a")]
    monkeypatch.setenv("KUBECONFIG", ":".join(["", *map(str, files)]))
    require_context(REGION_A)


def test_the_list_hides_the_home_directory(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kubeconfig(home / ".kube/config", "region-a")
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(home / "listed", "other")))
    assert str(home / "listed") in refusal(REGION_A)


def test_the_stacks_own_kubeconfig_hides_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "listed", "region-a")))
    own = kubeconfig(tmp_path / "own", "other")
    assert str(own) in refusal(ClusterConfig(context="region-a", kubeconfig=str(own)))


def test_the_stacks_own_kubeconfig_may_start_at_home(home: Path) -> None:
    kubeconfig(home / "clusters/a", "region-a")
    require_context(ClusterConfig(context="region-a", kubeconfig="~/clusters/a"))


def test_an_unknown_context_is_refused_with_the_known_ones(home: Path) -> None:
    file = kubeconfig(home / ".kube/config", "region-b", "kind")
    assert refusal(REGION_A) == (
        f'cluster.context "region-a" is not in {file} — the program will not guess which cluster to change; correct '
        "cluster.context or cluster.kubeconfig in the stack file, or the kubeconfig (its contexts: region-b, kind)"
    )


def test_no_kubeconfig_at_all_is_refused_with_the_place_that_was_looked_at(home: Path) -> None:
    assert f'cluster.context "region-a": there is no kubeconfig {home}/.kube/config — ' in refusal(REGION_A)


@pytest.mark.parametrize("text", ["", "kind: Config", "contexts:"])
def test_an_empty_kubeconfig_has_no_context(home: Path, text: str) -> None:
    kubeconfig(home / ".kube/config").write_text(text)
    assert "(its contexts: none at all)" in refusal(REGION_A)


@pytest.mark.parametrize("text", ["just text", "[1, 2]", "{unclosed", "contexts: [{cluster: x}]", "contexts: 1"])
def test_a_file_that_is_no_kubeconfig_is_named(home: Path, text: str) -> None:
    file = kubeconfig(home / ".kube/config")
    file.write_text(text)
    assert refusal(REGION_A).startswith(f"{file} is no kubeconfig — ")


def test_a_kubeconfig_that_cannot_be_read_is_named(home: Path) -> None:
    (home / ".kube/config").mkdir(parents=True)
    assert refusal(REGION_A).startswith(f"{home}/.kube/config: Is a directory — ")
