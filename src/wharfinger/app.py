"""The composition root: settings in, one wired process out. The only module that knows every room."""
