"""Run one Pulumi program and end: `python program.py ENGINE_ADDRESS`, with the engine's RunRequest as standard input.

The language host starts this, by its path, with the interpreter of the program's virtual environment: so it imports nothing
but the standard library and Pulumi's SDK.
"""

from __future__ import annotations

import signal

if __name__ == "__main__":
    # until the program itself runs, an interrupt ends the process at once, without a traceback
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import os
import runpy
import sys
import traceback
from types import FrameType

from pulumi import RunError
from pulumi.automation._server import LanguageServer
from pulumi.runtime.proto import language_pb2

SHOWN = 32
"""The exit code of a program whose error the user has been shown already; the number that Pulumi's own executor uses."""


def _interrupt_once(_signal: int, _frame: FrameType | None) -> None:
    # the engine and the host both interrupt: the second must not disturb the program's own cleaning up
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _run(program: str) -> None:
    """Run the program's code so that an interrupt lets it clean up and then ends the process at once.

    Everywhere else an interrupt ends the process at once: the SDK, which catches every exception, and its threads would wait for
    calls that an engine which is going away no longer answers.
    """
    signal.signal(signal.SIGINT, _interrupt_once)
    try:
        runpy.run_path(program, run_name="__main__")
    except KeyboardInterrupt:
        os._exit(SHOWN)
    except RunError:
        raise
    except Exception as error:
        frames = error.__traceback__
        while frames and frames.tb_frame.f_code.co_filename.startswith((__file__, "<frozen ")):
            frames = frames.tb_next
        story = "".join(traceback.format_exception(error.with_traceback(frames)))
        raise RunError(f"Program failed with an unhandled exception:\n{story}") from None
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def main() -> None:
    """Run the program that standard input names. The exit code is 0, or `SHOWN` when it failed and the engine was told why."""
    request = language_pb2.RunRequest.FromString(sys.stdin.buffer.read())
    program = request.info.entry_point
    engine, sys.argv = sys.argv[1], [program, *request.args]
    # where the SDK's server looks for the engine's address
    request.args[:] = [engine]
    result = LanguageServer(lambda: _run(program)).Run(request, None)  # type: ignore[no-untyped-call]
    sys.exit(SHOWN if result.error else 0)


if __name__ == "__main__":
    main()
