"""What every Namespace promises."""

from __future__ import annotations

import unicodedata

import pytest

from rig.databases import SHA256, START, Clock, an_arrival, arrived
from wharfinger.ledger import MOST_MOVED, Catalog, Entry, Ledger, Namespace, chain
from wharfinger.model import Arrival

NFC, NFD = (unicodedata.normalize(form, "Übersicht.csv") for form in ("NFC", "NFD"))


def put(ledger: Ledger, key: str, **more: object) -> Arrival:
    arrival = an_arrival(key, **more)  # type: ignore[arg-type]
    ledger.arrive([arrival])
    return arrival


def look(namespace: Namespace, path: str) -> Entry | None:
    [entry] = namespace.look([path])
    return entry


def kind(namespace: Namespace, path: str) -> str:
    entry = look(namespace, path)
    return entry.kind if entry else "nothing"


def names(namespace: Namespace, path: str) -> list[str]:
    return [entry.path.rpartition("/")[2] for entry in namespace.children(path)]


def a_partial(path: str, size: int = 100, *, staged: str = "S1", at: float = START) -> Entry:
    return Entry(path, "partial", size, at, staged=staged, user="ann")


def last_event(catalog: Catalog, arrival: Arrival) -> tuple[str, dict[str, object]]:
    events = catalog.events(arrival.file_id)
    assert chain.verify(events) == []
    return events[-1].kind, dict(events[-1].data)


# -- arrivals


def test_an_arrival_appears_with_its_parents(ledger: Ledger, namespace: Namespace) -> None:
    arrival = put(ledger, "acme/inbound/a.csv", mtime=START - 50)
    assert look(namespace, "acme/inbound/a.csv") == Entry(
        "acme/inbound/a.csv", "file", 1000, START - 50, arrival.version, SHA256, arrival.file_id
    )
    assert (kind(namespace, "acme"), kind(namespace, "acme/inbound")) == ("dir", "dir")
    assert (names(namespace, ""), names(namespace, "acme")) == (["acme"], ["inbound"])


def test_without_a_time_from_its_sender_a_file_shows_that_of_its_arrival(ledger: Ledger, namespace: Namespace) -> None:
    put(ledger, "acme/a.csv", at=START + 5)
    entry = look(namespace, "acme/a.csv")
    assert entry
    assert entry.mtime == START + 5


def test_an_arrival_in_another_bucket_is_not_in_the_tree(ledger: Ledger, namespace: Namespace) -> None:
    put(ledger, "acme/a.csv", bucket="elsewhere")
    assert kind(namespace, "acme/a.csv") == kind(namespace, "acme") == "nothing"


def test_a_newer_version_takes_the_name(ledger: Ledger, namespace: Namespace) -> None:
    put(ledger, "acme/a.csv")
    namespace.touch("acme/a.csv", START - 99)
    newer = put(ledger, "acme/a.csv", size=5)
    entry = look(namespace, "acme/a.csv")
    assert entry
    assert (entry.version, entry.size, entry.file_id, entry.mtime) == (newer.version, 5, newer.file_id, START)


def test_an_older_version_that_comes_late_does_not(ledger: Ledger, namespace: Namespace) -> None:
    older, newer = an_arrival("acme/a.csv"), an_arrival("acme/a.csv")
    ledger.arrive([newer])
    ledger.arrive([older])
    entry = look(namespace, "acme/a.csv")
    assert entry
    assert entry.version == newer.version


def test_versions_in_one_call_leave_the_newest(ledger: Ledger, namespace: Namespace) -> None:
    older, newer = an_arrival("acme/a.csv"), an_arrival("acme/a.csv")
    ledger.arrive([newer, older])
    entry = look(namespace, "acme/a.csv")
    assert entry
    assert entry.version == newer.version


def test_a_file_in_custody_does_not_replace_a_directory(ledger: Ledger, namespace: Namespace) -> None:
    namespace.make([Entry("acme/a", "dir")])
    put(ledger, "acme/a")
    assert kind(namespace, "acme/a") == "dir"


# -- look and children


def test_the_root_is_always_there(namespace: Namespace) -> None:
    assert look(namespace, "") == Entry("", "dir")
    assert namespace.children("") == []


def test_looks_are_answered_one_by_one(ledger: Ledger, namespace: Namespace) -> None:
    put(ledger, "acme/a.csv")
    found = namespace.look(["acme/none", "acme/a.csv", "acme", "none/none"])
    assert [entry and entry.kind for entry in found] == [None, "file", "dir", None]


def test_names_are_compared_by_nfc_and_kept_as_sent(ledger: Ledger, namespace: Namespace) -> None:
    put(ledger, f"acme/{NFD}")
    assert names(namespace, "acme") == [NFD]
    assert kind(namespace, f"acme/{NFC}") == kind(namespace, f"acme/{NFD}") == "file"
    put(ledger, f"acme/{NFC}")
    assert names(namespace, "acme") == [NFC]


def test_names_differ_by_case(ledger: Ledger, namespace: Namespace) -> None:
    put(ledger, "acme/A.csv")
    assert kind(namespace, "acme/a.csv") == "nothing"


@pytest.mark.parametrize("name", ["a b", "a#b", "a%b", "*", "a'b", 'a"b', "a\\b", "..a", "名前", "a\nb", "~"])
def test_any_name_is_a_name(ledger: Ledger, namespace: Namespace, name: str) -> None:
    put(ledger, f"acme/{name}/{name}")
    assert names(namespace, f"acme/{name}") == [name]
    assert namespace.rename(f"acme/{name}", "acme/x") == "done"
    assert kind(namespace, f"acme/x/{name}") == "file"


def test_children_are_paged_by_name(ledger: Ledger, namespace: Namespace) -> None:
    wanted = sorted(f"{n}.csv" for n in range(25))
    ledger.arrive([an_arrival(f"acme/{name}") for name in reversed(wanted)])
    namespace.make([Entry("acme/0.csv.d/below", "dir")])
    seen, after = [], ""
    while page := namespace.children("acme", limit=7, after=after):
        seen += [entry.path for entry in page]
        after = page[-1].path.rpartition("/")[2]
    assert seen == sorted([f"acme/{name}" for name in [*wanted, "0.csv.d"]])


def test_children_are_in_the_order_of_code_points(ledger: Ledger, namespace: Namespace) -> None:
    wanted = ["-b", "A", "Z", "_", "a", "a-c", "ab", "z", "~", "é"]
    ledger.arrive([an_arrival(f"acme/{name}") for name in reversed(wanted)])
    assert names(namespace, "acme") == sorted(wanted)
    assert [entry.path for entry in namespace.children("acme", after="a")] == [f"acme/{name}" for name in wanted[5:]]


def test_children_are_those_of_one_directory(ledger: Ledger, namespace: Namespace) -> None:
    for key in ("acme/a/1", "acme/a/b/2", "acme/ab/3", "acme/a.4", "acme2/5"):
        put(ledger, key)
    assert names(namespace, "acme/a") == ["1", "b"]
    assert namespace.children("acme/none") == []


# -- make


def test_a_directory_is_made_with_its_parents(namespace: Namespace) -> None:
    assert namespace.make([Entry("acme/a/b", "dir", mtime=START - 7)]) == [True]
    assert look(namespace, "acme/a/b") == Entry("acme/a/b", "dir", mtime=START - 7)
    assert kind(namespace, "acme/a") == "dir"


def test_a_directory_is_not_made_where_anything_is(ledger: Ledger, namespace: Namespace) -> None:
    put(ledger, "acme/file")
    namespace.make([a_partial("acme/partial")])
    wanted = ["acme", "acme/file", "acme/partial", "acme/new", "acme/new", ""]
    assert namespace.make([Entry(path, "dir") for path in wanted]) == [False, False, False, True, False, False]


def test_nothing_is_made_below_what_is_not_a_directory(ledger: Ledger, namespace: Namespace) -> None:
    put(ledger, "acme/file")
    namespace.make([a_partial("acme/partial")])
    below = [Entry("acme/file/a", "dir"), a_partial("acme/file/a/b"), Entry("acme/partial/a", "dir")]
    assert namespace.make(below) == [False, False, False]


def test_files_are_not_made(namespace: Namespace) -> None:
    with pytest.raises(ValueError, match="arrive"):
        namespace.make([Entry("acme/a", "file")])


# -- partials


def test_a_partial_is_seen(namespace: Namespace) -> None:
    assert namespace.make([a_partial("acme/a.csv", 7)]) == [True]
    assert look(namespace, "acme/a.csv") == a_partial("acme/a.csv", 7)
    assert namespace.children("acme") == [a_partial("acme/a.csv", 7)]


def test_a_partial_does_not_replace_a_directory(namespace: Namespace) -> None:
    namespace.make([Entry("acme/a", "dir")])
    assert namespace.make([a_partial("acme/a")]) == [False]


def test_a_partial_over_an_older_partial_replaces_it(namespace: Namespace) -> None:
    namespace.make([a_partial("acme/a", 1)])
    assert namespace.make([a_partial("acme/a", 2, staged="S2", at=START + 1)]) == [True]
    assert look(namespace, "acme/a") == a_partial("acme/a", 2, staged="S2", at=START + 1)


def test_a_partial_over_a_file_tells_the_version_beneath(ledger: Ledger, namespace: Namespace) -> None:
    arrival = put(ledger, "acme/a.csv")
    assert namespace.make([a_partial("acme/a.csv", 7)]) == [True]
    entry = look(namespace, "acme/a.csv")
    assert entry
    assert (entry.kind, entry.size, entry.staged, entry.user) == ("partial", 7, "S1", "ann")
    assert (entry.version, entry.sha256, entry.file_id) == (arrival.version, SHA256, arrival.file_id)


def test_a_file_comes_back_when_the_partial_over_it_is_removed(ledger: Ledger, namespace: Namespace) -> None:
    put(ledger, "acme/a.csv")
    before = look(namespace, "acme/a.csv")
    namespace.make([a_partial("acme/a.csv")])
    namespace.make([a_partial("acme/a.csv", staged="S2")])
    assert namespace.remove("acme/a.csv") == "done"
    assert look(namespace, "acme/a.csv") == before


def test_a_partial_of_a_new_name_leaves_nothing(namespace: Namespace) -> None:
    namespace.make([a_partial("acme/a.csv")])
    assert namespace.remove("acme/a.csv") == "done"
    assert kind(namespace, "acme/a.csv") == "nothing"


@pytest.mark.parametrize("over_a_file", [False, True])
def test_a_partial_ends_when_its_file_arrives(ledger: Ledger, namespace: Namespace, over_a_file: bool) -> None:
    if over_a_file:
        put(ledger, "acme/a.csv")
    namespace.make([a_partial("acme/a.csv", 7)])
    arrival = put(ledger, "acme/a.csv")
    entry = look(namespace, "acme/a.csv")
    assert entry
    assert (entry.kind, entry.version, entry.staged, entry.user) == ("file", arrival.version, "", "")
    assert [*namespace.partials(before=START + 1000)] == []


def test_old_partials_are_found(namespace: Namespace) -> None:
    old, new = a_partial("acme/old", at=START), a_partial(f"acme/{NFD}", at=START + 10)
    namespace.make([new, old])
    assert [*namespace.partials(before=START + 10)] == [old]
    assert [*namespace.partials(before=START + 11)] == [old, new]


def test_a_partial_is_renamed_with_the_file_beneath(ledger: Ledger, namespace: Namespace) -> None:
    arrival = put(ledger, "acme/a")
    namespace.make([a_partial("acme/a")])
    assert namespace.rename("acme/a", "acme/b") == "done"
    assert kind(namespace, "acme/a") == "nothing"
    namespace.remove("acme/b")
    entry = look(namespace, "acme/b")
    assert entry
    assert (entry.kind, entry.version) == ("file", arrival.version)


# -- touch


def test_a_touch_sets_the_time_shown(ledger: Ledger, namespace: Namespace) -> None:
    put(ledger, "acme/a.csv")
    for path in ("acme/a.csv", "acme"):
        assert namespace.touch(path, START - 1234.5)
        entry = look(namespace, path)
        assert entry
        assert entry.mtime == START - 1234.5
    assert not namespace.touch("acme/none", START)


def test_a_touched_partial_does_not_expire_sooner(namespace: Namespace) -> None:
    namespace.make([a_partial("acme/a")])
    assert namespace.touch("acme/a", 0.0)
    assert [*namespace.partials(before=START)] == []


# -- rename


def test_a_renamed_file_keeps_its_record_and_says_so(ledger: Ledger, catalog: Catalog, namespace: Namespace) -> None:
    arrival = put(ledger, "acme/a.csv")
    namespace.make([Entry("acme/done", "dir")])
    namespace.touch("acme/a.csv", START - 5)
    before = look(namespace, "acme/a.csv")
    assert namespace.rename("acme/a.csv", "acme/done/b.csv") == "done"
    assert (kind(namespace, "acme/a.csv"), names(namespace, "acme/done")) == ("nothing", ["b.csv"])
    after = look(namespace, "acme/done/b.csv")
    assert before
    assert after
    assert (after.file_id, after.version, after.mtime) == (before.file_id, before.version, START - 5)
    found = catalog.file(arrival.file_id)
    assert found
    assert found.key == "acme/a.csv"
    assert last_event(catalog, arrival) == ("renamed", {"from": "acme/a.csv", "to": "acme/done/b.csv"})


def test_a_directory_is_renamed_with_all_below(ledger: Ledger, catalog: Catalog, namespace: Namespace) -> None:
    deep = put(ledger, "acme/a/b/c/d.csv")
    for key in ("acme/a/1.csv", "acme/ab/2.csv", "acme/a.csv", "acme/a-b/3.csv"):
        put(ledger, key)
    namespace.make([a_partial("acme/a/b/part")])
    assert namespace.rename("acme/a", "acme/z") == "done"
    assert kind(namespace, "acme/a/b") == kind(namespace, "acme/a") == "nothing"
    assert names(namespace, "acme") == ["a-b", "a.csv", "ab", "z"]
    assert (names(namespace, "acme/z"), names(namespace, "acme/z/b")) == (["1.csv", "b"], ["c", "part"])
    assert names(namespace, "acme/z/b/c") == ["d.csv"]
    assert (names(namespace, "acme/ab"), names(namespace, "acme/a-b")) == (["2.csv"], ["3.csv"])
    assert last_event(catalog, deep) == ("renamed", {"from": "acme/a/b/c/d.csv", "to": "acme/z/b/c/d.csv"})


def test_a_directory_of_thousands_is_renamed(ledger: Ledger, catalog: Catalog, namespace: Namespace) -> None:
    arrivals = arrived(ledger, 5000)
    assert namespace.rename("acme/inbound", "acme/done") == "done"
    assert len(namespace.children("acme/done", limit=10_000)) == 5000
    assert last_event(catalog, arrivals[-1])[0] == "renamed"


def test_a_directory_with_too_much_below_it_is_not_renamed(
    ledger: Ledger, catalog: Catalog, namespace: Namespace
) -> None:
    arrivals = arrived(ledger, MOST_MOVED)
    namespace.make([Entry("acme/inbound/one more", "dir")])
    assert namespace.rename("acme/inbound", "acme/done") == "too_many"
    assert namespace.rename("acme", "done") == "too_many"
    assert names(namespace, "acme") == ["inbound"]
    assert last_event(catalog, arrivals[-1])[0] == "arrived"
    assert namespace.remove("acme/inbound/one more") == "done"
    assert namespace.rename("acme/inbound", "acme/done") == "done"


def test_a_rename_says_what_is_in_its_way(ledger: Ledger, namespace: Namespace) -> None:
    put(ledger, "acme/a")
    put(ledger, "acme/b")
    namespace.make([Entry("acme/dir", "dir"), a_partial("acme/partial")])
    assert namespace.rename("acme/none", "acme/c") == "missing"
    assert namespace.rename("", "acme/c") == "missing"
    assert namespace.rename("acme/a", "none/c") == "no_parent"
    assert namespace.rename("acme/a", "acme/b/c") == "no_parent"
    assert namespace.rename("acme/a", "acme/b") == "taken"
    assert namespace.rename("acme/a", "acme/partial") == "taken"
    assert namespace.rename("acme/a", "acme/dir", replace=True) == "taken"
    assert namespace.rename("acme/dir", "acme/a", replace=True) == "taken"
    assert names(namespace, "acme") == ["a", "b", "dir", "partial"]


def test_a_directory_does_not_fit_into_itself(ledger: Ledger, namespace: Namespace) -> None:
    put(ledger, "acme/a/b/1")
    assert namespace.rename("acme/a", "acme/a/b/c") == "no_parent"
    assert namespace.rename("acme/a", "acme/a/c") == "no_parent"
    assert names(namespace, "acme/a/b") == ["1"]


def test_a_rename_may_replace_a_file(ledger: Ledger, catalog: Catalog, namespace: Namespace) -> None:
    new, old = put(ledger, "acme/new"), put(ledger, "acme/old")
    assert namespace.rename("acme/new", "acme/old", replace=True) == "done"
    entry = look(namespace, "acme/old")
    assert entry
    assert (entry.file_id, names(namespace, "acme")) == (new.file_id, ["old"])
    assert last_event(catalog, old) == ("removed", {"path": "acme/old", "replaced_by": "acme/new"})
    assert catalog.file(old.file_id) is not None


def test_a_rename_to_itself_changes_nothing(ledger: Ledger, namespace: Namespace) -> None:
    put(ledger, "acme/a/1")
    assert namespace.rename("acme/a/1", "acme/a/1") == "done"
    assert namespace.rename("acme/a", "acme/a") == "done"
    assert names(namespace, "acme/a") == ["1"]


def test_a_rename_may_change_the_form_of_a_name(ledger: Ledger, namespace: Namespace) -> None:
    put(ledger, f"acme/{NFD}")
    assert namespace.rename(f"acme/{NFD}", f"acme/{NFC}") == "done"
    assert names(namespace, "acme") == [NFC]


# -- remove


def test_a_removed_file_stays_in_custody(ledger: Ledger, catalog: Catalog, namespace: Namespace) -> None:
    arrival = put(ledger, "acme/a.csv")
    assert namespace.remove("acme/a.csv") == "done"
    assert kind(namespace, "acme/a.csv") == "nothing"
    assert catalog.file(arrival.file_id) is not None
    assert len(ledger.claim("worker", 1, 30)) == 1
    assert last_event(catalog, arrival) == ("removed", {"path": "acme/a.csv"})


def test_a_directory_is_removed_when_it_is_empty(ledger: Ledger, namespace: Namespace) -> None:
    put(ledger, "acme/a/1")
    assert namespace.remove("acme/a") == "not_empty"
    namespace.remove("acme/a/1")
    assert namespace.remove("acme/a") == "done"
    assert kind(namespace, "acme/a") == "nothing"
    assert namespace.remove("") == "not_empty"


def test_what_is_missing_cannot_be_removed(namespace: Namespace) -> None:
    assert namespace.remove("acme/none") == "missing"


def test_a_removed_name_can_be_used_again(ledger: Ledger, namespace: Namespace, clock: Clock) -> None:
    put(ledger, "acme/a")
    namespace.remove("acme/a")
    again = put(ledger, "acme/a")
    entry = look(namespace, "acme/a")
    assert entry
    assert entry.version == again.version
