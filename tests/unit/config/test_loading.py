"""A configuration becomes settings, or an answer that tells all that is wrong with it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wharfinger import config
from wharfinger.config.settings import Customer, Destination, Listeners, Workers
from wharfinger.errors import ConfigError
from wharfinger.steps import Step
from wharfinger.steps.registry import Registry

from .conftest import STEPS, Load

WHOLE = """\
data: ./data
store: file:///srv/objects
ledger: sqlite:///srv/ledger.db
bucket: landing
min_free: 1
listeners: {sftp: {host: 0.0.0.0, port: 22, host_keys: keys/host, passwords: false, idle_s: 5}}
workers: {count: 3, lease_s: 2, batch: 1}
customers: {acme: {weight: 2}, other: }
destinations:
  lake: {bucket: lake, prefix: raw/}
  partner: {directory: ./outgoing}
pipelines:
  claims:
    route: {customer: acme, key: ["inbound/**/*.csv", "inbound/*.gz"], type: text/*, when: "file.size > 0"}
    retry: {tries: 5, base_s: 0.5}
    steps:
      - unzip
      - {uses: costly, checkpoint: false}
      - {uses: note, checkpoint: true}
      - uses: send
        name: to-lake
        when: "steps.unzip.bytes > 3"
        with: {to: lake, only: [x], folder: tmp}
  rest:
    steps: [note]
"""


def test_an_empty_file_is_all_defaults(load: Load) -> None:
    found = load("")
    assert found.data == Path("/etc/wharf/wharf-data")
    assert (found.store, found.ledger, found.bucket, found.min_free) == ("local", "sqlite", "inbox", 256 << 20)
    assert (found.listeners, found.workers) == (Listeners(), Workers())
    assert (found.customers, found.destinations, found.pipelines) == ({}, {}, ())


def test_everything_that_is_written_is_read(load: Load) -> None:
    found = load(WHOLE)
    assert (found.store, found.ledger, found.bucket, found.min_free) == (
        "file:///srv/objects",
        "sqlite:///srv/ledger.db",
        "landing",
        1,
    )
    assert found.listeners.sftp
    assert (found.listeners.sftp.host, found.listeners.sftp.passwords, found.listeners.sftp.idle_s) == (
        "0.0.0.0",
        False,
        5.0,
    )
    assert found.workers == Workers(count=3, lease_s=2.0, batch=1)
    assert found.customers == {"acme": Customer(weight=2.0), "other": Customer()}
    assert found.destinations["lake"] == Destination(bucket="lake", prefix="raw/")
    claims, rest = found.pipelines
    assert (claims.name, claims.route.customer, claims.route.type) == ("claims", ("acme",), ("text/*",))
    assert (claims.retry.tries, claims.retry.base_s, claims.retry.cap_s) == (5, 0.5, 900.0)
    assert [(step.name, step.uses, step.version, step.checkpoint) for step in claims.steps] == [
        ("unzip", "unzip", "1", False),
        ("costly", "costly", "1", False),
        ("note", "note", "1", True),
        ("to-lake", "send", "1", False),
    ]
    assert rest.route.key == ()


def test_relative_paths_start_at_the_file(load: Load) -> None:
    found = load(WHOLE)
    assert found.path == Path("/etc/wharf/wharf.yaml")
    assert found.data == Path("/etc/wharf/data")
    assert found.listeners.sftp
    assert found.listeners.sftp.host_keys == (Path("/etc/wharf/keys/host"),)
    assert found.destinations["partner"].directory == Path("/etc/wharf/outgoing")
    assert found.pipelines[0].steps[3].options.folder == Path("/etc/wharf/tmp")
    assert load("data: /srv/data").data == Path("/srv/data")


def test_conditions_are_ready_to_be_asked(load: Load) -> None:
    claims, rest = load(WHOLE).pipelines
    assert claims.accepts({"file": {"size": 1}})
    assert not claims.accepts({"file": {"size": 0}})
    assert rest.accepts({})
    when = claims.steps[3].when
    assert when
    assert when({"steps": {"unzip": {"bytes": 4}}})
    assert claims.steps[0].when is None


def test_json_says_the_same_as_yaml(load: Load) -> None:
    text = json.dumps(
        {"customers": {"acme": None}, "pipelines": {"p": {"route": {"customer": "acme"}, "steps": ["note"]}}},
        indent="\t",
    )
    assert load(text) == load(
        "customers: {acme: }\npipelines:\n  p: {route: {customer: [acme]}, steps: [{uses: note}]}"
    )


def test_a_listener_can_be_left_out(load: Load) -> None:
    assert load("listeners: {sftp: null}").listeners.sftp is None


def test_a_section_with_nothing_in_it_counts_as_left_out(load: Load) -> None:
    assert load("data:\nlisteners:\ncustomers:\n#  acme: {}\npipelines:\n") == load("")


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(mistakes: Callable[..., list[str]]) -> None:
    told = mistakes("""\
data: 3
bukcet: x
listeners: {sftp: {host: 127.0.0.1, prot: 2222, port: 70000}}
workers: {count: "2", lease_s: 0}
customers: {acme: {weight: no}, "b c": }
destinations:
  both: {bucket: both, directory: x}
  none: {prefix: x}
  up: {bucket: up, prefix: ../x/}
pipelines:
  claims:
    route: {customer: [acne, "a*"], key: ["inbound/[**/*.csv", 3], when: "file.sise > 0"}
    retry: {tries: true}
    steps:
      - unzp
      - {uses: unzip, with: {fast: true}}
      - uses: send
        nme: to-lake
        when: "steps.unzip.byte exists"
        with: {to: bth, level: 10, mode: slow, speed: 0, only: x, limits: {ratio: .inf}}
      - uses: send
      - {name: x}
      - {uses: send, name: d.3, with: {to: both, level: 4, mode: small}}
      - uses: zip
        with: 3
      - [note]
  b:
  c: {}
  d: {steps: []}
  e: {steps: note}
  f: {steps: [note, note]}
  g: {route: {when: "steps.note exists"}, steps: [{uses: note, when: "steps.unzip exists"}]}
  h: {route: {type: gzip}, steps: [note]}
""")
    assert told == [
        "wharf.yaml:1:7: data: expected a path, such as /var/lib/wharfinger, found the number 3; quotes make it text",
        "wharf.yaml:2:1: bukcet: there is no such key; did you mean 'bucket'?",
        "wharf.yaml:3:37: listeners.sftp.prot: there is no such key; did you mean 'port'?",
        "wharf.yaml:3:55: listeners.sftp.port: expected a whole number from 0 to 65535, such as 2222, found the number 70000",
        "wharf.yaml:4:18: workers.count: expected a whole number from 0 to 256, such as 4, found the text '2'",
        "wharf.yaml:4:32: workers.lease_s: expected a number above 0, in s, found the number 0",
        "wharf.yaml:5:28: customers.acme.weight: expected a number above 0 and at most 1000, found the text 'no'",
        "wharf.yaml:5:33: customers.'b c': 'b c' is no name; expected a name of at most 64 letters, digits, '.', '_' and '-'",
        "wharf.yaml:7:9: destinations.both: a destination has either a 'bucket' or a 'directory', not both",
        "wharf.yaml:8:9: destinations.none: a destination has either a 'bucket' or a 'directory'",
        "wharf.yaml:9:7: destinations.up: the prefix '../x/' has a part '.' or '..'",
        "wharf.yaml:12:23: pipelines.claims.route.customer: no customer 'acne'; did you mean 'acme'?",
        "wharf.yaml:12:43: pipelines.claims.route.key[0]: '[' at character 9 of 'inbound/[**/*.csv' is not closed; '[[]' is a bracket",
        "wharf.yaml:12:64: pipelines.claims.route.key[1]: expected text, found the number 3; quotes make it text",
        "wharf.yaml:12:74: pipelines.claims.route.when: column 1: no name 'file.sise'; did you mean 'file.size'?",
        "    file.sise > 0",
        "    ^",
        "wharf.yaml:13:20: pipelines.claims.retry.tries: expected a whole number from 1 to 100, found true",
        "wharf.yaml:15:9: pipelines.claims.steps[0]: no step 'unzp'; did you mean 'unzip'?",
        "wharf.yaml:16:30: pipelines.claims.steps[1].with.fast: there is no such key; there is none",
        "wharf.yaml:18:9: pipelines.claims.steps[2].nme: there is no such key; did you mean 'name'?",
        "wharf.yaml:19:15: pipelines.claims.steps[2].when: column 1: step 'unzip' states no 'byte'; did you mean 'bytes'?",
        "    steps.unzip.byte exists",
        "    ^",
        "wharf.yaml:20:32: pipelines.claims.steps[2].with.level: expected a whole number from 1 to 9, found the number 10",
        "wharf.yaml:20:42: pipelines.claims.steps[2].with.mode: expected 'fast' or 'small', found the text 'slow'",
        "wharf.yaml:20:55: pipelines.claims.steps[2].with.speed: expected a number above 0, in MB/s, found the number 0",
        "wharf.yaml:20:64: pipelines.claims.steps[2].with.only: expected a list of texts, found the text 'x'",
        "wharf.yaml:20:83: pipelines.claims.steps[2].with.limits.ratio: expected a whole number of at least 1, found the number inf",
        "wharf.yaml:21:9: pipelines.claims.steps[3].with.to: is missing; expected text, such as lake",
        "wharf.yaml:21:9: pipelines.claims.steps[3].name: an earlier step is called 'send' already; give this one a `name` of its own",
        "wharf.yaml:22:9: pipelines.claims.steps[4]: a step has exactly one of `uses`, `pipeline`, `parallel`, `choose`, `copies`",
        "wharf.yaml:23:28: pipelines.claims.steps[5].name: expected a name of at most 64 letters, digits, '_' and '-', "
        "such as to-lake, found the text 'd.3'",
        "wharf.yaml:23:39: pipelines.claims.steps[5].with: mode 'small' needs a level of 5 or more",
        "wharf.yaml:24:15: pipelines.claims.steps[6].uses: no step 'zip'; did you mean 'unzip'?",
        'wharf.yaml:25:15: pipelines.claims.steps[6].with: expected a mapping or null, such as {"to": "partner"}, found the number 3',
        "wharf.yaml:26:9: pipelines.claims.steps[7]: expected text or a mapping, found a list",
        "wharf.yaml:27:5: pipelines.b: expected a mapping, found nothing",
        "wharf.yaml:28:6: pipelines.c.steps: is missing; expected a list with at least 1 in it",
        "wharf.yaml:29:14: pipelines.d.steps: expected a list with at least 1 in it, found an empty list",
        "wharf.yaml:30:14: pipelines.e.steps: expected a list with at least 1 in it, found the text 'note'",
        "wharf.yaml:31:21: pipelines.f.steps[1].name: an earlier step is called 'note' already; give this one a `name` of its own",
        "wharf.yaml:32:21: pipelines.g.route.when: column 1: no earlier step 'note'; there is none",
        "    steps.note exists",
        "    ^",
        "wharf.yaml:32:70: pipelines.g.steps[0].when: column 1: no earlier step 'unzip'; there is none",
        "    steps.unzip exists",
        "    ^",
        "wharf.yaml:33:14: pipelines.h.route: 'gzip' fits no media type: each has a / in it, such as application/gzip",
    ]


def test_the_bucket_of_checkpoints_is_no_place_for_files(mistakes: Callable[..., list[str]]) -> None:
    fault = "the bucket 'checkpoints' is wharfinger's own: what lies there is removed"
    found = mistakes("bucket: checkpoints\ndestinations:\n  lake: {bucket: checkpoints}\n")
    assert [line.partition(": ")[2] for line in found] == [f"bucket: {fault}", f"destinations.lake.bucket: {fault}"]


def test_the_answer_says_what_to_do_next(load: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        load("x: 1")
    assert caught.value.code == "CONFIG_INVALID"
    assert caught.value.fix == "edit /etc/wharf/wharf.yaml, then run `wharf check`"


def test_unknown_destinations_are_told_where_they_are_named(mistakes: Callable[..., list[str]]) -> None:
    destinations = "destinations: {lake: {bucket: lake}}\n"
    assert mistakes(destinations + "pipelines: {p: {steps: [{uses: send, with: {level: 3, to: laek}}]}}") == [
        "wharf.yaml:2:59: pipelines.p.steps[0].with.to: no destination 'laek'; did you mean 'lake'?"
    ]
    assert mistakes("pipelines: {p: {steps: [{uses: send, with: {to: lake}}]}}") == [
        "wharf.yaml:1:49: pipelines.p.steps[0].with.to: no destination 'lake'; there is none"
    ]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (
            "[]",
            "1:48: pipelines.p.steps[0].with.to: expected text or a list of texts with at least 1 in it, such as lake, found an empty list",
        ),
        ("[a, 3]", "1:52: pipelines.p.steps[0].with.to[1]: expected text, found the number 3; quotes make it text"),
        (
            "{}",
            "1:48: pipelines.p.steps[0].with.to: expected text or a list of texts with at least 1 in it, such as lake, found a mapping",
        ),
    ],
)
def test_of_several_forms_the_one_that_came_furthest_is_told(
    value: str, why: str, mistakes: Callable[..., list[str]]
) -> None:
    assert mistakes("pipelines: {p: {steps: [{uses: fan, with: {to: VALUE}}]}}".replace("VALUE", value)) == [
        f"wharf.yaml:{why}"
    ]


@pytest.mark.parametrize(("text", "kind"), [("- a", "a list"), ("text", "the text 'text'"), ("3", "the number 3")])
def test_a_file_that_is_no_mapping_is_refused(text: str, kind: str, mistakes: Callable[..., list[str]]) -> None:
    assert mistakes(text) == [f"wharf.yaml:1:1: expected a mapping, such as `data: ./wharf-data`, found {kind}"]


def test_after_fifty_mistakes_the_rest_is_not_looked_for(mistakes: Callable[..., list[str]]) -> None:
    told = mistakes("\n".join(f"key{n}: 1" for n in range(99)))
    assert len(told) == 51
    assert told[-1] == "    wharf.yaml: more than this was not looked for"


def test_what_is_written_cannot_break_the_lines_of_the_answer(mistakes: Callable[..., list[str]]) -> None:
    told = mistakes('{"a\\nb\\u001b[31m": 1, "data": 3, "bucket": "x\\ny", "store": ["' + "y" * 1000 + '"]}')
    assert len(told) == 4
    assert all(line.isprintable() and len(line) < 250 for line in told)


def test_a_step_that_cannot_be_used_is_told_in_its_place() -> None:
    class Broken(dict[str, Step]):
        def __getitem__(self, name: str) -> Step:
            raise ConfigError(f"the step '{name}' cannot be imported", fix="repair it")

    with pytest.raises(
        ConfigError, match=r"^wharf.yaml:1:25: pipelines.p.steps\[0\]: the step 'note' cannot be imported; repair it$"
    ):
        config.load("pipelines: {p: {steps: [note]}}", Broken(STEPS), path=Path("wharf.yaml"), environ={})


def test_a_file_is_read(tmp_path: Path, steps: Mapping[str, Step]) -> None:
    path = tmp_path / "wharf.yaml"
    path.write_bytes("\ufeff# é\nbucket: x\r\n".encode())
    found = config.read(path, steps, {"WHARF_DATA": "/x"})
    assert (found.bucket, found.data, found.path) == ("x", Path("/x"), path)


def test_a_file_by_a_relative_name_has_settings_with_whole_paths(
    tmp_path: Path, steps: Mapping[str, Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("wharf.yaml").touch()
    assert config.read(Path("wharf.yaml"), steps, {}).data == tmp_path / "wharf-data"


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda _: None, "there is no such file"),
        (lambda path: path.mkdir(), "cannot be read: Is a directory"),
        (lambda path: path.write_bytes(b"a: \xff"), "byte 4 is no UTF-8"),
        (lambda path: path.write_bytes("a: 1".encode("utf-16")), "byte 1 is no UTF-8"),
        (lambda path: path.symlink_to("/dev/zero"), "has at most 1,048,576 characters"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(
    make: Callable[[Path], object], why: str, tmp_path: Path, steps: Mapping[str, Step]
) -> None:
    make(tmp_path / "wharf.yaml")
    with pytest.raises(ConfigError, match=why) as caught:
        config.read(tmp_path / "wharf.yaml", steps, {})
    assert caught.value.fix
    assert "environment" not in caught.value.fix


keys = st.sampled_from([
    "data", "listeners", "sftp", "port", "customers", "acme", "destinations", "bucket", "directory", "pipelines", "p", "route",
    "customer", "key", "when", "retry", "steps", "uses", "name", "with", "to", "checkpoint", "only", "limits",
])  # fmt: skip
scalars = st.sampled_from(
    ["note", "send", "unzip", "lake", "acme", "a*[", "file.size > 1", "steps.note exists", "", 1, 0, 1.5, True, None]
)
trees = st.recursive(
    scalars | st.text(max_size=5), lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5)
)


@given(
    st.text(max_size=80)
    | st.dictionaries(keys, trees).map(json.dumps)
    | st.dictionaries(keys, trees).map(lambda t: "---\n" + json.dumps(t))
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_settings_or_a_configuration_error(load: Load, text: str) -> None:
    try:
        load(text)
    except ConfigError as error:
        assert error.fix  # noqa: PT017


steps_of = st.lists(
    st.sampled_from(["note", "unzip"])
    | st.fixed_dictionaries(
        {"uses": st.sampled_from(["note", "unzip", "send", "costly"])},
        optional={
            "name": st.sampled_from(["a", "b", "c"]),
            "when": st.sampled_from(["true", "steps.a exists", "steps.unzip.bytes > 1"]),
            "with": st.none()
            | st.fixed_dictionaries({"to": st.sampled_from(["lake", "sea"])}, optional={"level": st.integers(0, 10)}),
        },
    ),
    min_size=1,
    max_size=4,
)


@given(st.dictionaries(st.sampled_from(["p", "q"]), st.fixed_dictionaries({"steps": steps_of}), min_size=1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_near_misses_are_settings_or_a_configuration_error(load: Load, pipelines: object) -> None:
    text = json.dumps({"destinations": {"lake": {"bucket": "lake"}}, "pipelines": pipelines})
    try:
        assert load(text) == load("---\n" + text)
    except ConfigError as error:
        assert str(error).startswith("wharf.yaml:1:")  # noqa: PT017


def test_a_large_configuration_is_read_in_bounded_time(load: Load) -> None:
    customers = "".join(f"  c{n}: {{weight: 2}}\n" for n in range(5000))
    pipelines = "".join(f"  p{n}: {{route: {{customer: c{n}}}, steps: [unzip, note]}}\n" for n in range(500))
    started = time.process_time()
    assert len(load(f"customers:\n{customers}pipelines:\n{pipelines}").pipelines) == 500
    assert time.process_time() - started < 5


def test_many_unknown_words_are_answered_in_bounded_time(mistakes: Callable[..., list[str]]) -> None:
    customers = "".join(f"  customer{n}: {{}}\n" for n in range(5000))
    pipelines = "".join(f"  p{n}: {{route: {{customer: custmer{n}x}}, steps: [note]}}\n" for n in range(2000))
    started = time.process_time()
    assert len(mistakes(f"customers:\n{customers}pipelines:\n{pipelines}")) == 51
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("order: [{customer: acmee}]", "order[0].customer: no customer 'acmee'; did you mean 'acme'?"),
        ("order: [{customer: [acme, acmee]}]", "order[0].customer: no customer 'acmee'"),
        (
            "pipelines: {p: {route: {when: file.size > 1 and member.path exists}, steps: [checksum]}}",
            "pipelines.p.route.when: column 19: a route knows no member",
        ),
        (
            "destinations: {d: {bucket: b}}\npipelines: {p: {steps: [{uses: deliver, with: {to: [d, d]}}]}}",
            "a destination is named twice",
        ),
    ],
)
def test_slips_that_would_be_met_by_silence(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(f"customers: {{acme: {{}}}}\n{text}\n", Registry(), path=Path("/srv/wharf.yaml"), environ={})
    assert said in str(caught.value)


def test_what_fits_none_yet_may_be_a_glob() -> None:
    text = "customers: {acme: {}}\norder: [{customer: 'ac*'}]\nretention: {r: {customer: gone, pipeline: gone, failed_days: 1}}\n"
    assert config.load(text, Registry(), path=Path("/srv/wharf.yaml"), environ={}).order
