"""What made a Redis server write, by its own statistics."""

from __future__ import annotations

from lab.redis import RedisServer

SCRIPTS = frozenset({"eval", "evalsha", "fcall", "script", "exec"})


def writes(server: RedisServer) -> dict[str, int]:
    """Calls so far of every command that the server itself counts as writing, and of scripts."""
    with server.client() as client:
        stats = {name.removeprefix("cmdstat_"): each["calls"] for name, each in client.info("commandstats").items()}
        names = sorted({name.split("|")[0] for name in stats})
        known = client.execute_command("COMMAND", "INFO", *names)
    writing = {name for name, each in known.items() if each and "write" in {str(flag) for flag in each["flags"]}}
    # What was refused, or only queued, is listed with no calls.
    return {name: calls for name, calls in stats.items() if calls and name.split("|")[0] in writing | SCRIPTS}
