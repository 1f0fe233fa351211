"""What several suites need to drive the real command: nothing in here knows wharfinger's insides."""
