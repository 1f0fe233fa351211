from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from wharfinger import __version__
from wharfinger.errors import ConfigError
from wharfinger.steps import BUILTIN, Step
from wharfinger.steps.registry import GROUP, Registry

GOOD = """
from dataclasses import dataclass
from wharfinger.steps import Output, Result, Step

@dataclass(frozen=True)
class Options:
    pass

def run(inputs, options, scratch):
    return Result([Output.unchanged(source) for source in inputs])

STEP = Step("ocr", "1", "Reads.", Options, run)
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of installed packages."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def install(site: Path, package: str, version: str, points: str, code: str = "") -> None:
    """What an installer leaves behind: the module, and the metadata that names its entry points."""
    module = package.replace("-", "_")
    (site / f"{module}.py").write_text(code)
    info = site / f"{module}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{points}\n")


def unusable(name: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        Registry()[name]
    assert caught.value.code == "STEP_UNUSABLE"
    assert caught.value.fix
    return caught.value


def test_builtin_steps_are_found() -> None:
    registry = Registry()
    assert set(BUILTIN) <= set(registry)
    for name in BUILTIN:
        assert registry[name].name == name
        assert registry.origin(name) == f"wharfinger {__version__}"


def test_names_are_known_without_importing_any_step() -> None:
    code = (
        "import sys; from wharfinger.steps.registry import Registry; r = Registry();"
        "assert 'deliver' in r and 'x' not in r and len(r) >= 5 and list(r);"
        "found = [m for m in sys.modules if m in ('wharfinger.steps.deliver', 'wharfinger.steps.decompress', 'isal')];"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_name_is_a_key_error() -> None:
    registry = Registry()
    assert "unzp" not in registry
    assert registry.get("unzp") is None
    for ask in (registry.__getitem__, registry.origin):
        with pytest.raises(KeyError):
            ask("unzp")


def test_installed_package_adds_a_step(site: Path) -> None:
    install(site, "acme-ocr", "1.2", "ocr = acme_ocr:STEP", GOOD)
    registry = Registry()
    assert "ocr" in list(registry)
    assert isinstance(registry["ocr"], Step)
    assert registry["ocr"] is registry["ocr"]
    assert registry.origin("ocr") == "acme-ocr 1.2"


def test_package_that_fails_to_import_is_named_with_its_reason(site: Path) -> None:
    install(site, "acme-broken", "1.0", "broken = acme_broken:STEP", "import no_such_module_here\n")
    error = unusable("broken")
    assert str(error) == (
        "the step 'broken' of acme-broken 1.0 cannot be imported from acme_broken:STEP: "
        "ModuleNotFoundError: No module named 'no_such_module_here'"
    )
    assert isinstance(error.__cause__, ModuleNotFoundError)


def test_broken_package_is_no_hindrance_to_other_steps(site: Path) -> None:
    install(site, "acme-worse", "1.0", "worse = acme_worse:STEP", "raise ValueError('first line\\nsecond')\n")
    assert Registry()["deliver"].name == "deliver"
    assert str(unusable("worse")).endswith("ValueError: first line")


def test_missing_attribute_is_named(site: Path) -> None:
    install(site, "acme-lacking", "1.0", "lacking = acme_lacking:STEP")
    assert "AttributeError" in str(unusable("lacking"))


def test_what_is_no_step_is_refused(site: Path) -> None:
    install(site, "acme-dict", "1.0", "thing = acme_dict:STEP", "STEP = {}\n")
    assert "acme_dict:STEP is a dict, not a Step" in str(unusable("thing"))


def test_step_must_bear_the_name_of_its_entry_point(site: Path) -> None:
    install(site, "acme-alias", "1.0", "scan = acme_alias:STEP", GOOD)
    assert "calls itself 'ocr'" in str(unusable("scan"))


def test_name_of_a_builtin_step_cannot_be_taken(site: Path) -> None:
    install(site, "acme-gzip", "1.0", "deliver = acme_gzip:STEP", GOOD)
    expected = f"several packages offer a step 'deliver': wharfinger {__version__} and acme-gzip 1.0"
    assert str(unusable("deliver")) == expected


def test_two_packages_cannot_offer_one_name(site: Path) -> None:
    install(site, "acme-one", "1.0", "same = acme_one:STEP", GOOD)
    install(site, "acme-two", "2.0", "same = acme_two:STEP", GOOD)
    assert "acme-one 1.0" in str(unusable("same"))
    assert "acme-two 2.0" in str(unusable("same"))
