"""Who is told what, and when nobody is."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.runbook.ops.plugins.filter.collect_findings import collect_findings
from ansible_collections.runbook.ops.plugins.filter.notification_memory import notification_memory
from ansible_collections.runbook.ops.plugins.filter.notification_plan import notification_plan
from ansible_collections.runbook.ops.plugins.plugin_utils.findings import Finding, finding
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.judge import OTHERS
from ansible_collections.runbook.ops.plugins.plugin_utils.notification.wording import escaped_for_slack

START = dt.datetime(2026, 5, 4, 9, 0, tzinfo=dt.UTC)  # a Monday
CHANNELS = {
    "chat": {"type": "webhook", "url": "https://chat.example.com/s3cret"},
    "pager": {"type": "pagerduty", "routing_key": "s3cret"},
    "mail": {"type": "mail", "host": "localhost", "to": "ops@example.com"},
    "off": {"type": "slack", "url": ""},
}


def bad(
    severity: str = "critical", rule: str = "db.locks", name: str = "", priority: str = "P0", **more: Any
) -> Finding:
    given = {"host": "h", "source": "x", "object": name, "priority": priority, **more}
    return finding(rule, severity, f"{rule} {name} is {severity}", **given)


class Story:
    """Runs of one route, each with what the one before remembered."""

    def __init__(self, **route: Any) -> None:
        self.route = {"channel": "chat", **route}
        self.memory = ""

    def run(self, *findings: Finding, hours: float = 0, arrives: bool = True, **more: Any) -> list[str]:
        at = (START + dt.timedelta(hours=hours)).isoformat()
        plan = notification_plan(
            list(findings), CHANNELS, [self.route], memory=self.memory, system="shop", reference_time=at, **more
        )
        assert "s3cret" not in json.dumps(plan)
        self.memory = notification_memory(plan, [each["number"] for each in plan["messages"] if arrives])
        self.plan = plan
        return [
            each["subject"] or f"{each['body']['event_action']} {each['about']}" if each["body"] else "-"
            for each in plan["messages"]
        ]


def test_a_finding_is_told_when_something_about_it_changes() -> None:
    story = Story(remind_after="4h")
    assert story.run(bad("warning")) == ["shop: 1 new"]
    assert story.run(bad("warning"), hours=1) == []
    assert story.run(bad("critical"), hours=2) == ["shop: 1 worse"]
    assert story.run(bad("warning"), hours=3) == []
    assert story.run(bad("critical"), hours=6.5) == ["shop: 1 still there"]
    assert story.run(bad("ok"), hours=7) == ["shop: 1 gone"]
    assert story.run(bad("ok"), hours=8) == []
    # Without a reminder it is told once.
    once = Story()
    assert [once.run(bad(), hours=each) for each in (0, 100, 1000)] == [["shop: 1 new"], [], []]


def test_what_was_not_looked_at_is_not_gone() -> None:
    story = Story()
    story.run(bad(), bad(name="t"))
    assert story.run() == []
    assert story.run(bad("ok", host="other")) == []
    assert story.run(bad("ok", "redis.memory", source="y")) == []
    assert story.run(bad("unknown"), bad(name="t")) == []
    assert story.run(bad("unknown", "db.not_judged")) == []
    # Rules over lists name what is bad, and one finding stands for the rest.
    assert story.run(bad("ok", "db.size"), bad()) == ["shop: 1 gone"]
    assert story.run(hours=24 * 30) == []
    assert story.run(hours=24 * 41) == ["shop: 1 not measured any more"]
    assert story.run(bad()) == ["shop: 1 new"]


def test_only_a_rule_that_was_judged_to_its_end_ends_something() -> None:
    story = Story()
    story.run(bad(name="a"), bad(name="b"), bad(rule="db.other"))
    # Another round of the same role has other rules; and a list may be longer than what is shown of it.
    assert story.run(bad("ok", "db.size")) == []
    assert story.run(bad(name="b"), bad(name=OTHERS), bad("ok", "db.other")) == ["shop: 1 new, 1 gone"]
    assert story.run(bad("ok")) == ["shop: 3 gone"]


def test_two_rounds_at_once_forget_nothing_of_each_other() -> None:
    """B begins and ends while A sends: what B saw end must not come back, or the next time nobody is told."""
    a, b = Story(), Story()
    a.run(bad("warning"), bad(name="t"))
    b.memory = before = a.memory
    assert b.run(bad(name="t"), bad(name="u")) == ["shop: 1 new, 1 gone"]
    assert a.run(bad("critical", "redis.x")) == ["shop: 1 new"]
    a.memory = notification_memory(a.plan, [0], b.memory)
    for text, known in (
        (a.memory, ["db.locks t", "db.locks u", "redis.x "]),
        (notification_memory(a.plan, [0], "{"), ["db.locks ", "db.locks t", "redis.x "]),
    ):
        found = json.loads(text)["routes"]["chat"].values()
        assert sorted(f"{each['id']} {each['object']}" for each in found) == known
    assert a.run(bad("warning"), bad(name="t"), bad(name="u")) == ["shop: 1 new"]
    assert before != a.memory


def test_what_two_playbooks_lack_are_two_findings_and_each_ends() -> None:
    def lacks(purpose: str) -> Finding:
        [found] = [
            each for each in collect_findings([{}], ["h"], purpose=purpose) if each["id"] == "playbook.not_configured"
        ]
        return found

    story = Story(severities=["unknown"])
    assert [story.run(lacks("to be restored")), story.run(lacks("to be purged"))] == [["shop: 1 new"]] * 2
    done = {"id": "playbook.not_configured", "severity": "ok", "host": "", "object": "to be purged", "summary": "Done"}
    assert story.run(done) == ["shop: 1 gone"]
    assert story.plan["messages"][0]["body"]["findings"][0]["object"] == "to be purged"


def test_what_did_not_arrive_is_told_again() -> None:
    story = Story()
    assert story.run(bad(), arrives=False) == ["shop: 1 new"]
    assert story.run(bad()) == ["shop: 1 new"]
    assert story.run(bad("ok"), arrives=False) == ["shop: 1 gone"]
    assert story.run(bad("ok")) == ["shop: 1 gone"]


def test_routes_choose() -> None:
    many = [bad("critical", "db.a"), bad("warning", "db.b", priority="P2"), bad("unknown", "redis.c", priority="P1")]
    for route, expected in (
        ({}, ["db.a", "db.b"]),
        ({"severities": ["critical", "unknown"]}, ["db.a", "redis.c"]),
        ({"priorities": ["P2"]}, ["db.b"]),
        ({"match": ["redis.*"], "severities": ["unknown"]}, ["redis.c"]),
        ({"channel": "off"}, []),
        ({"window": ["Sat 09:00-18:00"]}, []),
        ({"window": ["Mon 18:00-19:00"], "timezone": "Asia/Seoul"}, ["db.a", "db.b"]),
    ):
        story = Story(**route)
        story.run(*many)
        assert [each["id"] for message in story.plan["messages"] for each in message["body"]["findings"]] == expected
    assert Story(channel="off").route["channel"] == "off"


def test_pages_are_one_by_one_up_to_the_limit_and_are_resolved() -> None:
    story = Story(channel="pager")
    assert story.run(bad(name="a"), bad(name="b"), limit=2) == ["trigger 1", "trigger 1"]
    keys = [each["body"]["dedup_key"] for each in story.plan["messages"]]
    assert len(set(keys)) == 2
    assert story.run(bad("ok"), bad(name="b"), limit=2) == ["resolve 1"]
    assert story.plan["messages"][0]["body"] == {"event_action": "resolve", "dedup_key": keys[0]}
    flood = [bad(name=str(each)) for each in range(5)]
    assert story.run(bad(name="b"), *flood, limit=2) == ["trigger 5"]
    digest = story.plan["messages"][0]["body"]["dedup_key"]
    # Not before the last of them is gone.
    assert story.run(bad(name="b"), flood[0], limit=2) == ["-"]
    assert story.run(bad(name="b"), limit=2) == ["resolve 1"]
    assert story.plan["messages"][0]["body"]["dedup_key"] == digest
    payload = Story(channel="pager")
    payload.run(bad("warning", name="a", remedy="Look"), contacts={"P0": {"respond_within": "15 min", "contact": "x"}})
    body = payload.plan["messages"][0]["body"]["payload"]
    assert (body["source"], body["severity"], body["class"], body["group"]) == ("h", "warning", "db.locks", "shop")
    assert body["custom_details"] == {"remedy": "Look", "priority": "P0", "respond_within": "15 min", "contact": "x"}


def test_a_file_that_cannot_be_read_was_not_told() -> None:
    for text, said in (("{", "it cannot be read"), ('{"version": 2}', "of another version"), ("[]", "cannot be read")):
        plan = notification_plan([bad()], CHANNELS, [{"channel": "chat"}], memory=text)
        assert said in plan["problem"]
        assert len(plan["messages"]) == 1


def test_slack_reads_no_mention() -> None:
    assert escaped_for_slack("<!channel> & more") == "&lt;!channel&gt; &amp; more"
    # Mattermost reads these, and Slack refuses or cuts what is longer.
    assert escaped_for_slack("@channel a @ b c@example.com") == "@\u200bchannel a @ b c@example.com"
    assert len(escaped_for_slack("line\n" * 9000)) < 40_000


def test_nothing_that_was_found_is_a_line_of_its_own_or_too_much_for_a_pager() -> None:
    story = Story(channel="pager")
    story.run(bad(name="a\nresolved: all", value=["x" * 600_000], remedy="y" * 9_999))
    body = story.plan["messages"][0]["body"]
    assert len(json.dumps(body)) < 10_000
    assert body["payload"]["component"] == "a resolved: all"
    told = Story(channel="mail")
    told.run(bad(name="a\nresolved: all"))
    assert "\nresolved" not in told.plan["messages"][0]["body"]


@pytest.mark.parametrize(
    ("channels", "routes", "more", "message"),
    [
        (
            {"a": {"type": "sms"}},
            [],
            {},
            "notification_channels.a.type: 'something else' is not accepted. Accepted: slack,",
        ),
        ({"a": {"type": "slack", "token": "s3cret"}}, [], {}, "notification_channels.a: 'token' is not accepted"),
        (
            {"a": {"type": "slack", "url": "hooks/s3cret"}},
            [],
            {},
            "notification_channels.a.url: 'something else' is not",
        ),
        (
            CHANNELS,
            [{"channel": "chta"}],
            {},
            "notification_routes[0].channel: 'chta' is not accepted. Accepted: one of chat",
        ),
        (CHANNELS, [{"channel": "chat", "severities": ["ok"]}], {}, "notification_routes[0].severities: 'ok' is not"),
        (
            CHANNELS,
            [{"channel": "chat", "priorities": "P0"}],
            {},
            "notification_routes[0].priorities: 'P0' is not accepted",
        ),
        (
            CHANNELS,
            [{"channel": "chat", "remind_after": "soon"}],
            {},
            "notification_routes[0].remind_after: 'soon' is not",
        ),
        (CHANNELS, [{"channel": "chat", "windows": []}], {}, "notification_routes[0]: 'windows' is not accepted"),
        (CHANNELS, [{"channel": "chat"}, {"channel": "chat"}], {}, "a name that only one route has"),
        (CHANNELS, [], {"limit": 0}, "notification_limit: 0 is not accepted"),
        (CHANNELS, [], {"contacts": {"P0": "x"}}, "notification_contacts.P0: 'x' is not accepted"),
    ],
)
def test_what_cannot_be_meant(channels: Any, routes: Any, more: dict[str, Any], message: str) -> None:
    with pytest.raises(AnsibleFilterError) as raised:
        notification_plan([], channels, routes, **more)
    assert message in str(raised.value)
    assert "s3cret" not in str(raised.value)
