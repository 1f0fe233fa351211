"""The local store: objects as files with id-based names beside a journal that describes them."""
