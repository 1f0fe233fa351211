"""`python -m wharfinger` is `wharf`."""

from wharfinger.cli import main

main()
