"""The README's example against real receivers: told once, taken back, one event for a flood, no secret anywhere."""

from __future__ import annotations

import json
import re
import sys
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import yaml
from lab.http_stub import HttpStub, Request
from lab.paths import REPOSITORY
from lab.play import ansible_playbook
from lab.smtp_sink import SmtpSink

KEY = "R0UT1NGKEYR0UT1NGKEY"
HOOK = "/services/T1/B1/hook-s3cret"


def documented() -> dict[str, Any]:
    text = (REPOSITORY / "roles" / "notification" / "README.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    [play] = yaml.safe_load(block)
    return dict(play)


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def found(severity: str, rule: str, name: str = "", priority: str | None = "P0") -> dict[str, Any]:
    return {
        "id": rule, "host": "db", "object": name, "severity": severity, "value": 1, "unit": None, "threshold": None,
        "summary": f"{rule} {name} is <{severity}> & wrong, password=hunter2", "remedy": "Look", "priority": priority,
        "system": "shop", "source": "runbook.ops.postgresql_health_info", "measured_at": "2026-05-04T00:00:00Z",
    }  # fmt: skip


DOWN = found("critical", "postgresql.available")
STILL = [found("warning", "postgresql.size", "a", "P2"), found("unknown", "postgresql.wal")]
TURNS: dict[str, list[dict[str, Any]]] = {
    "new": [DOWN, *STILL],
    "same": [DOWN, *STILL],
    "gone": [found("ok", "postgresql.available"), *STILL],
    "flood": [
        found("ok", "postgresql.available"),
        *(found("critical", "postgresql.locks", str(each)) for each in range(12)),
        *STILL,
    ],
    "over": [found("ok", "postgresql.locks"), *STILL],
}


def plays(given: dict[str, Any], directory: Path, names: list[str]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for at, name in enumerate(names):
        fact = {"ansible.builtin.set_fact": {"check_postgresql_findings": TURNS[name]}}
        made.append({"name": f"Find {name}", "hosts": "db", "gather_facts": False, "tasks": [fact]})
        [role] = given["roles"]
        more = {
            "report_destination": str(directory / name),
            "report_formats": ["json"],
            "report_fail_on": "never",
            "report_reference_time": f"2026-05-04T0{at}:00:00Z",
            "report_hosts": ["db"],
        }
        made.append({**given, "connection": "local", "roles": [{**role, "vars": {**role["vars"], **more}}]})
    return made


def test_the_readme(tmp_path: Path) -> None:
    def slack(request: Request) -> Any:
        text = request.json()["text"]
        return (500, f"no {HOOK}") if "1 gone" in text and "12 new" not in text else (200, "ok")

    with HttpStub({f"POST {HOOK}": slack, "POST /v2/enqueue": (202, {"status": "success"})}) as web, SmtpSink() as mail:
        base = f"http://{web.host}:{web.port}"
        given = documented()
        given["vars"]["runbook_system"] = "shop"
        given["vars"]["notification_retries"] = 1
        given["vars"]["notification_channels"]["on_call"]["url"] = f"{base}/v2/enqueue"
        given["vars"]["notification_channels"]["manager"] |= {"host": mail.host, "port": mail.port}
        # Its variable is not set.
        given["vars"]["notification_channels"]["later"] = {"type": "webhook", "url": ""}
        given["vars"]["notification_routes"].append({"channel": "later"})
        secrets = {"SHOP_SLACK_WEBHOOK": base + HOOK, "SHOP_PAGERDUTY_KEY": KEY}
        hosts = {"all": {"hosts": {"db": {"ansible_connection": "local"}}}}
        (tmp_path / "hosts.yml").write_text(yaml.safe_dump(hosts), encoding="utf-8")

        (tmp_path / "play.yml").write_text(yaml.safe_dump(plays(given, tmp_path, ["new"])), encoding="utf-8")
        run = ansible_playbook(tmp_path, "play.yml", "-i", "hosts.yml", "--check", environment=secrets)
        assert run.returncode == 0, run.stdout
        assert (web.requests, mail.mails, (tmp_path / "runbook-notifications").exists()) == ([], [], False)

        (tmp_path / "play.yml").write_text(yaml.safe_dump(plays(given, tmp_path, list(TURNS))), encoding="utf-8")
        run = ansible_playbook(tmp_path, "play.yml", "-i", "hosts.yml", "-vvv", environment=secrets, timeout=600)
        assert run.returncode == 0, run.stdout
        posts, mails = [(each.path, each.json()) for each in web.requests], list(mail.mails)

    said = [body["text"].splitlines()[0] for path, body in posts if path == HOOK]
    failed = "shop: 1 gone"
    assert said == ["shop: 3 new", failed, failed, "shop: 12 new, 1 gone", "shop: 12 gone"]
    first = posts[0][1]["text"] if posts[0][0] == HOOK else posts[1][1]["text"]
    assert "new, critical P0: db: postgresql.available is &lt;critical&gt; &amp; wrong" in first.replace("  ", " ")
    assert "Answer within 15 min: whoever is on call" in first

    pages = [body for path, body in posts if path == "/v2/enqueue"]
    assert {body["routing_key"] for body in pages} == {KEY}
    assert [body["event_action"] for body in pages] == ["trigger", "resolve", "trigger", "resolve"]
    assert pages[0]["dedup_key"] == pages[1]["dedup_key"] != pages[2]["dedup_key"] == pages[3]["dedup_key"]
    assert pages[0]["payload"]["severity"] == "critical"
    assert pages[0]["payload"]["custom_details"]["respond_within"] == "15 min"
    assert pages[2]["payload"]["summary"].startswith("12 findings at once, the worst: postgresql.locks")

    assert [each["subject"] for each in mails] == ["shop: 1 new", "shop: 1 gone", "shop: 12 new", "shop: 12 gone"]
    assert "And 2 others, 2 of them critical." in text_of(mails[2])

    reported = json.loads((tmp_path / "gone" / "findings.json").read_text(encoding="utf-8"))
    [untold] = [each for each in reported if each["id"] == "notification.failed"]
    assert (untold["object"], untold["severity"]) == ("team", "warning")
    assert "500" in untold["summary"]
    assert "WARNING: the channel team did not take it." in run.stdout

    (memory,) = (tmp_path / "runbook-notifications").iterdir()
    assert (memory.name, memory.stat().st_mode & 0o777) == ("shop.json", 0o600)
    told = json.dumps([posts, [text_of(each) for each in mails]], default=str)
    for secret in (KEY, HOOK.rsplit("/", 1)[-1], "hunter2"):
        assert secret not in memory.read_text(encoding="utf-8")
        assert secret not in json.dumps(reported)
        if secret != "hunter2":
            assert secret not in run.stdout, [line for line in run.stdout.splitlines() if secret in line][:2]
    assert "hunter2" not in told


def test_one_message_that_is_refused_keeps_no_other_back(tmp_path: Path) -> None:
    """Nor does a file that cannot be read; and a password goes over no open line."""

    def pager(request: Request) -> Any:
        return (400, "invalid") if request.json()["payload"]["component"] == "0" else (202, "{}")

    (tmp_path / "told").mkdir()
    (tmp_path / "told" / "shop.json").write_bytes(b"\xff\xfe\x00")
    with HttpStub({"POST /v2/enqueue": pager}) as web, SmtpSink() as mail:
        url = f"http://{web.host}:{web.port}/v2/enqueue"
        given = {
            "notification_channels": {
                "on_call": {"type": "pagerduty", "routing_key": KEY, "url": url},
                "two": {"type": "mail", "host": mail.host, "port": mail.port, "to": "a@example.com, b@example.com"},
                "open": {"type": "mail", "host": mail.host, "port": mail.port, "to": "c@example.com",
                         "username": "u", "password": "p4ssw0rd"},
            },
            "notification_routes": [{"channel": each} for each in ("on_call", "two", "open")],
            "notification_about": [found("critical", "postgresql.locks", str(each)) for each in range(3)],
            "notification_system": "shop", "notification_directory": "told", "notification_retries": 1,
        }  # fmt: skip
        seen = {"ansible.builtin.copy": {"dest": str(tmp_path / "seen.json"), "mode": "0600",
                "content": "{{ notification_facts | to_json }}"}}  # fmt: skip
        given["ansible_python_interpreter"] = sys.executable
        play = {"hosts": "localhost", "gather_facts": False, "vars": given,
                "roles": ["runbook.ops.notification"], "post_tasks": [seen]}  # fmt: skip
        (tmp_path / "play.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
        run = ansible_playbook(tmp_path, "-i", "localhost,", "-c", "local", "play.yml")
        assert run.returncode == 0, run.stdout
        paged = {each.json()["payload"]["component"] for each in web.requests}
        to = [each["to"] for each in mail.mails]
    facts = json.loads((tmp_path / "seen.json").read_text(encoding="utf-8"))
    assert (paged, facts["arrived"], len(to)) == ({"0", "1", "2"}, 5, 1), facts
    assert "a@example.com" in to[0] and "b@example.com" in to[0]
    assert [each["channel"] for each in facts["failures"]] == ["on_call", "open"]
    assert [each["message"].startswith("it cannot be read") for each in facts["problems"]] == [True]
    remembered = json.loads((tmp_path / "told" / "shop.json").read_text(encoding="utf-8"))["routes"]
    assert {name: len(told) for name, told in remembered.items()} == {"on_call": 2, "two": 3, "open": 0}


def test_an_inventory_tells_that_a_round_did_nothing(tmp_path: Path) -> None:
    with HttpStub({f"POST {HOOK}": (200, "ok")}) as web:
        run = ansible_playbook(
            tmp_path, "runbook.ops.setup_schedules", "-i", str(REPOSITORY / "inventories" / "storebridge"),
            "-e", "targets=nobody runbook_reference_time=2026-05-04T02:00:00Z",
            environment={"STOREBRIDGE_SLACK_WEBHOOK": f"http://{web.host}:{web.port}{HOOK}"},
        )  # fmt: skip
        posts = [each.json()["text"] for each in web.requests]
    assert run.returncode == 2, run.stdout
    [text] = posts
    assert text.startswith("storebridge: 1 new\n\nnew, unknown P1: Nothing was configured to be started by the clock")


def test_what_cannot_be_meant_ends_nothing_but_the_messages(tmp_path: Path) -> None:
    channels = {"alerts": {"type": "slack", "url": "hooks/s3cret"}}
    run = ansible_playbook(
        tmp_path, "runbook.ops.setup_schedules", "-i", str(REPOSITORY / "inventories" / "storebridge"), "-vvv",
        "-e", json.dumps({"targets": "nobody", "notification_channels": channels, "report_fail_on": "never"}),
    )  # fmt: skip
    assert run.returncode == 0, run.stdout
    assert "s3cret" not in run.stdout
    reported = json.loads((tmp_path / "runbook-report-schedules" / "findings.json").read_text(encoding="utf-8"))
    assert [each["id"] for each in reported] == ["notification.not_sent", "playbook.not_configured"]
    assert reported[0]["summary"].startswith(
        "Nobody was told of these findings: notification_channels.alerts.url: 'something else' is not accepted."
    )
