"""A region's stack file edited, and its overlay rendered anew: the files that a commit then changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from components.config import ConfigError, read_stack_file
from components.names import overlay
from rollout.git.revisions import Tree
from rollout.plan.declaration import Declared, declared
from rollout.plan.overlays import is_of_an_overlay, refuse_foreign, rendered
from rollout.problem import Problem, RolloutError
from rollout.regions import select


def edited(tree: Tree, region: str, edit: Callable[[str], str]) -> Mapping[str, bytes | None]:
    """What differs when a region's stack file is edited and its overlay is what the file says then.

    Args:
        tree: The project's files as they are before it.
        region: A region that has a stack file.
        edit: Makes the stack file's new text from the old.

    Returns:
        The new content by path in the project, None for a file that goes; empty where all is so already.

    Raises:
        RolloutError: there is no such region or two of that name, its stack file cannot be used before or after, a file in its
            overlay was not rendered, or `edit` refuses.
    """
    before = stack_file_of(tree, region)
    content = tree.read(before.stack_file) or b""
    after = edit(content.decode()).encode()
    wanted = {before.stack_file: after, **_rendered(after, before.stack_file)}
    gone = [path for path in _overlay_paths(tree, region) if path not in wanted]
    differing = {path: text for path, text in wanted.items() if tree.read(path) != text}
    return {**differing, **dict.fromkeys(gone)}


def stack_file_of(tree: Tree, region: str) -> Declared:
    """The region's stack file, which can be used.

    Raises:
        RolloutError: there is none, there are two, or it cannot be used.
    """
    found = select(declared(tree), [region])
    if len(found) > 1:
        raise RolloutError(
            Problem(
                f"{' and '.join(each.stack_file for each in found)} are both of the region {region}",
                "what one of them says would be taken for the other's",
                "give each stack a region of its own (echo-rollout:region, or the stack's name)",
            )
        )
    if found[0].problems:
        raise RolloutError(*map(Problem, found[0].problems))
    return found[0]


def _rendered(content: bytes, stack_file: str) -> Mapping[str, bytes]:
    try:
        config = read_stack_file(content, stack_file)
    except ConfigError as error:
        raise RolloutError(*map(Problem, error.problems)) from error
    return {path: text.encode() for path, text in rendered(config, stack_file).items()}


def _overlay_paths(tree: Tree, region: str) -> tuple[str, ...]:
    """The files that are in the overlay, each of them rendered."""
    paths = tuple(_paths(tree, overlay(region)))
    refuse_foreign({path: (tree.read(path) or b"").decode(errors="replace") for path in paths})
    return paths


def _paths(tree: Tree, folder: str) -> Iterator[str]:
    return (f"{folder}/{name}" for name in tree.files(folder) if is_of_an_overlay(name))
