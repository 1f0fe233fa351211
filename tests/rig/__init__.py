"""What several suites stand on: the real command, a listener, a yard with workers, databases, disks and clients."""
