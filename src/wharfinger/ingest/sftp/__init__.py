"""
SFTP: our own packet layer over asyncssh's connections.

Downhill: `server` (connections, sign-in) > `session` (turns) > `verbs` (what a request means) > `intake` (uploads begin and
end) > `collector` (commits in groups); `codec` is the wire format, `tree` what a user sees.
"""
