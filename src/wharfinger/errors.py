"""
Every error wharfinger raises on purpose.

* WharfingerError            what went wrong, where, and what to do: `code`, message, `fix`
  x ConfigError              the operator must edit the configuration; names the file, line and key
  x UsageError               the command cannot do what was asked
  x SourceError              a folder or bucket that files are taken from cannot be read, or a file in it not taken
  x StepError                one file could not be processed
    + Rejected               the bytes are at fault: never retried, the file is quarantined
    + Transient              something outside the file failed: retried with backoff, then the file is failed
  x StoreError               bytes could not be kept or read
    + NotFound               no such object
    + NameRefused            a name that must not be used; nothing was written
    + NoSpace                the disk or quota is full; a retry helps once there is room
    + Corrupt                the bytes are not those that were stored
    + Unreachable            the store does not answer, or asks for patience; a retry helps
  x LedgerError              facts could not be recorded or read
    + Busy                   another process holds the ledger; a retry helps
    + LostAnswer             nobody can tell whether the ledger did it
    + Incompatible           this ledger was made by another version, or the library or server is unfit
  x Unproven                 a signature, a hash or a proof does not hold: something was changed

One question decides what becomes of a file: can a retry help? The class answers it; nobody parses text.
"""

from __future__ import annotations


class WharfingerError(Exception):
    """Base of all errors above. `code` is a stable word in capitals, `fix` says what to do next (may be empty)."""

    code = "ERROR"
    is_internal = False  # the machine's own trouble, which may name its places: for the log alone

    def __init__(self, message: str, *, code: str = "", fix: str = "") -> None:
        super().__init__(message)
        self.code = code or type(self).code
        self.fix = fix


class ConfigError(WharfingerError):
    """The configuration cannot be used. The message has one line per mistake: `file:line:column: path: what; fix`."""

    code = "CONFIG_INVALID"


class UsageError(WharfingerError):
    """The command cannot do what was asked, as the message says."""

    code = "USAGE"


class SourceError(WharfingerError):
    """A folder or bucket that files are taken from refused, or a file in it cannot be taken as it is."""

    code = "SOURCE_FAILED"


class StepError(WharfingerError):
    """One file could not be processed by one step."""

    code = "STEP_FAILED"


class Rejected(StepError):
    """The bytes themselves are wrong; a retry cannot help. The file is quarantined."""

    code = "REJECTED"


class Transient(StepError):
    """Something outside the file failed; it is tried again later."""

    code = "TRANSIENT"


class StoreError(WharfingerError):
    """The store refused or failed."""

    code = "STORE_FAILED"


class NotFound(StoreError):
    """No object under this name and version."""

    code = "NOT_FOUND"


class NameRefused(StoreError):
    """The name breaks a rule, which the message names. Nothing was written."""

    code = "NAME_UNSAFE"


class NoSpace(StoreError):
    """The disk or the quota is full. Nothing was acknowledged; try again once there is room."""

    code = "NO_SPACE"


class Corrupt(StoreError):
    """The bytes read are not the bytes that were stored."""

    code = "INTEGRITY_MISMATCH"


class Unreachable(StoreError):
    """A store on the network did not answer, or asked for patience, for too long. Nothing was acknowledged; try again."""

    code = "STORE_UNREACHABLE"
    is_internal = True


class LedgerError(WharfingerError):
    """The ledger refused or failed."""

    code = "LEDGER_FAILED"
    is_internal = True


class Busy(LedgerError):
    """Another process held the ledger for too long. Nothing was changed; try again."""

    code = "LEDGER_BUSY"


class LostAnswer(LedgerError):
    """The connection was lost during a commit: what it would have changed may be changed or not."""

    code = "LEDGER_LOST_ANSWER"


class Incompatible(LedgerError):
    """The ledger, or the library that reads it, does not fit this version of wharfinger."""

    code = "LEDGER_INCOMPATIBLE"


class Unproven(WharfingerError):
    """A signature, a hash or a proof does not hold: something was changed after it was signed or chained."""

    code = "UNPROVEN"
