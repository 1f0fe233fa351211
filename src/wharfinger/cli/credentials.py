"""What a user proves who they are with: public keys that are sound, and passwords kept as argon2id."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from pathlib import Path

from wharfinger.errors import UsageError

RSA_BITS = 2048
"""The shortest RSA key that is taken (NIST SP 800-131A rev. 2)."""

KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")

_FIX = "hand in the public half in OpenSSH's format, as in ~/.ssh/id_ed25519.pub: ssh-ed25519 AAAA... comment"


def public_key(text: str) -> str:
    """The key on its one line, with its comment. Raises UsageError for a private, unreadable or weak one."""
    import asyncssh

    if "PRIVATE KEY" in text:
        raise UsageError("this is a private key; it must not leave its owner", code="KEY_PRIVATE", fix=_FIX)
    try:
        key = asyncssh.import_public_key(text)
    except (asyncssh.KeyImportError, ValueError) as exc:
        raise UsageError(f"not a public key: {exc}", code="KEY_INVALID", fix=_FIX) from exc
    kind = key.get_algorithm()
    if kind not in KINDS:
        raise UsageError(
            f"keys of the kind {kind} are not taken", code="KEY_WEAK", fix=f"use one of {', '.join(KINDS)}"
        )
    if kind == "ssh-rsa" and (bits := _rsa_bits(key)) < RSA_BITS:
        raise UsageError(
            f"an RSA key of {bits} bits is too short", code="KEY_WEAK", fix="make one: ssh-keygen -t ed25519"
        )
    return key.export_public_key().decode().strip()


def public_keys(text: str) -> tuple[str, ...]:
    """Every key of a file such as authorized_keys, whose comment lines and empty lines are passed over."""
    if "PRIVATE KEY" in text:
        return (public_key(text),)
    lines = [line.strip() for line in text.splitlines()]
    return tuple(public_key(line) for line in lines if line and not line.startswith("#"))


def fingerprint(key: str) -> str:
    """As ssh-keygen -l shows it: "SHA256:..." (of the key's RFC 4253 blob). `key` is one that `public_key` answered."""
    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def new_key(path: Path, comment: str) -> str:
    """Make an Ed25519 key pair: `path` for its owner's eyes only, and `path`.pub. The answer is the public key."""
    import asyncssh

    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = asyncssh.generate_private_key("ssh-ed25519", comment=comment)
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(key.export_private_key())
    Path(f"{path}.pub").write_bytes(key.export_public_key())
    return key.export_public_key().decode().strip()


def new_password() -> str:
    """A password nobody can guess: 128 bits."""
    return secrets.token_urlsafe(16)


def password_hash(password: str) -> str:
    """The PHC string of argon2id at 19 MiB, t=2, p=1 (OWASP Password Storage Cheat Sheet). Raises UsageError for a short one."""
    from argon2 import PasswordHasher

    if len(password) < 12:
        raise UsageError("the password is too short", code="PASSWORD_WEAK", fix="use at least 12 characters")
    return PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1).hash(password)


def is_password_hash(text: str) -> bool:
    """Whether `text` is an argon2id PHC string."""
    from argon2 import extract_parameters
    from argon2.exceptions import InvalidHashError
    from argon2.low_level import Type

    try:
        return extract_parameters(text).type is Type.ID
    except InvalidHashError:
        return False


def _rsa_bits(key: object) -> int:
    return int(key.pyca_key.key_size)  # type: ignore[attr-defined]
