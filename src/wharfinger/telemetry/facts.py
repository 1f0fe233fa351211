"""What a log line tells beside its words, under names that machines look for: `file_id`, `key`, `pipeline`, ..."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

_NAME = "wharf_facts"  # under which a record carries them


def facts(**told: Any) -> Mapping[str, Any]:
    """For `extra` of a logging call: `_log.info("transferred", extra=facts(file_id=...))`. Never a secret, never a file's content."""
    return {_NAME: told}


def facts_of(record: logging.LogRecord) -> Mapping[str, Any]:
    """What `facts` was given for this record."""
    told: Mapping[str, Any] = getattr(record, _NAME, {})
    return told
