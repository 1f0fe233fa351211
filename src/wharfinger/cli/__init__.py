"""
The command `wharf`: thin verbs over the rooms below. stdout is data, stderr is talk.

Each verb is a module with a `command`, imported when it is used, so that `wharf status` never pays for a server.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line and exit with its status."""
    import sys

    try:
        from wharfinger.cli.frame import run
    except KeyboardInterrupt:  # Ctrl-C while the modules load, before `run` is there to answer it
        print("stopped", file=sys.stderr)
        sys.exit(130)
    sys.exit(run(sys.argv[1:]))
