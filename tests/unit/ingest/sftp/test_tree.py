"""Paths: walked, checked by the rules of all names (tests/unit/test_names.py), never above the home."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wharfinger.errors import NameRefused
from wharfinger.ingest.sftp.tree import Tree, resolve
from wharfinger.ledger import Entry, User

TREE = Tree(User("ann", customer="acme", home="acme"))


@pytest.mark.parametrize("path", ["inbound/a.csv", "/inbound/a.csv", "//inbound//a.csv", "./inbound/./a.csv/"])
def test_absolute_and_relative_paths_name_the_same_key(path: str) -> None:
    assert TREE.key(path) == "acme/inbound/a.csv"


@pytest.mark.parametrize("path", ["", "/", ".", "//./"])
def test_the_root_is_the_home(path: str) -> None:
    assert TREE.key(path) == "acme"
    assert TREE.path("acme") == "/"


@given(st.text(st.sampled_from("a./\\"), max_size=30))
def test_no_path_leads_out_of_the_home(path: str) -> None:
    assert resolve(path).startswith("/")
    assert ".." not in resolve(path).split("/")
    for find in (TREE.key, TREE.find):
        try:
            key = find(path)
        except NameRefused:
            continue
        assert key == "acme" or key.startswith("acme/")
        assert ".." not in key.split("/")


def test_dots_are_walked_where_nothing_is_written() -> None:
    assert TREE.find("/inbound/../outbound") == "acme/outbound"
    assert TREE.find("../../..") == "acme"
    with pytest.raises(NameRefused):
        TREE.key("/inbound/../outbound")


@pytest.mark.parametrize("path", ["/", "inbound", "/outbound/", "receipts", "errors"])
def test_the_home_and_its_standard_directories_stay(path: str) -> None:
    with pytest.raises(NameRefused, match="stays"):
        TREE.own(path)


def test_a_line_of_a_directory_reads_as_ls_prints_it() -> None:
    entry = Entry("acme/inbound/a b.csv", "file", size=1234, mtime=0.0)
    line = TREE.line(entry, now=1e9)
    assert line.name == "a b.csv"
    assert line.long == "-rw-r--r--    1 ann      acme         1234 Jan 01  1970 a b.csv"
    assert TREE.line(Entry("acme/inbound", "dir", mtime=1e9), now=1e9).long.endswith("Sep 09 01:46 inbound")
