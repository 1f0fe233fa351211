"""Figures as people read them. Pure: the present time comes in as an argument."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: str) -> str:
    """`text` on one line, with what a terminal would obey or hide (control and direction characters) shown as escapes."""
    return _HIDDEN.sub(lambda c: c[0].encode("unicode_escape").decode(), text)


def size(count: float) -> str:
    """Bytes in units of 1000: "0 B", "10.5 KB", "200 MB"."""
    unit = 0
    while count >= 999.5 and unit < len(_UNITS) - 1:
        count, unit = count / 1000, unit + 1
    return f"{count:.1f} {_UNITS[unit]}" if unit and count < 99.95 else f"{count:.0f} {_UNITS[unit]}"


def number(count: int) -> str:
    """A count with its thousands set apart."""
    return f"{count:,}"


def many(count: int, noun: str) -> str:
    """ "1 file", "2 files"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def span(seconds: float) -> str:
    """A length of time: "0.2 ms", "14 ms", "1.2 s", "3 min", "2 h 5 min", "3 d 4 h"."""
    if 0 < seconds < 0.00995:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 99.95:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min".replace(" 0 min", "")
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h".replace(" 0 h", "")


def clock(at: float, now: float) -> str:
    """An instant in local time: "12:04:31" within today, else with its date."""
    then, today = time.localtime(at), time.localtime(now)
    return time.strftime("%H:%M:%S" if then[:3] == today[:3] else "%Y-%m-%d %H:%M:%S", then)


def dated(at: float) -> str:
    """An instant in local time, with its date and zone: "2026-03-01 12:04:31 CET"."""
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(at))


def precise(at: float, now: float) -> str:
    """`clock` with milliseconds: "12:04:31.250"."""
    return f"{clock(at, now)}.{int(at % 1 * 1000):03d}"


def stamp(at: float) -> str:
    """An instant for machines: RFC 3339, UTC, milliseconds ("2026-03-01T12:04:31.250Z")."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def epoch(stamped: str) -> float:
    """The instant that `stamp` wrote; epoch s."""
    return datetime.fromisoformat(stamped).timestamp()
