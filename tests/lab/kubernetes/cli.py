"""An emulated cluster as a process of its own: for playbooks, molecule, and to try things by hand."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import yaml

from lab import process
from lab.errors import LabError
from lab.kubernetes.api import KubernetesApi
from lab.kubernetes.control import manifests
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import UnknownKind
from lab.paths import PACKAGE_PARENT

STATES = ("healthy", "degraded")
_START = 240.0


def parser() -> argparse.ArgumentParser:
    main = argparse.ArgumentParser(
        prog="python -m lab.kubernetes",
        description="A Kubernetes API server for tests. It runs until SIGTERM; the kubeconfig is written when it "
        "listens and holds what was asked for.",
    )
    main.add_argument("--kubeconfig", type=Path, help="where to write the way in")
    main.add_argument("--load", type=Path, action="append", default=[], metavar="FILE", help="manifests to begin with")
    main.add_argument("--system", help="a system's cluster (a module of lab.kubernetes.systems)")
    main.add_argument("--state", choices=STATES, default="healthy", help="of the system; default: %(default)s")
    main.add_argument("--namespace", default="default", help="of the kubeconfig's context; default: %(default)s")
    main.add_argument("--token", help="the bearer token that every request needs; default: none")
    main.add_argument("--pid-file", type=Path, help="where to write the process's number")
    main.add_argument("--detach", action="store_true", help="return when it listens, and run on in the background")
    main.add_argument("--log", type=Path, help="with --detach: what it prints; default: beside the kubeconfig")
    main.add_argument("--stop", action="store_true", help="end the process in --pid-file, and nothing else")
    return main


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 after SIGTERM, 1 when something asked for is not possible."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(given)
    try:
        if options.stop:
            return _stop(options)
        if options.kubeconfig is None:
            parser().error("--kubeconfig is required")
        return _detach(options, given) if options.detach else _run(options)
    except (LabError, ApiError, UnknownKind, OSError, yaml.YAMLError) as error:
        print(f"lab.kubernetes: {error}", file=sys.stderr)
        return 1


def _run(options: argparse.Namespace) -> int:
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    options.kubeconfig.unlink(missing_ok=True)
    with KubernetesApi(token=options.token) as api:
        for path in options.load:
            for each in manifests(list(yaml.safe_load_all(path.read_text(encoding="utf-8")))):
                api.create(each)
        if options.system:
            _build(api, options.system, options.state)
        if options.pid_file:
            options.pid_file.write_text(f"{os.getpid()}\n", encoding="utf-8")
        # Whole or not at all: who waits for the file may read it at once.
        partial = options.kubeconfig.with_name(f"{options.kubeconfig.name}.partial")
        api.kubeconfig(partial, namespace=options.namespace).rename(options.kubeconfig)
        print(api.url, flush=True)
        ended.wait()
    options.kubeconfig.unlink(missing_ok=True)
    if options.pid_file:
        options.pid_file.unlink(missing_ok=True)
    return 0


def _build(api: KubernetesApi, system: str, state: str) -> None:
    try:
        module = importlib.import_module(f"lab.kubernetes.systems.{system}")
    except ModuleNotFoundError as error:
        raise LabError(f"There is no cluster of a system {system!r} ({error}).") from None
    module.build(api, state)


def _detach(options: argparse.Namespace, given: list[str]) -> int:
    log = options.log or options.kubeconfig.with_suffix(".log")
    options.kubeconfig.unlink(missing_ok=True)
    command = [sys.executable, "-m", "lab.kubernetes", *(each for each in given if each != "--detach")]
    search = os.pathsep.join(filter(None, (str(PACKAGE_PARENT), os.environ.get("PYTHONPATH", ""))))
    child = process.spawn(command, log=log, env={"PYTHONPATH": search}, cwd=Path.cwd(), dies_with_parent=False)
    process.wait_until(lambda: options.kubeconfig.exists() or child.poll() is not None, _START)
    if not options.kubeconfig.exists():
        raise LabError(f"It did not start. Its last words:\n{process.tail(log)}")
    print(process.tail(log, 1).strip())
    return 0


def _stop(options: argparse.Namespace) -> int:
    if options.pid_file is None:
        raise LabError("--stop needs --pid-file.")
    if not options.pid_file.exists():
        return 0
    pid = int(options.pid_file.read_text(encoding="utf-8"))
    try:
        found = process.Identity.of(pid)
        ours = "lab.kubernetes" in Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")
    except (ProcessLookupError, FileNotFoundError):
        ours = False
    if ours:
        process.stop(found)
    options.pid_file.unlink(missing_ok=True)
    return 0
