"""The engine runs steps: router, worker, retry, sweep, and the supervisor that keeps the processes alive."""
