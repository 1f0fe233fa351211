"""The command `wharf`: thin verbs over the rooms below. stdout is data, stderr is talk."""


def main() -> None:
    """Run the command line and exit with its status."""
