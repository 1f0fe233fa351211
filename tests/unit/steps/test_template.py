from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from wharfinger.errors import Rejected
from wharfinger.steps import testkit
from wharfinger.steps.template import VARIABLES, Template, makes_key, makes_name


class File(io.BytesIO):
    """As much of a Reader as a template sees."""

    media_type, size, sha256, member = "text/csv", 0, "", ""

    def __init__(self, name: str = "orders.2024.csv.gz", key: str = "acme/in bound/orders.csv.gz") -> None:
        self.name = name
        self.arrival = testkit.arrival(key, at=1_735_689_599.0)  # 2024-12-31 23:59:59 UTC


MADE = {
    "plain": "plain",
    "{name}": "orders.2024.csv.gz",
    "{stem}|{suffix}": "orders.2024.csv|.gz",
    "{folder}/{name}": "acme/in bound/orders.2024.csv.gz",
    "{member}": "orders.2024.csv.gz",
    "{key}": "acme/in bound/orders.csv.gz",
    "{customer}-{user}": "acme-acme-erp",
    "{version}": testkit.VERSION,
    "{file_id}": File().arrival.file_id,
    "{sha256}": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "{date}": "2024-12-31",
    "{date:%Y/%m/%dT%H%M%S}": "2024/12/31T235959",
    "{date:%G-W%V}": "2025-W01",
    "{{{customer}}}": "{acme}",
    "{{name}}": "{name}",
}

MISTAKES = {
    "{nmae}": "no variable 'nmae'; did you mean 'name'?",
    "{sha265}": "no variable 'sha265'; did you mean 'sha256'?",
    "{x9}": "no variable 'x9'; there are: name, stem,",
    "{}": "no variable ''; there are:",
    "{name.__class__}": "no variable 'name.__class__'",
    "{name!r}": "no variable 'name!r'",
    "{name[0]}": "no variable 'name[0]'",
    "{name:>10}": "'{name:>10}': only 'date' takes a format; write '{name}'",
    "{date:%B}": "'{date:%B}': the format may have",
    "{date:%}": "'{date:%}': the format may have",
    "a{b": "'a{b' has a lone '{' at character 2; write '{{' for a brace",
    "a}": "'a}' has a lone '}' at character 2; write '}}' for a brace",
}


@pytest.mark.parametrize(
    ("member", "made"),
    [
        ("", "acme/in bound|orders.2024.csv.gz"),
        ("a.csv", "acme/in bound|a.csv"),
        ("2026/11/a.csv", "acme/in bound/2026/11|2026/11/a.csv"),
    ],
)
def test_a_member_of_an_archive_has_its_folder_there(member: str, made: str) -> None:
    source = File()
    source.member = member
    assert Template("{folder}|{member}").render(source) == made


@pytest.mark.parametrize(("text", "made"), MADE.items())
def test_template_makes_text(text: str, made: str) -> None:
    assert Template(text).render(File()) == made


@pytest.mark.parametrize(("text", "why"), MISTAKES.items())
def test_mistake_is_named_when_the_template_is_made(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        Template(text)


@pytest.mark.parametrize(
    ("name", "parts"), {".profile": ".profile|", "a": "a|", "a.": "a|.", "a.tar.gz": "a.tar|.gz"}.items()
)
def test_stem_and_suffix_part_at_the_last_dot(name: str, parts: str) -> None:
    assert Template("{stem}|{suffix}").render(File(name)) == parts


@given(st.text())
def test_name_is_never_read_as_a_template(name: str) -> None:
    assert Template("{name}").render(File(name)) == name


@given(st.text(alphabet="{}name:%Y!.[]0 date"))
def test_any_text_is_a_template_or_a_mistake(text: str) -> None:
    try:
        made = Template(text)
    except ValueError:
        return
    assert isinstance(made.render(File()), str)


@pytest.mark.parametrize("text", ["/{name}", "{folder}//{name}", "../{name}", "{name}/", "a\\{name}", ""])
def test_template_that_can_make_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"makes '.*', which "):
        makes_key(Template(text))


@pytest.mark.parametrize("text", ["{folder}/{name}", "{key}", "{date:%Y/%m}"])
def test_template_with_folders_makes_no_name(text: str) -> None:
    assert makes_key(Template(text)) == text
    with pytest.raises(ValueError, match="has a folder in it"):
        makes_name(Template(text))


def test_what_the_sender_chose_is_checked_when_it_is_put_in() -> None:
    with pytest.raises(Rejected, match="has a part"):
        Template("{folder}/{name}").key(File(".."))
    with pytest.raises(Rejected, match="has a folder"):
        Template("{name}").name(File("a/b"))
    unsigned = File()
    unsigned.arrival = testkit.arrival("acme/a.csv", user="")
    with pytest.raises(Rejected, match="has an empty part"):
        Template("by/{user}/{name}").key(unsigned)


def test_configuration_reads_and_writes_the_text() -> None:
    adapter = TypeAdapter(Template)
    made = adapter.validate_python("{stem}.bak")
    assert made.render(File()) == "orders.2024.csv.bak"
    assert adapter.dump_json(made) == b'"{stem}.bak"'
    assert adapter.json_schema() == {"type": "string"}


def test_every_variable_has_an_example_and_is_explained() -> None:
    assert all(variable.help and variable.example for variable in VARIABLES.values())
