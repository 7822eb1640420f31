"""`python -m lab`: starts with the standard library alone, then goes on in the project's own environment."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

sys.dont_write_bytecode = True  # asking for help leaves no files

from lab import arguments, bootstrap, mark  # noqa: E402 - their bytecode must not be written
from lab.machine import ownership, preflight  # noqa: E402 - their bytecode must not be written
from lab.place import CHECKOUT, Lab  # noqa: E402
from lab.report import LabError  # noqa: E402

_ADMINISTRATION = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def main() -> None:
    """Do what the command line says.

    Raises:
        SystemExit: with the command's exit code.
    """
    # `su` without `-` leaves these out, and containerd finds its runc, kube-proxy its nft through PATH
    path = os.environ.get("PATH", "").split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join([*path, *(folder for folder in _ADMINISTRATION if folder not in path)])
    lab = Lab.of_environment()
    options = arguments.parse(sys.argv[1:], lab)
    try:
        bootstrap.check_python()
        if options.verb == "up" and (problems := preflight.problems()):
            sys.exit(preflight.explain(problems))
        if options.verb in arguments.NEED_A_LAB and (problem := _why_not_up(lab)):
            print(f"error: {problem}", file=sys.stderr)
            sys.exit(1 if options.verb == "status" else 2)
        bootstrap.ensure()
    except LabError as error:
        sys.exit(f"error: {error}")
    if os.path.realpath(sys.prefix) != os.path.realpath(bootstrap.ENVIRONMENT):
        os.execv(bootstrap.PYTHON, [str(bootstrap.PYTHON), "-m", "lab", *sys.argv[1:]])
    sys.dont_write_bytecode = False
    from lab.cli import run  # noqa: PLC0415 - its packages are there only now

    run(options, lab)


def _why_not_up(lab: Lab) -> str:
    if not (mark.is_up(lab.directory) and lab.kubeconfig.exists()):
        return f"{lab.directory}: the lab is down. Bring it up with: make up"
    return mark.obstacle(lab.directory)


if __name__ == "__main__":
    try:
        main()
    finally:
        if not bootstrap.ENVIRONMENT.exists():
            # the interpreter compiles the package before it comes here
            shutil.rmtree(Path(__file__).with_name("__pycache__"), ignore_errors=True)
        ownership.give_back(CHECKOUT)
