"""Pulumi's LanguageRuntime service, as far as this project's commands call it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path

import grpc
from google.protobuf import empty_pb2
from pulumi.automation._server import LanguageServer
from pulumi.runtime.proto import language_pb2, plugin_pb2
from typing_extensions import override

from lab.language_host.packs import PolicyProxy
from lab.language_host.program import SHOWN

_PROGRAM = str(Path(__file__).with_name("program.py"))


class LanguageHost(LanguageServer):
    """Answers the engine. About and GetPluginInfo are the SDK's; what neither serves is refused with UNIMPLEMENTED."""

    def __init__(self, engine: str) -> None:
        """Answer for the engine at the address `engine`."""
        super().__init__(lambda: None)
        self._engine = engine
        self._programs: set[subprocess.Popen[bytes]] = set()

    @override
    def GetRequiredPackages(
        self, request: language_pb2.GetRequiredPackagesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetRequiredPackagesResponse:
        described = [
            json.loads(file.read_text())
            for distribution in metadata.distributions()
            for file in distribution.files or ()
            if file.name == "pulumi-plugin.json"
        ]
        plugins = {(plugin["name"], plugin["version"]) for plugin in described if plugin["resource"]}
        return language_pb2.GetRequiredPackagesResponse(
            packages=[
                plugin_pb2.PackageDependency(kind="resource", name=name, version=version)
                for name, version in sorted(plugins)
            ]
        )

    @override
    def GetProgramDependencies(
        self, request: language_pb2.GetProgramDependenciesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetProgramDependenciesResponse:
        installed = sorted((found.name, found.version) for found in metadata.distributions())
        return language_pb2.GetProgramDependenciesResponse(
            dependencies=[language_pb2.DependencyInfo(name=name, version=version) for name, version in installed]
        )

    @override
    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:
        for program in tuple(self._programs):
            program.send_signal(signal.SIGINT)
        return empty_pb2.Empty()

    @override
    def Run(self, request: language_pb2.RunRequest, context: grpc.ServicerContext) -> language_pb2.RunResponse:
        """Run the program in a process of its own: Ctrl-C must reach it, and two runs must not share modules."""
        # -P: the folder of program.py is not the program's to import from
        words = ["-P", _PROGRAM, self._engine]
        with _process(request.info, context, words, signal.SIGINT, cwd=request.pwd, stdin=subprocess.PIPE) as program:
            self._programs.add(program)
            program.communicate(request.SerializeToString())
            self._programs.discard(program)
        code = program.returncode
        if code == 0:
            return language_pb2.RunResponse()
        if code in (SHOWN, -signal.SIGINT):
            return language_pb2.RunResponse(bail=True)
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return language_pb2.RunResponse(
            error=f"the program did not declare everything, because it {how} without an error of its own: see its output "
            "above; if there is none, look for a call of os._exit or for a lack of memory"
        )

    @override
    def RunPlugin(
        self, request: language_pb2.RunPluginRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.RunPluginResponse]:
        """Run a policy pack; pass on what it prints, then its exit code. Its stderr is the host's own.

        The port that the engine gets to know is the host's own, see `lab.language_host.packs`.
        """
        folder = request.info.program_directory
        words = ["-m", "pulumi.policy", *request.args, folder]
        variables = dict(entry.split("=", 1) for entry in request.env)
        proxy = PolicyProxy()
        with proxy.served() as port, suppress(CancelledError):
            context.add_callback(proxy.leave)
            yield language_pb2.RunPluginResponse(stdout=b"%d\n" % port)
            variables |= proxy.stack.result()
            # not an interrupt: a second one, as the engine's, would make the library for packs show a traceback
            with _process(
                request.info, context, words, signal.SIGTERM, cwd=folder, env=variables, stdout=subprocess.PIPE
            ) as pack:
                for line in pack.stdout or ():
                    if line.strip().isdigit() and not proxy.pack.done():
                        proxy.attach(int(line))
                    else:
                        yield language_pb2.RunPluginResponse(stdout=line)
                proxy.leave()
                yield language_pb2.RunPluginResponse(exitcode=pack.wait())


@contextmanager
def _process(
    info: language_pb2.ProgramInfo,
    context: grpc.ServicerContext,
    words: Sequence[str],
    ending: signal.Signals,
    *,
    cwd: str,
    env: Mapping[str, str] = os.environ,
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Python with these words, in the virtual environment that the project names; it gets `ending` when the call ends."""
    venv = Path(info.root_directory, dict(info.options).get("virtualenv", sys.prefix))
    python = venv / "bin" / "python"
    if not python.is_file():
        context.abort(
            grpc.StatusCode.FAILED_PRECONDITION,
            f"no program can run, because runtime.options.virtualenv names {venv}, and {python} is not there: run `make`",
        )
    path = os.pathsep.join([str(venv / "bin"), env.get("PATH", os.defpath)])
    with subprocess.Popen(
        # unbuffered: output is shown as it comes
        [python, "-u", *words],
        cwd=cwd,
        env={**env, "PATH": path, "VIRTUAL_ENV": str(venv)},
        stdin=stdin,
        stdout=stdout,
    ) as process:
        if not context.add_callback(lambda: process.send_signal(ending)):
            process.send_signal(ending)
        try:
            yield process
        finally:
            process.send_signal(ending)
