"""Sends every file of a directory with paramiko's put(), in one session: PORT USER KEY SOURCE FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

from paramiko import AutoAddPolicy, SSHClient


def put_all(port: str, user: str, key: str, source: str, folder: str) -> None:
    """Each put() ends with paramiko's own check of the size."""
    with SSHClient() as client:
        client.set_missing_host_key_policy(AutoAddPolicy())
        client.connect("127.0.0.1", int(port), user, key_filename=key, allow_agent=False, look_for_keys=False)
        with client.open_sftp() as sftp:
            sftp.mkdir(folder)
            for path in sorted(Path(source).iterdir()):
                sftp.put(str(path), f"{folder}/{path.name}")


if __name__ == "__main__":
    put_all(*sys.argv[1:])
