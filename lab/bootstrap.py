"""The project's Python environment, made with the standard library alone.

`.venv` gets the pinned, hashed requirements and the typed Istio package. A stamp in it names what it was made from, so that a
second call costs nothing and a changed pin is installed.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import venv

from lab.machine import debian, ownership
from lab.place import CHECKOUT
from lab.report import LabError

ENVIRONMENT = CHECKOUT / ".venv"
PYTHON = ENVIRONMENT / "bin" / "python"
_LOCK = CHECKOUT / ".venv.lock"
_REQUIREMENTS = CHECKOUT / "requirements.txt"
_ISTIO_PACKAGE = CHECKOUT / "sdks" / "pulumi_kubernetes_istio"


def check_python() -> None:
    """See that this Python is one for which the lab is written.

    Raises:
        LabError: it is too old.
    """
    if sys.version_info < (3, 11):  # noqa: UP036 - the very file that tells it must run on an older one
        raise LabError(
            f"Python {sys.version.split()[0]} is too old: 3.11 or later is needed. Call make PYTHON=python3.11 up"
        )


def ensure() -> None:
    """Make or refresh `.venv`, saying what is installed.

    Raises:
        LabError: Python is too old, lacks venv, or pip could not install.
    """
    check_python()
    made, stamp, wanted = ENVIRONMENT / "made-by", ENVIRONMENT / "installed-from", _wanted()
    if ENVIRONMENT.exists() and not made.exists() and not _LOCK.exists():
        raise LabError(
            f"{ENVIRONMENT}: somebody else made it, and it would be made anew. Move it away, then call again"
        )
    with _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == wanted:
            return
        # `venv` makes the interpreter first and pip last: what was cut short, or made by another Python, is made anew
        if not made.exists() or made.read_text() != _maker():
            _say("makes .venv")
            _make_environment()
            made.write_text(_maker())
        _say("installs the pinned Python packages of requirements.txt into .venv (a minute or two the first time)")
        # Python compiles what it imports; compiling all of it took half of the minute
        _pip("--no-compile", "--require-hashes", "-r", str(_REQUIREMENTS))
        _say("installs the typed Istio package from sdks/ into .venv")
        _pip("--no-deps", "--no-build-isolation", "--force-reinstall", str(_ISTIO_PACKAGE))
        shutil.rmtree(_ISTIO_PACKAGE / "build", ignore_errors=True)
        _say("installs the command rollout into .venv")
        _pip("--no-deps", "--no-build-isolation", "--editable", str(CHECKOUT))
        stamp.write_text(wanted)


def _maker() -> str:
    return f"{sys.version}\n{ENVIRONMENT.resolve()}"  # the commands in it name its place


def _wanted() -> str:
    whole = hashlib.sha256(_maker().encode())
    for file in [
        _REQUIREMENTS,
        CHECKOUT / "pyproject.toml",
        *sorted(_ISTIO_PACKAGE.rglob("*.py")),
        _ISTIO_PACKAGE / "pyproject.toml",
    ]:
        if "build" not in file.relative_to(CHECKOUT).parts:
            whole.update(file.read_bytes())
    return whole.hexdigest()


def _make_environment() -> None:
    if importlib.util.find_spec("ensurepip") is None:  # Debian's own Python comes without it
        debian.install(["python3-venv"], "Python's ensurepip is missing: no virtual environment can be made.", _say)
    try:
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
    except subprocess.CalledProcessError as error:
        raise LabError(
            f"{ENVIRONMENT}: the virtual environment cannot be made: {error}. Nothing runs without it"
        ) from None


def _pip(*arguments: str) -> None:
    # the hashes in requirements.txt say what is installed; nothing else is asked of the machine's pip settings
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    result = subprocess.run(command, check=False, env={**os.environ, "PIP_ROOT_USER_ACTION": "ignore"})
    if result.returncode != 0:
        raise LabError(
            f"pip ended with code {result.returncode} (its words are above): .venv is not complete. Mend it, then call again."
        )


def _say(what: str) -> None:
    print(f"setup: {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        ensure()
    except LabError as error:
        sys.exit(f"error: {error}")
    finally:
        ownership.give_back(CHECKOUT)
