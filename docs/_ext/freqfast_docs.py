"""What the documentation takes from the code: the command line, the records in files, links to names in docstrings.

- ``{command-line}``: every command with its arguments and options, from the Typer application.
- ``{record} PACKAGE CLASS``: the keys of a record, from the dataclass of this name somewhere in the package.
- A name in a docstring links to where the reference documents it, under whatever path it was written.
- Pages are read in an order that gives all processes as much to execute.
- Mathematics becomes MathML when the site is built, so that it needs neither a network nor a script.
"""

import collections.abc
import dataclasses
import importlib
import inspect
import pkgutil
import re
import types
import typing
from pathlib import Path
from typing import Any

import numpy as np
from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

# The command line


class CommandLine(SphinxDirective):
    """Every command of the application: its usage, help, and table of options; before them what many share."""

    def run(self) -> list[nodes.Node]:
        """A section for what is shared, and one for each command."""
        import typer
        from freqfast.cli.main import app

        group = typer.main.get_command(app)
        contexts = [command.make_context(name, [], resilient_parsing=True) for name, command in group.commands.items()]
        parameters = [parameter for context in contexts for parameter in context.command.params]
        counts = collections.Counter((parameter_name(each), parameter_text(each)) for each in parameters)
        shared = {name: text for (name, text), times in counts.items() if times >= SHARED}
        rows = [*shared.items()]
        parts = ["## What many commands share", table(("argument or option", ""), rows)]
        parts += [describe_command(context, shared) for context in contexts]
        return self.parse_text_to_nodes("\n\n".join(parts), allow_section_headings=True)


SHARED = 4  # commands that document a parameter alike: then it is described once


def describe_command(context: Any, shared: collections.abc.Mapping[str, str]) -> str:
    """A command as Markdown: a section with its usage, help, tables of what is its own, and names of what is shared."""
    command, name = context.command, context.info_name
    usage = " ".join(("freqfast", name, *command.collect_usage_pieces(context)))
    examples = "\n".join(line.strip() for line in command.epilog.splitlines() if line.startswith("  "))
    parts = [f"## freqfast {name}", f"```text\n{usage}\n```", escaped(command.help), f"```sh\n{examples}\n```"]
    panels: dict[str, list[tuple[str, str]]] = {}
    also: list[str] = []
    for parameter in command.params:
        named, text = parameter_name(parameter), parameter_text(parameter)
        if named in shared and text.startswith(shared[named]):
            rest = text.removeprefix(shared[named]).strip()
            also.append(named + (f" ({rest})" if rest else ""))
            continue
        default = "Arguments" if parameter.param_type_name == "argument" else "Options"
        panels.setdefault(getattr(parameter, "rich_help_panel", None) or default, []).append((named, text))
    parts += [table((title, ""), rows) for title, rows in panels.items()]
    link = "[What many commands share](#what-many-commands-share)"
    return "\n\n".join([*parts, *([f"{link}: {', '.join(also)}"] if also else [])])


def parameter_name(parameter: Any) -> str:
    """An argument's name, or an option's with what it takes."""
    if parameter.param_type_name == "argument":
        return code(parameter.metavar)
    takes = "" if parameter.is_flag else f" {parameter.metavar}"
    return ", ".join(code(name + takes) for name in parameter.opts)


def parameter_text(parameter: Any) -> str:
    """An option's help with its default, if that says anything."""
    default = parameter.default
    shown = isinstance(default, (int, float, str)) and not isinstance(default, bool) and default != ""
    return escaped(parameter.help) + (f" Default: {code(default)}." if shown else "")


# Records


class Record(SphinxDirective):
    """The keys of a record: name, what kind of value, and meaning, from a dataclass and its docstring."""

    required_arguments = 2

    def run(self) -> list[nodes.Node]:
        """A table with a row for each key."""
        package, name = self.arguments
        kind = find_class(package, name)
        meanings: dict[str, str] = {}
        for base in reversed(kind.__mro__[:-1]):
            meanings |= described(inspect.cleandoc(base.__doc__ or ""))
        hints = typing.get_type_hints(kind, include_extras=True)
        rows = []
        for field in dataclasses.fields(kind):
            key = alias(hints[field.name]) or field.name
            meaning = meanings.get(field.name) or constant_text(hints[field.name])
            rows.append((code(key), value_kind(hints[field.name]) + default_text(field), meaning))
        return self.parse_text_to_nodes(table(("key", "value", "meaning"), rows))


def default_text(field: dataclasses.Field[Any]) -> str:
    """What holds for a key that a file leaves out; nothing if it must be there, as the schema always."""
    needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    if needed or field.name == "schema":
        return ""
    plain = isinstance(field.default, (int, float, str)) and field.default != ""
    return f", {code(field.default)} if absent" if plain else ", may be absent"


def find_class(package: str, name: str) -> type:
    """The dataclass of a name that a package, or a module in it, defines.

    Raises:
        LookupError: If there is none.
    """
    root = importlib.import_module(package)
    inside = pkgutil.walk_packages(getattr(root, "__path__", []), f"{package}.")
    for module in (package, *sorted(found.name for found in inside)):
        found = vars(importlib.import_module(module)).get(name)
        if isinstance(found, type) and dataclasses.is_dataclass(found):
            return found
    raise LookupError(f"{package} has no dataclass {name}")


def described(docstring: str) -> dict[str, str]:
    """The meanings of names in a Google docstring's Args and Attributes."""
    meanings: dict[str, str] = {}
    inside, names = False, []
    for line in docstring.splitlines():
        if re.fullmatch(r"\w[\w ]*:", line):
            inside, names = line in ("Args:", "Attributes:"), []
        elif inside and (entry := re.fullmatch(r"    ([\w, ]+): (.*)", line)):
            names = entry[1].split(", ")
            meanings.update(dict.fromkeys(names, entry[2]))
        elif inside and names and line.strip():
            meanings.update({name: f"{meanings[name]} {line.strip()}" for name in names})
    return meanings


def value_kind(hint: Any) -> str:
    """What TOML or JSON hold for a type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return value_kind(arguments[0])
    if origin in (typing.Union, types.UnionType):
        kinds = [value_kind(one) for one in arguments if one is not type(None)]
        return " or ".join(dict.fromkeys(kinds)) + (" or null" if type(None) in arguments else "")
    if origin is typing.Literal:
        return " or ".join(code(repr(value).replace("'", '"')) for value in arguments)
    kind = origin or hint
    if kind is np.ndarray or (isinstance(kind, type) and issubclass(kind, (tuple, list, set))):
        return "list"
    if isinstance(kind, type) and (dataclasses.is_dataclass(kind) or issubclass(kind, collections.abc.Mapping)):
        return "table"
    names = {bool: "true or false", int: "integer", float: "number", str: "text", Path: "text", bytes: "text (base64)"}
    return names.get(kind, "any value")


def alias(hint: Any) -> str | None:
    """The name that a field has in a file, where that is another one."""
    return next((name for extra in getattr(hint, "__metadata__", ()) if (name := getattr(extra, "alias", None))), None)


def constant_text(hint: Any) -> str:
    """The meaning of a field that has one possible value."""
    return "The form of the file." if typing.get_origin(hint) is typing.Literal else ""


# Markdown


def escaped(text: str) -> str:
    """A text that is no HTML."""
    return text.replace("<", "\\<")


def code(value: object) -> str:
    """A value as inline code."""
    return f"`{value}`"


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table; bars inside cells are escaped."""
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in line) + " |" for line in lines
    )


# Order


def spread_pages(app: Sphinx, env: Any, docnames: list[str]) -> None:
    """Spread the tutorials, which take longest, over the list: each process of Sphinx reads a part of it."""
    docnames[:] = [name for start in range(8) for name in docnames[start::8]]


# References


def resolve(app: Sphinx, env: Any, node: Any, contnode: nodes.Element) -> nodes.Node | None:
    """Link a Python name to the object of the same last name, wherever the reference documents it."""
    if node.get("refdomain") != "py":
        return None
    objects = env.get_domain("py").objects
    name = node["reftarget"].rpartition(".")[2]
    kinds = ("class", "function", "exception")
    places = [place for place, entry in objects.items() if place.rpartition(".")[2] == name and entry.objtype in kinds]
    if places:
        place = min(places, key=len)
        entry = objects[place]
        return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, contnode, place)
    generated = node["refdoc"].startswith("reference/python/") and not node["refdoc"].endswith("/index")
    ours = "refexplicit" in node and node["reftype"] != "obj" and node["reftarget"].startswith("freqfast")
    # Docstrings and annotations name parameters, modules inside a package and other projects too.
    return None if ours and not generated else contnode


def shorten_annotations(app: Sphinx, what: str, name: str, obj: object, options: Any, *signature: str | None) -> Any:
    """Leave what pydantic checks out of a signature and of what is returned."""
    return tuple(plain_annotations(text) for text in signature)


def skip_handlers(app: Sphinx, what: str, name: str, obj: object, skip: bool, options: Any) -> bool | None:
    """Leave fastai's events out: what a callback does is in its description."""
    return True if re.match("(before|after)_", name) and "callbacks" in getattr(obj, "__module__", "") else None


def plain_annotations(text: str | None) -> str | None:
    """``Annotated[int, Field(...)]`` as ``int``, wherever a text has it."""
    word = "Annotated["
    while text and word in text:
        start = text.index(word)
        depth, comma, end = 1, None, start + len(word)
        while depth:
            letter = text[end]
            depth += (letter in "[(") - (letter in "])")
            if letter == "," and depth == 1 and comma is None:
                comma = end
            end += 1
        text = text[:start] + text[start + len(word) : comma or end - 1] + text[end:]
    return text


# Mathematics


def visit_math(translator: Any, node: nodes.math) -> None:
    """Inline mathematics."""
    translator.body.append(tex2mathml(node.astext(), as_block=False))
    raise nodes.SkipNode


def visit_math_block(translator: Any, node: nodes.math_block) -> None:
    """Mathematics on a line of its own."""
    translator.body.append(tex2mathml(node.astext(), as_block=True))
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives, the links and the renderer of mathematics."""
    app.add_directive("command-line", CommandLine)
    app.add_directive("record", Record)
    app.connect("env-before-read-docs", spread_pages)
    app.connect("missing-reference", resolve)
    app.connect("autodoc-process-signature", shorten_annotations)
    app.connect("autodoc-skip-member", skip_handlers)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
