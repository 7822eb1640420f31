"""How much code there is, by room: `python -m tests.lines`. Tests and generated code are counted by themselves."""

from __future__ import annotations

import ast
import re
import subprocess
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]


def statements(file: Path) -> int:
    """Statements of a Python file; of a Go file, lines with code that is more than a closing bracket."""
    text = file.read_text()
    if file.suffix == ".py":
        return sum(isinstance(node, ast.stmt) and not _is_docstring(node) for node in ast.walk(ast.parse(text)))
    code = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return sum(bool(re.search(r"\w", line.partition("//")[0])) for line in code.splitlines())


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def room(path: Path) -> str:
    """Where a file belongs: a folder at the top, and of the large packages the one below it."""
    if path.parts[0] == "tests" or path.name.endswith("_test.go"):
        return "tests"
    if path.parts[0] == "sdks":
        return "generated"
    depth = 2 if path.parts[0] in ("lab", "rollout", "rules", "app") and len(path.parts) > 2 else 1
    return "/".join(path.parts[:depth]) if len(path.parts) > 1 else "the top"


def main() -> None:
    """Count and print."""
    listed = subprocess.run(["git", "ls-files", "*.py", "*.go"], cwd=ROOT, capture_output=True, text=True, check=True)
    counts: dict[str, Counter[str]] = {}
    for name in filter(None, listed.stdout.splitlines()):
        file = ROOT / name
        if file.exists():
            lines = len(file.read_text().splitlines())
            counts.setdefault(room(Path(name)), Counter()).update(
                files=1, lines=lines, statements=statements(file) if lines else 0
            )
    apart = ("tests", "generated")
    own = sorted(name for name in counts if name not in apart)
    table = Table("room", "files", "lines", "statements")
    for name in own:
        table.add_row(name, *_figures(counts[name]))
    total: Counter[str] = sum((counts[name] for name in own), Counter())
    table.add_section()
    for name, count in [("our own code", total), *((name, counts[name]) for name in apart)]:
        table.add_row(name, *_figures(count))
    Console().print(table)


def _figures(count: Counter[str]) -> list[str]:
    return [f"{count[key]:,}" for key in ("files", "lines", "statements")]


if __name__ == "__main__":
    main()
