"""What the benchmarks share: peers to stand beside, clients that send, rounds that take turns, and dated reports."""
