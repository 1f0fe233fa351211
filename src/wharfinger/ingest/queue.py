"""
S3's event messages from a queue of SQS: hints to look into the bucket.

A message is removed when a look that began after it came has landed what it speaks of. One that cannot be understood is told, and
left to the queue's policy for dead letters.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import unquote_plus, urlsplit

from wharfinger.errors import SourceError
from wharfinger.ingest.account import Account
from wharfinger.ingest.remote import client
from wharfinger.names import readable

POLL_S = 1
"""Seconds that an empty queue is waited at."""

MOST = 10
"""Messages in one answer (AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html)."""

_log = logging.getLogger(__name__)


class Sqs(Protocol):
    """What is used of boto3's client."""

    def receive_message(self, **how: Any) -> Mapping[str, Any]: ...  # noqa: D102
    def delete_message_batch(self, **how: Any) -> Mapping[str, Any]: ...  # noqa: D102
    def get_queue_attributes(self, **how: Any) -> Mapping[str, Any]: ...  # noqa: D102


class Queue:
    """For one thread."""

    def __init__(self, url: str, sqs: Sqs, prefix: str = "") -> None:
        """`prefix` is what the keys of the source's files begin with in the bucket; without a slash at its end."""
        self._url, self._client = url, sqs
        self._prefix = f"{prefix}/" if prefix else ""
        # by message: its latest receipt handle, the keys it speaks of
        self._heard: dict[str, tuple[str, Sequence[str]]] = {}
        self._trouble = ""

    @classmethod
    def at(cls, url: str, prefix: str = "") -> Queue:
        """
        The queue of this URL; region, endpoint (AWS_ENDPOINT_URL_SQS) and credentials come from the environment. Raises ConfigError
        where boto3 is missing.
        """
        return cls(url, client("sqs", region=_region(url)), prefix)

    def check(self) -> None:
        """Raises SourceError (NO_QUEUE) where the queue cannot be used."""
        try:
            self._client.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])
        except Exception as exc:  # boto3 has no class for all
            said = getattr(exc, "response", {}).get("Error", {}).get("Code", type(exc).__name__)
            fix = "create it or correct `queue`, and see that the credentials may receive and delete messages, and get its attributes"
            raise SourceError(f"the queue {self._url} cannot be used: {said}", code="NO_QUEUE", fix=fix) from None

    def stirrings(self, stopped: threading.Event) -> Iterator[bool]:
        """True when messages came; see watch.Round."""
        while not stopped.is_set():
            try:
                messages = self._receive()
                self._trouble = ""
            except Exception as exc:  # boto3 has no class for all; without the queue there is still the listing
                self._tell(exc)
                messages = []
                stopped.wait(POLL_S)
            yield bool(messages)

    def confirm(self, account: Account) -> None:
        """A look has ended well: remove the messages heard before it, but for those on files that could not be taken."""
        failed = {self._prefix + problem.file for problem in account.problems}
        done = [handle for handle, keys in self._heard.values() if failed.isdisjoint(map(readable, keys))]
        self._heard.clear()  # what stays in the queue comes again
        for n in range(0, len(done), MOST):
            entries = [{"Id": str(i), "ReceiptHandle": handle} for i, handle in enumerate(done[n : n + MOST])]
            try:
                self._client.delete_message_batch(QueueUrl=self._url, Entries=entries)
            except Exception as exc:  # they come again, and are removed then
                self._tell(exc)

    def _receive(self) -> Sequence[Mapping[str, Any]]:
        answer = self._client.receive_message(QueueUrl=self._url, MaxNumberOfMessages=MOST, WaitTimeSeconds=POLL_S)
        messages: Sequence[Mapping[str, Any]] = answer.get("Messages", ())
        for message in messages:
            keys = spoken_of(message["Body"])
            if keys is None:
                _log.error("message %s is no event of S3; it is left to the dead-letter queue", message["MessageId"])
            else:
                self._heard[message["MessageId"]] = message["ReceiptHandle"], keys
        return messages

    def _tell(self, error: Exception) -> None:
        if repr(error) != self._trouble:
            self._trouble = repr(error)
            _log.error("the queue cannot be used (%s); the bucket is listed all the same", type(error).__name__)


def spoken_of(body: str) -> Sequence[str] | None:
    """
    The keys that an event message names (AmazonS3/latest/userguide/notification-content-structure.html), from S3 itself or by
    EventBridge; none for S3's test; None where it is no such message.
    """
    try:
        told = json.loads(body)
        if told.get("Event") == "s3:TestEvent":
            return ()
        if "detail" in told:  # EventBridge does not encode keys
            return (str(told["detail"]["object"]["key"]),)
        return tuple(unquote_plus(record["s3"]["object"]["key"]) for record in told["Records"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _region(url: str) -> str:
    """What a URL of Amazon's says; else the environment does."""
    host = (urlsplit(url).hostname or "").split(".")
    return host[1] if len(host) > 2 and host[0] == "sqs" else ""
