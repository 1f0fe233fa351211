"""`wharf serve` over a partner's bucket: events that are doubled, bad, early or lost."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import boto3
import pytest

from rig import buckets
from rig.account import Account, calm
from rig.command import CONFIG, Wharf
from rig.serving import CONFIG as SERVED
from rig.serving import Keeper, children, prepare
from rig.waiting import wait_until

pytestmark = pytest.mark.slow


class Partner:
    """Somebody else's bucket, and the queue of its events."""

    def __init__(self, root: Path) -> None:
        self.name = buckets.bucket(root)
        self.s3: Any = boto3.client("s3", endpoint_url=buckets.moto(), region_name="us-east-1")
        self.sqs: Any = boto3.client("sqs", endpoint_url=buckets.moto(), region_name="us-east-1")
        self.queue = self.sqs.create_queue(QueueName=self.name)["QueueUrl"]
        self.env = {
            "AWS_ENDPOINT_URL_SQS": buckets.moto(),
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def source(self, scan_s: float) -> str:
        url = f"s3://{self.name}/daily?endpoint={buckets.moto()}&region=us-east-1"
        return f'sources:\n  daily: {{bucket: "{url}", queue: "{self.queue}", customer: acme, scan_s: {scan_s}}}\n'

    def put(self, name: str, data: bytes) -> None:
        self.s3.put_object(Bucket=self.name, Key=f"daily/{name}", Body=data)

    def tell(self, *names: str) -> None:
        for name in names:
            record = {"s3": {"object": {"key": quote_plus(f"daily/{name}", safe="/")}}}
            self.send(json.dumps({"Records": [record]}))

    def send(self, body: str) -> None:
        self.sqs.send_message(QueueUrl=self.queue, MessageBody=body)

    def left(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=names)["Attributes"]
        return sum(map(int, found.values()))


@pytest.fixture
def partner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Partner:
    partner = Partner(tmp_path)
    for name, value in partner.env.items():
        monkeypatch.setenv(name, value)
    return partner


def test_events_hasten_a_look_and_the_listing_is_the_truth(wharf: Wharf, partner: Partner) -> None:
    wharf.write("wharf.yaml", CONFIG + partner.source(scan_s=3600))
    partner.put("before.csv", b"a,b\n1,2\n")
    process = wharf.start("serve", "--json")
    try:
        assert process.stdout
        process.stdout.readline()
        wait_until("what lay there is taken", lambda: len(wharf("files", "--json").json) == 1)
        partner.tell("early.csv")  # before the object is there
        wait_until("its message is removed", lambda: partner.left() == 0)
        for name in ("late.csv", "ü & b+c.csv", "early.csv"):
            partner.put(name, b"a,b\n3,4\n")
        partner.send("nonsense")
        partner.tell("ü & b+c.csv", "late.csv", "late.csv", "late.csv")
        wait_until("all are delivered", lambda: len(list((wharf.place / "out").rglob("*.csv"))) == 4)
        wait_until("only the bad message is left", lambda: partner.left() == 1)
        partner.put("lost.csv", b"a,b\n5,6\n")  # no event ever comes
        said = wharf("reconcile", "--json").json
        assert (said["unaccounted"], said["sources"][0]["landed"], said["sources"][0]["listed"]) == (0, 1, 5)
        wait_until("that is delivered too", lambda: len(list((wharf.place / "out").rglob("*.csv"))) == 5)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=30)
    assert "is no event of S3" in err
    assert len(wharf("files", "--json").json) == 5


def test_a_watch_that_is_killed_again_and_again_loses_and_repeats_nothing(tmp_path: Path, partner: Partner) -> None:
    sent = {f"f{n:03}.bin": os.urandom(1 + n * 100) for n in range(60)}
    (tmp_path / "calm").mkdir()
    results, root = calm(tmp_path / "calm", sent), tmp_path / "root"
    root.mkdir()
    prepare(root, SERVED + partner.source(scan_s=0.5))
    account = Account(root, results)
    with Keeper(root) as keeper:
        keeper.await_ready()
        for n, (name, data) in enumerate(sent.items()):
            partner.put(name, data)
            partner.tell(*[name] * (n % 3))
            time.sleep(0.02)
            if n % 10 == 9 and (watch := children(keeper.sessions[-1]).get("sources")):
                os.kill(watch, signal.SIGKILL)
        account.settle(100)
    account.check(sent, dict.fromkeys(sent, 1))
