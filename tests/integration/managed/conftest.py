"""Amazon's RDS played by moto, with an instance like AutoClip's."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator

import pytest
from lab.managed import Managed
from lab.s3 import S3Server

CREATED = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
LATEST = dt.datetime(2026, 1, 31, 9, 55, tzinfo=dt.UTC)


@pytest.fixture(scope="session")
def amazon() -> Iterator[S3Server]:
    with S3Server() as server:
        rds, ec2 = server.service("rds"), server.service("ec2")
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnets = [
            ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24")["Subnet"]["SubnetId"] for number in (1, 2)
        ]
        rds.create_db_subnet_group(DBSubnetGroupName="private", DBSubnetGroupDescription="private", SubnetIds=subnets)
        rds.create_db_parameter_group(
            DBParameterGroupName="tuned", DBParameterGroupFamily="postgres15", Description="tuned"
        )
        yield server


@pytest.fixture
def managed(amazon: S3Server) -> Managed:
    rds, ec2 = amazon.service("rds"), amazon.service("ec2")
    name = f"clip-{uuid.uuid4().hex[:8]}"
    vpc = rds.describe_db_subnet_groups(DBSubnetGroupName="private")["DBSubnetGroups"][0]["VpcId"]
    inside, fence = (
        ec2.create_security_group(GroupName=f"{name}-{role}", Description=role, VpcId=vpc)["GroupId"]
        for role in ("database", "fence")
    )
    rds.create_db_instance(
        DBInstanceIdentifier=name,
        DBInstanceClass="db.r6g.large",
        Engine="postgres",
        EngineVersion="15.4",
        MasterUsername="autoclip",
        MasterUserPassword=uuid.uuid4().hex,
        AllocatedStorage=100,
        MaxAllocatedStorage=500,
        StorageType="gp3",
        Iops=3000,
        StorageThroughput=125,
        DBSubnetGroupName="private",
        VpcSecurityGroupIds=[inside],
        DBParameterGroupName="tuned",
        MultiAZ=True,
        DeletionProtection=True,
        BackupRetentionPeriod=7,
        Tags=[{"Key": "env", "Value": "prod"}],
    )
    amazon.rds("instance", name, created=CREATED, latest_restorable=LATEST)
    return Managed(amazon, name, inside, fence)
