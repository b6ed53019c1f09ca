"""Packages of other people, as an installation would leave them."""

import sys

import pytest


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a package that registers entry points: ``install(group, source, name="attribute", ...)``.

    Its module is called ``other_<group>``, its distribution ``other-<group>``, version 1.0, if no `module` is named. An
    attribute of "" is the module itself.
    """
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    modules = []

    def install(group, source, module=None, **entries):
        module = module or f"other_{group}"
        modules.append(module)
        information = site / f"{module}-1.0.dist-info"
        information.mkdir(parents=True)
        (site / f"{module}.py").write_text(source)
        (information / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {module.replace('_', '-')}\nVersion: 1.0\n"
        )
        lines = [f"{name} = {module}:{attribute}".rstrip(":") for name, attribute in entries.items()]
        (information / "entry_points.txt").write_text("\n".join([f"[freqfast.{group}]", *lines, ""]))

    yield install
    for module in modules:
        sys.modules.pop(module, None)
