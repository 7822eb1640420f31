"""The committed package is what the generator makes of the pinned CRDs, and the generator is sound."""

import subprocess
from pathlib import Path

from lab.build.go import Go
from lab.place import Lab

ROOT = Path(__file__).parents[2]
GENERATOR = ROOT / "lab" / "toolchain" / "crdgen"
COMMITTED = ROOT / "sdks" / "pulumi_kubernetes_istio"
LEFT_BY_PIP = ("build/", "pulumi_kubernetes_istio.egg-info/")



def go(*arguments: str) -> None:
    program = Go.find(Lab.of_environment().cache, print).program
    done = subprocess.run([program, *arguments], cwd=GENERATOR, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def contents(folder: Path) -> dict[str, bytes]:
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {
        name: data for name, data in files.items() if not name.startswith(LEFT_BY_PIP) and "__pycache__" not in name
    }


def test_the_generator_passes_its_own_tests() -> None:
    go("test", "./...")


def test_generating_again_gives_exactly_the_committed_files(tmp_path: Path) -> None:
    go("run", ".", str(tmp_path / "again"))
    again, committed = contents(tmp_path / "again"), contents(COMMITTED)
    assert sorted(again) == sorted(committed)
    assert [name for name in again if again[name] != committed[name]] == []


def test_the_package_s_prose_is_left_out() -> None:
    inputs = COMMITTED / "pulumi_kubernetes_istio" / "networking" / "v1" / "_inputs.py"
    assert '"""' not in inputs.read_text(encoding="utf-8")
