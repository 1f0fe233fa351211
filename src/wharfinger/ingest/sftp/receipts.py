"""
A user's receipts as files that nobody stores: below `receipts/` a directory for each day (UTC) on which something arrived, in it
NAME~FILE_ID.arrival.json for each file of that day and, once the file has ended, NAME~FILE_ID.outcome.json.

A listing is a range of the catalog; what is read is signed then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from wharfinger.errors import NotFound
from wharfinger.ingest.name import RECEIPTS, is_receipt
from wharfinger.ledger import Catalog, Entry, Filter, User, receipt, signature
from wharfinger.ledger.keyring import Keyring
from wharfinger.ledger.receipt import Kind
from wharfinger.model import FileRecord
from wharfinger.names import PART, nfc

_DAY_S = 86400
_NAME = re.compile(r".*~([0-9A-Z]{26})\.(arrival|outcome)\.json", re.DOTALL)
_ROOM = PART - len("~.arrival.json") - 26  # bytes that are left for the name of the upload
_SPECIAL = re.compile(r"[\[*?]")


class Receipts:
    """What `user` finds there. Only files whose keys lie below the user's home have receipts here."""

    def __init__(self, user: User, catalog: Catalog, keyring: Keyring) -> None:
        self._catalog, self._keyring = catalog, keyring
        self._home = user.home.strip("/")
        self.root = f"{self._home}/{RECEIPTS}"
        below = f"{_SPECIAL.sub(_literal, self._home)}/*"
        self._theirs = Filter(customer=user.customer, name="" if self._home == user.customer else below)

    def covers(self, key: str) -> bool:
        """Whether `key` lies in it: the directory itself is one like any other."""
        return is_receipt(key, self._home)

    def lists(self, path: str) -> bool:
        """Whether what the directory `path` holds is told here."""
        return path == self.root or self.covers(path)

    def look(self, key: str) -> Entry | None:
        """What lies under `key`."""
        day, _, name = key[len(self.root) + 1 :].partition("/")
        begin = _begin(day)
        if begin is None:
            return None
        if not name:
            return self._directory(begin) if self._files(begin, limit=1) else None
        found = self._find(name)
        return found and next((entry for entry in self._entries(found[0]) if nfc(entry.path) == nfc(key)), None)

    def children(self, path: str, *, limit: int = 1000, after: str = "") -> list[Entry]:
        """At most `limit` (2 or more) of the days, or of one day's receipts, newest first; `after` is the last name of the page before."""
        if path == self.root:
            return self._days(_begin(after) if after else None, limit)
        begin, last = _begin(path.rpartition("/")[2]), _NAME.fullmatch(after)
        if begin is None:
            return []
        records = self._files(begin, limit=limit // 2, after=last[1] if last else "")
        return [entry for record in records for entry in self._entries(record)]

    def read(self, key: str) -> bytes:
        """The receipt under `key`, signed. Raises NotFound."""
        found = self._find(key.rpartition("/")[2])
        if found is None:
            raise NotFound("there is no such receipt")
        record, kind = found
        both = receipt.receipts(record, self._catalog.events(record.file_id))
        statement = both.arrival if kind == "arrival" else both.outcome
        if statement is None:
            raise NotFound("the file is in work again")
        return bytes(self._keyring.sign(statement))

    def _find(self, name: str) -> tuple[FileRecord, Kind] | None:
        """Whose receipt `name` is."""
        said = _NAME.fullmatch(name)
        record = self._catalog.file(said[1]) if said else None
        if said is None or record is None or record.customer_id != self._theirs.customer:
            return None
        if self._theirs.name and not record.key.startswith(f"{self._home}/"):
            return None
        return record, "arrival" if said[2] == "arrival" else "outcome"

    def _files(self, begin: float, *, limit: int, after: str = "") -> list[FileRecord]:
        return self._catalog.files(self._within(begin, begin + _DAY_S), limit=limit, after=after)

    def _days(self, until: float | None, limit: int) -> list[Entry]:
        days: list[Entry] = []
        while len(days) < limit and (newest := self._catalog.files(self._within(None, until), limit=1)):
            until = newest[0].upload_timestamp // _DAY_S * _DAY_S
            days.append(self._directory(until))
        return days

    def _within(self, since: float | None, until: float | None) -> Filter:
        return Filter(customer=self._theirs.customer, name=self._theirs.name, since=since, until=until)

    def _directory(self, begin: float) -> Entry:
        return Entry(f"{self.root}/{_day(begin)}", "dir", mtime=begin, is_fixed=True)

    def _entries(self, record: FileRecord) -> Iterator[Entry]:
        path = f"{self.root}/{_day(record.upload_timestamp)}/{_stem(record.key)}~{record.file_id}"
        size = signature.size(receipt.arrival(record))
        yield Entry(f"{path}.arrival.json", "file", size, record.upload_timestamp, is_fixed=True)
        outcome = receipt.expected(record)
        if outcome:
            at = record.transfer_timestamp or record.upload_timestamp
            yield Entry(f"{path}.outcome.json", "file", signature.size(outcome), at, is_fixed=True)


def _stem(key: str) -> str:
    """The upload's own name, cut to what fits."""
    return key.rpartition("/")[2].encode()[:_ROOM].decode(errors="ignore")


def _day(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"


def _begin(day: str) -> float | None:
    """When this day began; epoch s. None where it is none."""
    try:
        begin = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None
    return begin.timestamp() if f"{begin:%Y-%m-%d}" == day else None


def _literal(special: re.Match[str]) -> str:
    return f"[{special[0]}]"
