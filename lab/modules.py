"""What the lab takes from Go modules beside their programs: where a module is, and a copy of some of it in the cache."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from threading import Event

from lab.cache import PreparationError, making, place
from lab.tools import TOOLCHAIN

_DOWNLOAD_SECONDS = 600


def module_dir(toolchain: str, module: str) -> Path:
    """The folder of a module that `lab/toolchain/<toolchain>/go.mod` requires; it is downloaded if need be.

    Raises:
        PreparationError: Go cannot get it.
    """
    command = ["go", "mod", "download", "-json", module]
    environment = os.environ | {"GOFLAGS": "", "GOWORK": "off"}
    try:
        answer = subprocess.run(
            command,
            cwd=TOOLCHAIN / toolchain,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=_DOWNLOAD_SECONDS,
        )
        return Path(json.loads(answer.stdout)["Dir"])
    except subprocess.CalledProcessError as error:
        why = error.stdout + error.stderr
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError) as error:
        why = str(error)
    raise PreparationError(
        f"{TOOLCHAIN / toolchain}: `{' '.join(command)}` failed:\n{why}\n"
        f"The lab takes files from that module. See that the Go module proxy can be reached (`go env GOPROXY`), then try again."
    )


def kept(target: Path, take: Callable[[Path], None]) -> Path:
    """See that the folder `target` of the cache is there, whole.

    Args:
        target: its name is the key of its content, see `lab.cache.key_of`.
        take: fills in the folder that it is given, which is not there yet; called only if `target` is missing.

    Returns:
        `target`.
    """
    if not target.exists():
        with making(target.parent, target.name, stop=Event()) as work:
            if not target.exists():
                take(work / "files")
                place(work / "files", target)
    return target
