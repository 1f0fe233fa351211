"""What a process tells of itself: logs, and the named points where a crash test stops it."""
