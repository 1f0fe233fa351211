"""A foreign bucket, on a real service: what its listing shows is in custody, once."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import pytest

from rig import buckets
from rig.drop import Drop
from wharfinger.config.settings import Source
from wharfinger.errors import SourceError
from wharfinger.ingest.bucket import Bucket
from wharfinger.ingest.reconcile import Reconciler
from wharfinger.ingest.remote import Remote
from wharfinger.store.s3.address import address


class Partner:
    """Somebody else's client of the bucket."""

    def __init__(self, root: Path) -> None:
        self.bucket = buckets.bucket(root)
        self.url = f"s3://{self.bucket}/daily?endpoint={buckets.moto()}&region=us-east-1"
        self.s3: Any = boto3.client("s3", endpoint_url=buckets.moto(), region_name="us-east-1")

    def put(self, key: str, data: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=data)


@pytest.fixture
def partner(tmp_path: Path) -> Partner:
    return Partner(tmp_path)


@pytest.fixture
def drop(tmp_path: Path) -> Iterator[Drop]:
    with Drop(tmp_path) as drop:
        yield drop


def a_bucket(partner: Partner, client: Remote | None = None, **how: Any) -> Bucket:
    place = Source("acme", bucket=partner.url, **how)
    return Bucket("daily", place, client or Remote(address(partner.url)))


@pytest.fixture
def reconciler(drop: Drop, partner: Partner) -> Reconciler:
    return drop.over(a_bucket(partner))


def test_what_lies_there_is_landed_once_and_stays(drop: Drop, partner: Partner, reconciler: Reconciler) -> None:
    sent = {"a.csv": b"one", "sub/ü & b+c.csv": b"", "large": os.urandom(5 << 20)}
    for name, data in sent.items():
        partner.put(f"daily/{name}", data)
    account = reconciler.look()
    assert (account.listed, account.in_custody, account.landed, account.unaccounted) == (3, 3, 3, 0)
    assert dict(drop.custody()) == {f"acme/inbound/{name}": data for name, data in sent.items()}
    for again in (reconciler, drop.over(a_bucket(partner))):  # the second as after a restart
        account = again.look()
        assert (account.listed, account.in_custody, account.landed, account.unaccounted) == (3, 3, 0, 0)
    assert {record.source for record in drop.records()} == {"bucket"}


def test_what_is_not_below_the_prefix_or_left_alone_is_not_found(partner: Partner, reconciler: Reconciler) -> None:
    for key in ("other/a.csv", "daily-report", "daily/", "daily/folder/", "daily/a.tmp", "daily/.hidden/b"):
        partner.put(key, b"x")
    assert reconciler.look().listed == 0


def test_a_key_that_no_name_can_have_is_told(partner: Partner, reconciler: Reconciler) -> None:
    for key in ("daily/a//b", "daily/d\\e", "daily/good"):
        partner.put(key, b"x")
    account = reconciler.look()
    assert ({each.code for each in account.problems}, account.unaccounted, account.landed) == ({"NAME_UNSAFE"}, 2, 1)


def test_other_bytes_under_the_same_key_are_a_new_version(drop: Drop, partner: Partner, reconciler: Reconciler) -> None:
    for data in (b"one", b"two"):
        partner.put("daily/a.csv", data)
        assert reconciler.look().landed == 1
    assert sorted(data for _, data in drop.custody()) == [b"one", b"two"]


def test_the_same_bytes_put_again_later_are_a_new_version_in_the_tree(
    drop: Drop, partner: Partner, reconciler: Reconciler
) -> None:
    """As when a partner takes back a correction."""
    for data in (b"right", b"wrong", b"right"):
        partner.put("daily/a.csv", data)
        reconciler.look()
        time.sleep(1.1)  # S3 counts seconds
    assert [data for _, data in drop.custody()] == [b"right", b"wrong", b"right"]


def test_an_object_that_is_overwritten_before_it_is_read_is_taken_at_the_next_look(
    drop: Drop, partner: Partner
) -> None:
    class Overwritten(Remote):
        def stream(self, key: str, etag: str) -> Iterator[bytes]:
            partner.put(f"daily/{key}", b"newer")
            return super().stream(key, etag)

    partner.put("daily/a.csv", b"older")
    account = drop.over(a_bucket(partner, Overwritten(address(partner.url)))).look()
    assert ([each.code for each in account.problems], account.landed) == (["CHANGED"], 0)
    assert drop.over(a_bucket(partner)).look().landed == 1
    assert [data for _, data in drop.custody()] == [b"newer"]


def test_a_listing_that_lags_behind_costs_a_later_look(drop: Drop, partner: Partner) -> None:
    class Lagging(Remote):
        shown: list[tuple[str, int, str, datetime]] | None = None

        def objects(self) -> Iterator[tuple[str, int, str, datetime]]:
            shown, self.shown = self.shown, list(super().objects())
            return iter(self.shown if shown is None else shown)

    client = Lagging(address(partner.url))
    reconciler = drop.over(a_bucket(partner, client))
    partner.put("daily/gone.csv", b"x")
    client.shown = list(Remote.objects(client))
    partner.s3.delete_object(Bucket=partner.bucket, Key="daily/gone.csv")
    partner.put("daily/new.csv", b"new")
    assert [each.code for each in reconciler.look().problems] == ["CHANGED"]
    account = reconciler.look()
    assert (account.landed, account.unaccounted, account.problems) == (1, 0, ())


def test_a_bucket_that_is_not_there_says_so(drop: Drop, partner: Partner) -> None:
    partner.url = partner.url.replace(partner.bucket, "no-such-bucket-at-all")
    with pytest.raises(SourceError) as caught:
        drop.over(a_bucket(partner)).look()
    assert caught.value.code == "NO_BUCKET"


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"directory": Path("x"), "bucket": "s3://abc"},
        {"bucket": "s3://abc", "original": "delete"},
        {"bucket": "s3://abc", "complete": "marker"},
        {"directory": Path("x"), "queue": "https://sqs"},
    ],
)
def test_a_source_is_a_folder_or_a_bucket(how: Any) -> None:
    with pytest.raises(ValueError, match=r"source|bucket"):
        Source("acme", **how)
