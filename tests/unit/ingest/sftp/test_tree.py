"""Names: checked once, refused with a reason, never rewritten, never above the home."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wharfinger.errors import NameRefused
from wharfinger.ingest.sftp.tree import MAX_KEY, MAX_NAME, Tree, check, resolve
from wharfinger.ledger import Entry, User

TREE = Tree(User("ann", customer="acme", home="acme"))


@pytest.mark.parametrize("path", ["inbound/a.csv", "/inbound/a.csv", "//inbound//a.csv", "./inbound/./a.csv/"])
def test_absolute_and_relative_paths_name_the_same_key(path: str) -> None:
    assert TREE.key(path) == "acme/inbound/a.csv"


@pytest.mark.parametrize("path", ["", "/", ".", "//./"])
def test_the_root_is_the_home(path: str) -> None:
    assert TREE.key(path) == "acme"
    assert TREE.path("acme") == "/"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("..", "'..'"),
        ("a\\b", "backslash"),
        ("a\0b", r"U\+0000"),
        ("a\nb", r"U\+000A"),
        ("a\x7fb", r"U\+007F"),
        ("a\x85b", r"U\+0085"),
        ("caf\udce9", "UTF-8"),
        ("x" * (MAX_NAME + 1), "256 bytes"),
        ("é" * 128, "256 bytes"),
    ],
)
def test_a_bad_name_is_refused_with_its_reason(name: str, why: str) -> None:
    with pytest.raises(NameRefused, match=why):
        check(name)
    with pytest.raises(NameRefused, match=why):
        TREE.key(f"inbound/{name}/a")


@pytest.mark.parametrize(
    "name", ["x" * MAX_NAME, "file#123", "…", "a b", "~a", ".hidden", "a..b", "e\u0301", "%2e%2e", "a:b"]
)
def test_every_other_name_is_kept_as_sent(name: str) -> None:
    assert TREE.key(f"inbound/{name}") == f"acme/inbound/{name}"


def test_a_path_of_many_good_names_may_be_too_long() -> None:
    with pytest.raises(NameRefused, match=str(MAX_KEY)):
        TREE.key("/".join(["d" * 200] * 6))


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
