# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Redis server says when it refuses, put into words that name the next step. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError

# Commands whose first argument names what they do; an ACL grants them as C(+config|get).
CONTAINERS = frozenset(
    {"ACL", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "FUNCTION", "LATENCY", "MEMORY", "MODULE", "OBJECT", "PUBSUB"}
    | {"SCRIPT", "SENTINEL", "SLOWLOG", "XGROUP", "XINFO"}
)

# Refusals that concern the whole connection, not one command: nothing else is going to be answered either.
CONNECTION_CODES = frozenset(
    {"NOAUTH", "WRONGPASS", "AUTHUNSET", "LOADING", "MASTERDOWN", "BUSY", "DENIED", "CLUSTERDOWN", "MAXCLIENTS"}
)

# The client library takes the code off the text for these; its exception class still tells.
CODE_OF_CLASS = {
    "NoPermissionError": "NOPERM",
    "BusyLoadingError": "LOADING",
    "ReadOnlyError": "READONLY",
    "NoScriptError": "NOSCRIPT",
    "OutOfMemoryError": "OOM",
    "MasterDownError": "MASTERDOWN",
    "ClusterDownError": "CLUSTERDOWN",
    "ClusterCrossSlotError": "CROSSSLOT",
    "MovedError": "MOVED",
    "AskError": "ASK",
    "TryAgainError": "TRYAGAIN",
    "ExecAbortError": "EXECABORT",
}

# Texts that carry only the code ERR, or none once the library has taken it off.
CODE_OF_TEXT = (
    (re.compile(r"unknown (sub)?command|unknown subcommand", re.IGNORECASE), "UNKNOWN"),
    (re.compile(r"without any password configured|no password is set", re.IGNORECASE), "AUTHUNSET"),
    (re.compile(r"max number of clients", re.IGNORECASE), "MAXCLIENTS"),
    (re.compile(r"DB index is out of range|invalid DB index", re.IGNORECASE), "NODB"),
    (re.compile(r"SELECT is not allowed in cluster mode", re.IGNORECASE), "CLUSTERDB"),
    (re.compile(r"protected mode", re.IGNORECASE), "DENIED"),
    (re.compile(r"invalid username-password|user is disabled|invalid password", re.IGNORECASE), "WRONGPASS"),
    (re.compile(r"authentication required|HELLO must be called", re.IGNORECASE), "NOAUTH"),
)

# What a refusal means, and what to do about it, where its code says it all.
MEANINGS = {
    "CROSSSLOT": (
        "its keys are in several slots of the Redis Cluster, and nothing was done",
        "What belongs together needs names with a common part in braces, such as {bull}:queue:wait.",
    ),
    "TRYAGAIN": (
        "its keys are on their way to another node of the Redis Cluster, and nothing was done",
        "Run it again when the slot has arrived.",
    ),
    "MOVED": (
        "the slot of its key is on another node of the Redis Cluster, and nothing was done",
        "Run it again when the cluster is calm.",
    ),
    "READONLY": ("the server is a replica and takes no writes", "Connect to its master."),
    "MISCONF": (
        "the server takes no writes because it cannot save its data to disk",
        "Look at its log and at the space on its disk.",
    ),
    "OOM": (
        "the server has reached maxmemory and takes no writes",
        "Free memory or raise maxmemory.",
    ),
    "NOREPLICAS": (
        "the server takes no writes because it has fewer good replicas than min-replicas-to-write",
        "Repair the replication.",
    ),
}

# A text may also begin with another word in capitals ("SELECT is not allowed…"), so the codes are listed.
CODE_IN_TEXT = re.compile(
    r"^(ERR|NOPERM|NOAUTH|WRONGPASS|WRONGTYPE|LOADING|BUSY|MISCONF|DENIED|MASTERDOWN|READONLY|OOM|NOSCRIPT|MOVED|ASK"
    r"|CLUSTERDOWN|CROSSSLOT|TRYAGAIN|EXECABORT|NOREPLICAS|BUSYKEY|NOGROUP|IOERR|UNKILLABLE|NOTBUSY) "
)
KEY_PERMISSION = re.compile(r"access (a key|one of the keys|the .* key)", re.IGNORECASE)


@dataclass(frozen=True)
class Refusal:
    """An error reply to one command.

    C(command) is the command's name without its arguments, which may be data; C(code) is the server's first
    word (C(WRONGTYPE), C(NOPERM)…) or one of ours (C(UNKNOWN), C(NODB)…); C(key) the key it was about, if any.
    """

    command: str
    code: str
    text: str
    key: str | None = None

    @property
    def permission(self) -> str | None:
        """The ACL rule that would allow it, e.g. C(+config|get) or C(~celery:*); None for other refusals."""
        if self.code != "NOPERM":
            return None
        if KEY_PERMISSION.search(self.text):
            return f"~{self.key}" if self.key else "~<key pattern>"
        return "+" + self.command.lower().replace(" ", "|")

    @property
    def concerns_connection(self) -> bool:
        """Whether every other command would be refused too."""
        return self.code in CONNECTION_CODES

    @property
    def reason(self) -> str:
        """Why it was refused, in one clause."""
        if self.code == "NOPERM":
            return f"the ACL does not grant {self.permission}"
        if self.code == "UNKNOWN":
            return f"the server does not offer {self.command}; managed services switch it off or rename it"
        if self.code in MEANINGS:
            return MEANINGS[self.code][0]
        return f"{self.command} was refused: {self.code} {self.text}".rstrip()

    def remedy(self, user: str) -> str:
        """What to do about it; C(user) is the ACL user of this connection."""
        permission = self.permission
        if permission:
            return f"Grant it: ACL SETUSER {user} {permission}"
        if self.code == "UNKNOWN":
            return "Read this figure in the service's console, or switch the rule that needs it off by an override."
        if self.code in MEANINGS:
            return MEANINGS[self.code][1]
        return "Read the server's log for the cause."

    def skipped(self, section: str, user: str) -> dict[str, str]:
        """The entry of the result's C(skipped_sections) list."""
        return {"section": section, "reason": self.reason, "remedy": self.remedy(user)}


class CommandRefused(RunbookError):
    """One command was refused where its answer was needed."""

    def __init__(self, refusal: Refusal) -> None:
        meaning = f" {MEANINGS[refusal.code][1]}" if refusal.code in MEANINGS else ""
        super().__init__(f"{_sentence(refusal)}.{meaning}")
        self.refusal = refusal


def _sentence(refusal: Refusal) -> str:
    reason = refusal.reason
    beginning = f"{refusal.command} was refused: "
    return reason if reason.startswith(beginning) else beginning + reason


def command_name(command: tuple[object, ...]) -> str:
    """The name of a command without its data: C(CONFIG GET), C(LLEN)."""
    words = [word.decode("ascii", "replace") if isinstance(word, bytes) else str(word) for word in command[:2]]
    name = words[0].upper()
    return f"{name} {words[1].upper()}" if name in CONTAINERS and len(words) > 1 else name


def classify(
    command: str, class_name: str, text: str, status_code: str | None = None, key: str | None = None
) -> Refusal:
    """Put an error reply into a Refusal.

    C(class_name) and C(status_code) come from the library's exception: depending on its version the code is
    in the text, in C(status_code), or only in the class.
    """
    text = text.strip()
    spoken = CODE_IN_TEXT.match(text)
    code = spoken.group(1) if spoken else (status_code or CODE_OF_CLASS.get(class_name, "ERR"))
    if spoken:
        text = text[spoken.end() :]
    if code in ("ERR", "AUTH"):
        code = next((known for pattern, known in CODE_OF_TEXT if pattern.search(text)), code)
    return Refusal(command, code, text, key)


def explain(refusal: Refusal, where: str, user: str) -> str:
    """A refusal that makes the whole server unusable for us, as the sentence a person reads."""
    sentences = {
        "NOAUTH": f"Redis at {where} asks for a password and none was given. Set login_password.",
        "WRONGPASS": (
            f"Redis at {where} refuses the login of user {user!r}: wrong user name or password, or the user is "
            "disabled. Check login_user and login_password."
        ),
        "AUTHUNSET": (
            f"Redis at {where} has no password for user {user!r}, but login_password is given. "
            "Is this the right server? If so, leave login_password out."
        ),
        "LOADING": f"Redis at {where} is still loading its data set and answers nothing yet. Wait, then run again.",
        "MASTERDOWN": (
            f"Redis at {where} is a replica that has lost its master and does not serve old data. "
            "Repair the replication or connect to the master."
        ),
        "BUSY": f"Redis at {where} is blocked by a running script. Look at it with redis-cli; SCRIPT KILL ends it.",
        "DENIED": (
            f"Redis at {where} runs in protected mode without a password and accepts only local clients. "
            "Set a password on the server, or run this where the server is."
        ),
        "CLUSTERDOWN": f"The Redis Cluster at {where} is down: {refusal.text}. Check the state of its nodes.",
        "MAXCLIENTS": (
            f"Redis at {where} has reached its limit of clients and accepts nobody else. "
            "Find who holds the connections, or raise maxclients."
        ),
        "NODB": (
            f"Redis at {where} has no database with this number. "
            "Check login_db against the server's setting 'databases'."
        ),
        "CLUSTERDB": f"Redis at {where} is a node of a Redis Cluster, which has only database 0. Leave login_db out.",
    }
    if refusal.code in sentences:
        return sentences[refusal.code]
    return f"Redis at {where}: {_sentence(refusal)}. {refusal.remedy(user)}".rstrip()


def missing_permissions(refusals: list[Refusal], where: str, user: str) -> str:
    """One sentence for everything the ACL denies, so that nobody has to come back for the next one."""
    rules = sorted({refusal.permission for refusal in refusals if refusal.permission})
    return (
        f"User {user!r} lacks {len(rules)} permission{'' if len(rules) == 1 else 's'} at Redis {where}: "
        f"{' '.join(rules)}. Grant: ACL SETUSER {user} {' '.join(rules)}"
    )


def explain_connection_error(text: str, where: str, connect_timeout: float, socket_timeout: float, tls: bool) -> str:
    """A connection that could not be made or broke, from the library's words."""
    lowered = text.lower()
    cases: tuple[tuple[tuple[str, ...], str], ...] = (
        (
            ("timeout connecting", "timed out while connecting", "handshake operation timed out"),
            f"Redis at {where} did not answer within {connect_timeout:g} s (connect_timeout)"
            + (f", or to TLS within {socket_timeout:g} s (socket_timeout). Does this port speak TLS?" if tls else ".")
            + " Check the address, the firewall and whether the server lives.",
        ),
        (
            ("timeout reading", "timeout writing"),
            f"Redis at {where} stopped answering for {socket_timeout:g} s (socket_timeout). "
            "It may be blocked by a slow command: see SLOWLOG, or raise socket_timeout.",
        ),
        (
            ("hostname mismatch", "ip address mismatch", "doesn't match"),
            f"The certificate of Redis at {where} is not for this name. Connect by the name in the certificate.",
        ),
        (
            ("self-signed", "self signed", "unable to get local issuer", "unable to get issuer"),
            f"The certificate of Redis at {where} is not signed by an authority we trust. "
            "Set ca_certs to the authority's file.",
        ),
        (
            ("certificate has expired",),
            f"The certificate of Redis at {where} has expired. Renew it.",
        ),
        (
            ("certificate required", "certificate_required", "handshake failure", "bad certificate"),
            f"Redis at {where} wants a client certificate. Set client_cert_file and client_key_file.",
        ),
        (
            ("wrong_version_number", "wrong version number", "record layer failure"),
            f"Redis at {where} does not speak TLS on this port. Set tls to false, or give the TLS port.",
        ),
        (
            ("protocol error",),
            f"What answers at {where} does not speak the Redis protocol. Check login_host and login_port.",
        ),
        (
            ("name or service not known", "failure in name resolution", "nodename nor servname", "getaddrinfo"),
            f"The name in {where} cannot be resolved. Check login_host.",
        ),
        (
            ("connection refused",),
            f"Redis at {where} refuses the connection: nothing listens there. "
            "Is the server running, and is it this port?",
        ),
        (
            ("no such file or directory",),
            f"There is no socket or certificate file as given for Redis at {where}. "
            "Check the path and who may read it.",
        ),
        (
            ("permission denied",),
            f"The socket or a certificate file for Redis at {where} may not be opened by this user.",
        ),
        (
            ("no route to host", "network is unreachable", "host is unreachable"),
            f"There is no route to Redis at {where}. Check the address and the network.",
        ),
        (
            ("unexpected_eof", "eof occurred", "closed by server", "connection reset", "broken pipe"),
            f"Redis at {where} closed the connection"
            + (". Does this port speak TLS?" if tls else ". If this port speaks TLS, set tls to true."),
        ),
    )
    for words, sentence in cases:
        if any(word in lowered for word in words):
            return sentence
    return f"The connection to Redis at {where} failed: {text}"
