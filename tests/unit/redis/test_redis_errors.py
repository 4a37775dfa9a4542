"""Error replies and broken connections, put into words."""

from __future__ import annotations

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import (
    classify,
    command_name,
    explain,
    explain_connection_error,
    missing_permissions,
)


@pytest.mark.parametrize(
    ("class_name", "text", "status", "code"),
    [
        # redis-py 8 gives the code beside the text, older versions only the class, some servers' texts hold it.
        ("NoPermissionError", "this user has no permissions to run the 'config' command", "NOPERM", "NOPERM"),
        ("NoPermissionError", "this user has no permissions to run the 'config' command", None, "NOPERM"),
        ("ResponseError", "NOPERM this user has no permissions", None, "NOPERM"),
        ("ResponseError", "WRONGTYPE Operation against a key holding the wrong kind of value", None, "WRONGTYPE"),
        ("ResponseError", "unknown command 'CONFIG', with args beginning with: 'GET' ", "ERR", "UNKNOWN"),
        ("ResponseError", "ERR unknown command `CONFIG`", None, "UNKNOWN"),
        (
            "ResponseError",
            "Unknown subcommand or wrong number of arguments for 'get'. Try CONFIG HELP.",
            "ERR",
            "UNKNOWN",
        ),
        ("AuthenticationError", "Authentication required.", "NOAUTH", "NOAUTH"),
        ("AuthenticationError", "Authentication required.", None, "NOAUTH"),
        ("AuthenticationError", "invalid username-password pair or user is disabled.", "WRONGPASS", "WRONGPASS"),
        ("AuthenticationError", "invalid username-password pair or user is disabled.", None, "WRONGPASS"),
        (
            "AuthenticationError",
            "AUTH <password> called without any password configured for the default user. "
            "Are you sure your configuration is correct?",
            "ERR",
            "AUTHUNSET",
        ),
        ("AuthenticationError", "Client sent AUTH, but no password is set", None, "AUTHUNSET"),
        ("BusyLoadingError", "Redis is loading the dataset in memory", "LOADING", "LOADING"),
        ("BusyLoadingError", "Redis is loading the dataset in memory", None, "LOADING"),
        (
            "MasterDownError",
            "Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            None,
            "MASTERDOWN",
        ),
        ("ReadOnlyError", "You can't write against a read only replica.", None, "READONLY"),
        ("OutOfMemoryError", "command not allowed when used memory > 'maxmemory'.", None, "OOM"),
        ("ResponseError", "BUSY Redis is busy running a script.", None, "BUSY"),
        (
            "ResponseError",
            "MISCONF Redis is configured to save RDB snapshots, but it's currently unable",
            None,
            "MISCONF",
        ),
        ("ResponseError", "DENIED Redis is running in protected mode", None, "DENIED"),
        ("ConnectionError", "max number of clients reached", "ERR", "MAXCLIENTS"),
        ("ResponseError", "DB index is out of range", "ERR", "NODB"),
        ("ResponseError", "SELECT is not allowed in cluster mode", "ERR", "CLUSTERDB"),
        ("ResponseError", "SELECT is not allowed in cluster mode", None, "CLUSTERDB"),
        ("ResponseError", "DB index is out of range", None, "NODB"),
        ("MovedError", "3999 127.0.0.1:6381", "MOVED", "MOVED"),
        ("ResponseError", "something else", "ERR", "ERR"),
    ],
)
def test_classify(class_name: str, text: str, status: str | None, code: str) -> None:
    assert classify("GET", class_name, text, status).code == code


@pytest.mark.parametrize(
    ("command", "text", "key", "permission"),
    [
        ("CONFIG GET", "User x has no permissions to run the 'config|get' command", None, "+config|get"),
        ("LLEN", "this user has no permissions to run the 'llen' command or its subcommand", "q", "+llen"),
        ("LLEN", "No permissions to access a key", "celery:normal", "~celery:normal"),
        ("LLEN", "this user has no permissions to access one of the keys used as arguments", "q", "~q"),
        ("SCAN", "No permissions to access a key", None, "~<key pattern>"),
    ],
)
def test_permission(command: str, text: str, key: str | None, permission: str) -> None:
    refusal = classify(command, "NoPermissionError", text, "NOPERM", key)
    assert refusal.permission == permission
    assert refusal.skipped("config", "monitoring") == {
        "section": "config",
        "reason": f"the ACL does not grant {permission}",
        "remedy": f"Grant it: ACL SETUSER monitoring {permission}",
    }


def test_all_missing_permissions_in_one_sentence() -> None:
    refusals = [
        classify(command, "NoPermissionError", "has no permissions to run", "NOPERM")
        for command in ("SCAN", "LLEN", "CLIENT LIST", "LLEN")
    ]
    assert missing_permissions(refusals, "redis:6379", "ops") == (
        "User 'ops' lacks 3 permissions at Redis redis:6379: +client|list +llen +scan. "
        "Grant: ACL SETUSER ops +client|list +llen +scan"
    )


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("GET", "secret"), "GET"),
        (("config", "get", "save"), "CONFIG GET"),
        ((b"client", b"list", b"id"), "CLIENT LIST"),
        (("SCAN", b"0"), "SCAN"),
        ((b"set\xff", b"x"), "SET\ufffd"),
        ((b"SLOWLOG",), "SLOWLOG"),
    ],
)
def test_command_name_leaves_data_out(command: tuple[object, ...], name: str) -> None:
    assert command_name(command) == name


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("NOAUTH", "Redis at r:1 asks for a password and none was given. Set login_password."),
        (
            "WRONGPASS",
            "Redis at r:1 refuses the login of user 'ops': wrong user name or password, or the user is disabled. "
            "Check login_user and login_password.",
        ),
        (
            "LOADING",
            "Redis at r:1 is still loading its data set and answers nothing yet. Wait, then run again.",
        ),
        (
            "NODB",
            "Redis at r:1 has no database with this number. Check login_db against the server's setting 'databases'.",
        ),
        (
            "OOM",
            "Redis at r:1: GET was refused: the server has reached maxmemory and takes no writes. "
            "Free memory or raise maxmemory.",
        ),
        ("IOERR", "Redis at r:1: GET was refused: IOERR text. Read the server's log for the cause."),
    ],
)
def test_explain(code: str, sentence: str) -> None:
    assert explain(classify("GET", "ResponseError", "text", code), "r:1", "ops") == sentence


@pytest.mark.parametrize(
    ("text", "tls", "words"),
    [
        ("Error 111 connecting to r:1. Connection refused.", False, "nothing listens there"),
        ("Timeout connecting to server", False, "did not answer within 3 s (connect_timeout)"),
        ("Timeout connecting to server", True, "Does this port speak TLS?"),
        ("Protocol Error: b'HTTP/1.1 400 Bad Request'", False, "does not speak the Redis protocol"),
        ("Timeout reading from r:1", False, "stopped answering for 7 s (socket_timeout)"),
        ("Error -2 connecting to r:1. Name or service not known.", False, "cannot be resolved. Check login_host."),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate in certificate chain", True, "Set ca_certs"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate has expired", True, "has expired. Renew it."),
        ("Hostname mismatch, certificate is not valid for 'r'.", True, "is not for this name"),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", True, "does not speak TLS on this port"),
        (
            "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required",
            True,
            "wants a client certificate",
        ),
        ("Connection closed by server.", False, "If this port speaks TLS, set tls to true."),
        ("Connection closed by server.", True, "Does this port speak TLS?"),
        ("Error 2 connecting to unix socket: /x. No such file or directory.", False, "There is no socket"),
        ("Error 113 connecting to r:1. No route to host.", False, "There is no route to Redis"),
        ("something new", False, "The connection to Redis at r:1 failed: something new"),
    ],
)
def test_explain_connection_error(text: str, tls: bool, words: str) -> None:
    assert words in explain_connection_error(text, "r:1", 3, 7, tls)
