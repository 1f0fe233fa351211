"""
HTTP: uploads by signed URL.

Downhill: `server` (connections and their limits) > `door` (what a request means) > `ticket` (what a URL allows).
"""
