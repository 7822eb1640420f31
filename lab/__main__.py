"""`python -m lab`: starts with the standard library alone, then goes on in the project's own environment."""

from __future__ import annotations

import os
import sys

from lab import bootstrap, preflight

_ADMINISTRATION = ("/usr/local/sbin", "/usr/sbin", "/sbin")

if __name__ == "__main__":
    # `su` without `-` leaves these out, and containerd finds its runc, kube-proxy its nft through PATH
    path = os.environ.get("PATH", "").split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join([*path, *(folder for folder in _ADMINISTRATION if folder not in path)])
    if {"up"} & set(sys.argv[1:2]) and (problems := preflight.problems()):
        sys.exit(preflight.explain(problems))
    try:
        bootstrap.ensure()
    except bootstrap.BootstrapError as error:
        sys.exit(f"error: {error}")
    if os.path.realpath(sys.prefix) != os.path.realpath(bootstrap.ENVIRONMENT):
        os.execv(bootstrap.PYTHON, [str(bootstrap.PYTHON), "-m", "lab", *sys.argv[1:]])
    from lab.cli import application

    application(prog_name="python -m lab")
