"""Event messages from a real queue: removed when what they speak of is in custody, and not before."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from rig import buckets
from wharfinger.ingest.account import Account, Problem
from wharfinger.ingest.queue import Queue, spoken_of

GOOD = Account("daily", 1.5, listed=3, in_custody=3, landed=1, waiting=0, unaccounted=0)


def event(*keys: str) -> str:
    return json.dumps({"Records": [{"eventName": "ObjectCreated:Put", "s3": {"object": {"key": key}}} for key in keys]})


class Mail:
    """A queue, and what lies in it."""

    def __init__(self, name: str) -> None:
        self.client: Any = boto3.client("sqs", endpoint_url=buckets.moto(), region_name="us-east-1")
        self.url = self.client.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "600"})["QueueUrl"]
        self.queue = Queue(self.url, self.client, "daily")
        self._hints = self.queue.stirrings(threading.Event())

    def send(self, *bodies: str) -> None:
        for body in bodies:
            self.client.send_message(QueueUrl=self.url, MessageBody=body)

    def stirred(self) -> bool:
        return next(self._hints)

    def left(self) -> int:
        """Messages that are not removed."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return sum(map(int, found.values()))


@pytest.fixture
def mail(tmp_path: Path) -> Mail:
    return Mail(buckets.bucket(tmp_path))


def test_a_message_stirs_and_is_removed_when_a_look_has_ended_well(mail: Mail) -> None:
    mail.send(event("daily/a.csv"))
    assert mail.stirred()
    assert mail.left() == 1
    mail.queue.confirm(GOOD)
    assert mail.left() == 0


def test_an_empty_queue_stirs_nothing(mail: Mail) -> None:
    assert not mail.stirred()


def test_a_message_on_a_file_that_could_not_be_taken_stays(mail: Mail) -> None:
    mail.send(event("daily/good.csv"), event("daily/bad+name.csv"))
    while mail.left() and len(mail.queue._heard) < 2:
        mail.stirred()
    mail.queue.confirm(replace(GOOD, problems=(Problem("bad name.csv", "NO_SPACE", "no room", "make room"),)))
    assert mail.left() == 1


@pytest.mark.parametrize("prefix", ["", "daily"])
def test_a_file_that_could_not_be_taken_keeps_no_message_on_another(mail: Mail, prefix: str) -> None:
    queue = Queue(mail.url, mail.client, prefix)
    within = f"{prefix}/" if prefix else ""
    mail.send(*[event(f"{within}{name}") for name in ("data.csv", "a/a.csv", "a.csv", "other.csv")])
    hints = queue.stirrings(threading.Event())
    while len(queue._heard) < 4:
        next(hints)
    queue.confirm(replace(GOOD, problems=(Problem("a.csv", "NO_SPACE", "no room", "make room"),)))
    assert mail.left() == 1


def test_many_messages_are_removed(mail: Mail) -> None:
    mail.send(*[event(f"{n}.csv") for n in range(25)], event("0.csv"))
    while len(mail.queue._heard) < 26:
        mail.stirred()
    mail.queue.confirm(GOOD)
    assert mail.left() == 0


def test_a_message_that_comes_again_and_again_is_kept_once(mail: Mail) -> None:
    mail.send(event("daily/a.csv"))
    for _ in range(3):
        assert mail.stirred()
        [(handle, _)] = mail.queue._heard.values()
        mail.client.change_message_visibility(QueueUrl=mail.url, ReceiptHandle=handle, VisibilityTimeout=0)
    mail.queue.confirm(GOOD)
    assert mail.left() == 0


def test_a_bad_message_is_told_and_left(mail: Mail, caplog: pytest.LogCaptureFixture) -> None:
    mail.send("nonsense")
    assert mail.stirred()
    mail.queue.confirm(GOOD)
    assert mail.left() == 1
    assert "dead-letter queue" in caplog.text


def test_a_queue_that_cannot_be_reached_is_told_once(mail: Mail, caplog: pytest.LogCaptureFixture) -> None:
    stopped = threading.Event()
    hints = Queue(f"{mail.url}-not", mail.client).stirrings(stopped)
    assert [next(hints), next(hints)] == [False, False]
    assert caplog.text.count("the queue cannot be used") == 1


@pytest.mark.parametrize(
    ("body", "keys"),
    [
        (event("a+b%2Bc/%C3%BC.csv"), ("a b+c/ü.csv",)),
        (event("a", "b"), ("a", "b")),
        (json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "x"}), ()),
        (json.dumps({"source": "aws.s3", "detail": {"object": {"key": "a+b%2Bc"}}}), ("a+b%2Bc",)),
        ("", None),
        ("[]", None),
        ("null", None),
        ('{"Records": [{"s3": {}}]}', None),
        ('{"Records": 7}', None),
    ],
)
def test_what_a_message_speaks_of(body: str, keys: tuple[str, ...] | None) -> None:
    assert spoken_of(body) == keys
