"""Pulumi's LanguageRuntime service, as far as one Python program in one virtual environment needs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, InvalidStateError
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import IO, Any

import grpc
from google.protobuf import empty_pb2, json_format
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2
from typing_extensions import override

from lab.plugins.language.children import Children
from lab.plugins.language.packages import required_providers
from lab.plugins.language.packs import PolicyProxy
from lab.plugins.language.program import SHOWN
from lab.plugins.language.virtualenv import Virtualenv, VirtualenvError

VERSION = "0.1.0-standin"
NOTICE = "note: a stand-in (lab.plugins.language) takes the place of Pulumi's own Python language host"
_PROGRAM = Path(__file__).with_name("program.py")
_REFUSED = (
    "the stand-in language host does not serve {0}, which no preview, up, refresh or destroy of this project needs: "
    "install Pulumi's own language host for it"
)


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """Answers the engine. What it does not serve it refuses with UNIMPLEMENTED and the name of the call."""

    def __init__(self, engine: str, children: Children) -> None:
        """Answer for the engine at the address `engine`; what runs for it is kept in `children`."""
        self._engine = engine
        self._children = children
        self._cancelled = False

    @override
    def GetPluginInfo(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=VERSION)

    @override
    def GetRequiredPackages(
        self, request: language_pb2.GetRequiredPackagesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetRequiredPackagesResponse:
        with _errors_told(context):
            providers = required_providers(_virtualenv(request.info).inventory().distributions)
        return language_pb2.GetRequiredPackagesResponse(
            packages=[
                plugin_pb2.PackageDependency(
                    kind="resource", name=provider.name, version=provider.version, server=provider.server
                )
                for provider in providers
            ]
        )

    @override
    def GetProgramDependencies(
        self, request: language_pb2.GetProgramDependenciesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetProgramDependenciesResponse:
        with _errors_told(context):
            inventory = _virtualenv(request.info).inventory()
        return language_pb2.GetProgramDependenciesResponse(
            dependencies=[
                language_pb2.DependencyInfo(name=distribution.name, version=distribution.version)
                for distribution in inventory.distributions
                if request.transitiveDependencies or not distribution.required
            ]
        )

    @override
    def About(self, request: language_pb2.AboutRequest, context: grpc.ServicerContext) -> language_pb2.AboutResponse:
        # the one call that Pulumi makes once for a command, before it takes over the display
        print(NOTICE, file=sys.stderr, flush=True)
        with _errors_told(context):
            inventory = _virtualenv(request.info).inventory()
        return language_pb2.AboutResponse(
            executable=inventory.executable,
            version=inventory.python,
            metadata={"toolchain": "pip", "languageHost": f"lab.plugins.language {VERSION}"},
        )

    @override
    def InstallDependencies(
        self, request: language_pb2.InstallDependenciesRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.InstallDependenciesResponse]:
        yield language_pb2.InstallDependenciesResponse(
            stdout=b"Nothing was installed: `make` installs this project's pinned requirements.\n"
        )

    @override
    def RuntimeOptionsPrompts(
        self, request: language_pb2.RuntimeOptionsRequest, context: grpc.ServicerContext
    ) -> language_pb2.RuntimeOptionsResponse:
        return language_pb2.RuntimeOptionsResponse()

    @override
    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:
        self._cancelled = True
        self._children.interrupt()
        return empty_pb2.Empty()

    @override
    def Run(self, request: language_pb2.RunRequest, context: grpc.ServicerContext) -> language_pb2.RunResponse:
        if request.attach_debugger:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, _REFUSED.format("Run with a debugger"))
        with _errors_told(context):
            virtualenv = _virtualenv(request.info)
        with self._children.running(
            _command(virtualenv, self._engine, request),
            directory=request.pwd,
            environment=_environment(virtualenv, request),
        ) as program:
            _interrupt_at_end_of(context, program)
            return self._outcome(program.wait())

    @override
    def RunPlugin(
        self, request: language_pb2.RunPluginRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.RunPluginResponse]:
        """Run a policy pack, with the stack's name and configuration in its environment; pass on what it prints, then its exit code.

        The port that the engine gets to know is the host's own, see `lab.plugins.language.packs`.
        """
        if request.kind != "analyzer":
            context.abort(grpc.StatusCode.UNIMPLEMENTED, _REFUSED.format(f"RunPlugin of the kind {request.kind!r}"))
        with _errors_told(context):
            virtualenv = _virtualenv(request.info)
        proxy = PolicyProxy()
        with proxy.served() as port, suppress(CancelledError, InvalidStateError):
            if not context.add_callback(proxy.leave):
                return
            yield language_pb2.RunPluginResponse(stdout=b"%d\n" % port)
            yield from self._run_pack(virtualenv, request, context, proxy)

    def _run_pack(
        self,
        virtualenv: Virtualenv,
        request: language_pb2.RunPluginRequest,
        context: grpc.ServicerContext,
        proxy: PolicyProxy,
    ) -> Iterator[language_pb2.RunPluginResponse]:
        stack = proxy.stack_environment()
        folder = request.info.program_directory
        variables = dict(entry.split("=", 1) for entry in request.env)
        with self._children.running(
            [virtualenv.python, "-u", "-m", "pulumi.policy", *request.args, folder],
            directory=folder,
            environment=virtualenv.environment(variables or os.environ) | stack,
            output=subprocess.PIPE,
        ) as pack:
            _interrupt_at_end_of(context, pack)
            said = _output(pack)
            for answer in said:
                if answer.stdout.strip().isdigit():
                    proxy.attach(int(answer.stdout))
                    break
                yield answer
            yield from said
            proxy.leave()
            yield language_pb2.RunPluginResponse(exitcode=pack.wait())

    def _outcome(self, code: int) -> language_pb2.RunResponse:
        if code == 0:
            return language_pb2.RunResponse()
        if code == SHOWN or self._cancelled:
            return language_pb2.RunResponse(bail=True)
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return language_pb2.RunResponse(
            error=f"the program {how} and raised no error that says why, so what it had still to declare is missing: "
            "see its output above; if there is none, look for a call of sys.exit or os._exit, or for a lack of memory"
        )


def _virtualenv(info: language_pb2.ProgramInfo) -> Virtualenv:
    return Virtualenv.of(Path(info.root_directory), json_format.MessageToDict(info.options))


@contextmanager
def _errors_told(context: grpc.ServicerContext) -> Iterator[None]:
    """End the call with the message of a VirtualenvError, which Pulumi shows as it is."""
    try:
        yield
    except VirtualenvError as error:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))


def _interrupt_at_end_of(context: grpc.ServicerContext, process: subprocess.Popen[bytes]) -> None:
    """Have a process that still runs when its call ends interrupted: the engine cancels the call when the user does."""

    def interrupt() -> None:
        process.send_signal(signal.SIGINT)

    if not context.add_callback(interrupt):
        interrupt()


def _command(virtualenv: Virtualenv, engine: str, request: language_pb2.RunRequest) -> list[str | Path]:
    flags = {
        "monitor": request.monitor_address,
        "engine": engine,
        "project": request.project,
        "root_directory": request.info.root_directory,
        "stack": request.stack,
        "organization": request.organization,
        "dry_run": json.dumps(request.dryRun),
        "parallel": str(request.parallel),
    }
    given = [word for flag, value in flags.items() if value for word in (f"--{flag}", value)]
    # -P: the directory of program.py is not the program's to import from
    return [virtualenv.python, "-P", _PROGRAM, *given, request.info.entry_point, *request.args]


def _environment(virtualenv: Virtualenv, request: language_pb2.RunRequest) -> dict[str, str]:
    return virtualenv.environment(os.environ) | {
        "PULUMI_CONFIG": json.dumps(dict(request.config)),
        "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
    }


def _output(process: subprocess.Popen[bytes]) -> Iterator[language_pb2.RunPluginResponse]:
    """What a process writes, line by line as it comes, until it has closed both streams."""
    lines: SimpleQueue[language_pb2.RunPluginResponse | None] = SimpleQueue()

    def read(stream: IO[bytes] | None, answer: Callable[[bytes], language_pb2.RunPluginResponse]) -> None:
        for line in stream or ():
            lines.put(answer(line))
        lines.put(None)

    readers = [
        Thread(target=read, args=(process.stdout, lambda line: language_pb2.RunPluginResponse(stdout=line))),
        Thread(target=read, args=(process.stderr, lambda line: language_pb2.RunPluginResponse(stderr=line))),
    ]
    for reader in readers:
        reader.start()
    for _ in readers:
        yield from iter(lines.get, None)


def _refusal(call: str) -> Callable[..., None]:
    def refuse(_host: LanguageHost, _request: Any, context: grpc.ServicerContext) -> None:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, _REFUSED.format(call))

    return refuse


for _call in language_pb2.DESCRIPTOR.services_by_name["LanguageRuntime"].methods_by_name:
    if _call not in vars(LanguageHost):
        setattr(LanguageHost, _call, _refusal(_call))
