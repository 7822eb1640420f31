"""Run one Pulumi program and end.

The language host starts this, by its path, with the interpreter of the program's virtual environment: so it imports nothing
but the standard library and Pulumi's SDK. Its flags are those that Pulumi's own host gives to its executor. Exit codes: 0;
32 when the program failed and the engine has been told why; 130 when it was interrupted; any other is the program's own.
"""

from __future__ import annotations

import signal

if __name__ == "__main__":
    # until the program itself runs, an interrupt ends the process at once, without a traceback
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import asyncio
import ctypes
import logging
import os
import runpy
import sys
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

import pulumi
from pulumi import runtime

SHOWN = 32
"""The exit code of a program whose error the user has been shown already; the number that Pulumi's own executor uses."""
_INTERRUPTED = 130
_PR_SET_PDEATHSIG = 1
"""From <sys/prctl.h>."""


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run one Pulumi program in the working directory.")
    for flag in ("monitor", "engine", "project", "stack", "organization", "root_directory"):
        parser.add_argument(f"--{flag}")
    parser.add_argument("--dry_run", choices=["true", "false"], default="false")
    parser.add_argument("--parallel", type=int, default=1)
    parser.add_argument("program", type=Path)
    parser.add_argument("arguments", nargs="*")
    return parser.parse_args(words)


def _configure(arguments: argparse.Namespace) -> None:
    runtime.set_all_config(runtime.get_config_env(), runtime.get_config_secret_keys_env())
    runtime.configure(
        runtime.Settings(
            project=arguments.project,
            stack=arguments.stack,
            monitor=arguments.monitor,
            engine=arguments.engine,
            parallel=arguments.parallel,
            dry_run=arguments.dry_run == "true",
            organization=arguments.organization,
            root_directory=arguments.root_directory,
        )
    )


def _event_loop(parallel: int) -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    # as Pulumi's own executor: room for the several calls that one resource makes
    loop.set_default_executor(ThreadPoolExecutor(max_workers=max(parallel, 1) * 4))
    asyncio.set_event_loop(loop)
    # when one resource fails, the tasks that wait for it are never awaited; asyncio would report each of them
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    return loop


def _interrupt_once(_signal: int, _frame: FrameType | None) -> None:
    # the engine and the host may both interrupt: the second must not disturb the program's own cleaning up
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _run_interruptibly(program: str) -> None:
    """Run the program's code so that an interrupt lets it clean up and then ends the process at once.

    Everywhere else an interrupt ends the process at once: the SDK, which catches every exception, and its threads would wait for
    calls that an engine which is going away no longer answers.
    """
    signal.signal(signal.SIGINT, _interrupt_once)
    try:
        runpy.run_path(program, run_name="__main__")
    except KeyboardInterrupt:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_INTERRUPTED)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _end_with_the_host() -> None:
    """Have the kernel kill this process when the host's thread that started it ends, even if the host is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _story(error: Exception, main: Path) -> str:
    """The traceback from the program's main file on; whole if that did not run, none if it could not be read."""
    frames = error.__traceback__
    while frames is not None and Path(frames.tb_frame.f_code.co_filename) != main:
        frames = frames.tb_next
    if frames is None and not isinstance(error, SyntaxError):
        frames = error.__traceback__
    return "".join(traceback.format_exception(type(error), error, frames))


def run(words: Sequence[str]) -> int:
    """Run the program that the command line names; returns the exit code, see above.

    Raises:
        SystemExit: the program left by itself.
    """
    arguments = _arguments(words)
    main = arguments.program.resolve()
    main = main / "__main__.py" if main.is_dir() else main
    _configure(arguments)
    sys.argv = [str(arguments.program), *arguments.arguments]
    if not main.is_file():
        pulumi.log.error(f"there is no {main}, so this project has no program: write it, or set `main` in Pulumi.yaml")
        return SHOWN

    loop = _event_loop(arguments.parallel)
    try:
        loop.run_until_complete(runtime.run_in_stack(lambda: _run_interruptibly(str(arguments.program))))
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        return SHOWN
    except Exception as error:  # whatever the program raises is its user's to read
        pulumi.log.error(f"Program failed with an unhandled exception:\n{_story(error, main)}")
        return SHOWN
    finally:
        loop.close()
    return 0


if __name__ == "__main__":
    _end_with_the_host()
    sys.exit(run(sys.argv[1:]))
