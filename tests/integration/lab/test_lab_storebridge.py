"""A whole StoreBridge: up, looked at with other tools, and gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import boto3
import psycopg2
import pytest
import redis
from kubernetes import client, config
from lab.running import Running, running_lab

# One worker starts each lab once.
pytestmark = pytest.mark.xdist_group("lab-storebridge")


@pytest.fixture(scope="module", params=["healthy", "degraded"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_lab("storebridge", request.param, tmp_path_factory.mktemp("lab") / request.param) as lab:
        yield lab


def test_everything_runs(running: Running) -> None:
    facts = running.status()
    assert (facts["condition"], facts["scenario"], facts["size"]) == ("running", running.scenario, "small")
    names = {member["name"] for member in facts["members"]}
    assert {"postgresql", "redis", "s3", "api", "loki", "exporter", "prometheus", "sessions", "kubernetes"} <= names


def test_addresses_replace_those_of_the_real_inventory(running: Running) -> None:
    hosts = running.hosts
    assert hosts["storebridge-postgres"]["postgresql_login_host"] == "127.0.0.1"
    assert hosts["storebridge-redis"]["redis_login_host"] == "127.0.0.1"
    for host, name in (
        ("storebridge-api", "http_base_url"),
        ("storebridge-images", "aws_endpoint_url"),
        ("storebridge-backups", "aws_endpoint_url"),
        ("storebridge-prometheus", "prometheus_url"),
        ("storebridge-loki", "loki_url"),
    ):
        assert hosts[host][name].startswith("http://127.0.0.1:"), host
    # Names, rules and zones stay the system's own.
    assert hosts["storebridge-postgres"]["runbook_timezone"] == "Asia/Seoul"


def test_thresholds_are_compressed_and_the_systems_own_are_kept(running: Running) -> None:
    variables = running.hosts["storebridge-postgres"]
    assert variables["storebridge_idle_in_transaction_warning"] == "> 1 s"
    assert variables["check_postgresql_rule_overrides"]["postgresql.database_size"]["warning"] == "> 80 GB"


def test_the_monitoring_role_reads_and_writes_nothing(running: Running) -> None:
    login = running.hosts["storebridge-postgres"]
    connection = psycopg2.connect(
        host=login["postgresql_login_host"],
        port=login["postgresql_login_port"],
        user=login["postgresql_login_user"],
        password=login["postgresql_login_password"],
        dbname=login["postgresql_login_db"],
    )
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM products")
        (products,) = cursor.fetchone() or (0,)
        assert products > 0
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'")
        assert cursor.fetchone() == ((1,) if running.scenario == "degraded" else (0,))
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("DELETE FROM products")
    connection.close()


def test_queues_and_buckets_are_filled(running: Running) -> None:
    login = running.hosts["storebridge-redis"]
    with redis.Redis(
        host=login["redis_login_host"], port=login["redis_login_port"], password=login["redis_login_password"]
    ) as client:
        assert client.exists("_kombu.binding.normal") or client.keys("*_kombu.binding*")
    store = running.hosts["storebridge-backups"]
    bucket = boto3.session.Session().client(
        "s3",
        endpoint_url=store["aws_endpoint_url"],
        region_name=store["aws_region"],
        aws_access_key_id=store["aws_access_key"],
        aws_secret_access_key=store["aws_secret_key"],
    )
    assert bucket.list_objects_v2(Bucket="storebridge-backups")["KeyCount"] > 0
    assert bucket.list_objects_v2(Bucket="storebridge-images")["KeyCount"] > 0


def test_the_cluster_is_reached_with_its_own_file(running: Running) -> None:
    cluster = running.hosts["storebridge-prod"]
    core = client.CoreV1Api(config.new_client_from_config(cluster["kubernetes_kubeconfig"]))
    phases = Counter(pod.status.phase for pod in core.list_namespaced_pod("storebridge-prod").items)
    wrong = {"Pending": 3} if running.scenario == "degraded" else {}
    assert {name: phases[name] for name in ("Pending", "Failed") if phases[name]} == wrong
    assert phases["Succeeded"] == 3
