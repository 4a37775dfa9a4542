from lab.postgresql import PostgresServer


def test_x(postgresql_by_major: PostgresServer, database_by_major: str, bucket: str, empty_redis) -> None:
    assert postgresql_by_major.psql("select 1", db=database_by_major) == "1"
