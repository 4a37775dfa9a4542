"""What haproxy says of its servers."""

from __future__ import annotations

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.haproxy.stats import (
    admin_of,
    find,
    others_with_traffic,
    read_servers,
)

STATE = """1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight
3 web 1 web1 10.0.0.1 2 0 1
3 web 2 web2 10.0.0.2 2 8 1
3 web 3 web3 10.0.0.3 0 1 1
3 web 4 web4 10.0.0.4 0 0 1
4 api 1 web1 10.0.0.1 2 0 1
"""
STAT = """# pxname,svname,qcur,qmax,scur,smax,status,
site,FRONTEND,,,3,4,OPEN,
web,web1,0,0,2,4,UP,
web,web2,1,0,0,4,DRAIN,
web,web3,0,0,0,4,MAINT,
web,web4,0,0,0,4,DOWN,
web,BACKEND,0,0,2,4,UP,
api,web1,0,0,0,4,no check,
"""


def test_servers_with_their_state():
    servers = read_servers(STATE, STAT)
    assert [(each.backend, each.name, each.admin, each.takes_traffic, each.is_idle) for each in servers] == [
        ("web", "web1", "ready", True, False),
        ("web", "web2", "drain", False, False),
        ("web", "web3", "maint", False, True),
        ("web", "web4", "ready", False, True),
        ("api", "web1", "ready", True, True),
    ]
    assert find(servers, "web", "web9") is None
    assert [others_with_traffic(servers, each) for each in servers] == [0, 1, 1, 1, 0]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [(0, "ready"), (0x01, "maint"), (0x08, "drain"), (0x10, "drain"), (0x09, "maint"), (0x20, "maint")],
)
def test_the_flags_of_an_administrator(flags, expected):
    assert admin_of(flags) == expected
