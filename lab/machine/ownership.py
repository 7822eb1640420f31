"""Root may run the lab in a person's checkout, by sudo: what it writes there stays that person's. Standard library alone."""

from __future__ import annotations

import os
import pwd
from contextlib import suppress
from pathlib import Path

from lab import mark
from lab.place import Lab


def give_back(checkout: Path) -> None:
    """Give what root owns in a checkout to the checkout's owner, except the cache and the files of labs that are up."""
    owner = checkout.stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        return
    cache = Lab.of_environment().cache
    for folder, folders, files in os.walk(checkout):
        paths = {name: Path(folder, name) for name in folders}
        folders[:] = [name for name, path in paths.items() if path != cache and not mark.is_up(path)]
        for name in (*folders, *files):
            with suppress(OSError):  # removed while we look
                if os.lstat(Path(folder, name)).st_uid == 0:
                    os.lchown(Path(folder, name), owner.st_uid, owner.st_gid)


def caller_home() -> Path:
    """The home of the person who called, also where sudo has made that person root."""
    caller = os.environ.get("SUDO_USER", "")
    try:
        return Path(pwd.getpwnam(caller).pw_dir)
    except KeyError:
        return Path.home()
