"""Classes whose keywords come from a record of settings: the reference shows them as Python does at run time."""

from __future__ import annotations

import inspect
import re
import textwrap
from importlib import import_module
from typing import Any

import griffe

KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: griffe.ParameterKind.positional_only,
    inspect.Parameter.POSITIONAL_OR_KEYWORD: griffe.ParameterKind.positional_or_keyword,
    inspect.Parameter.VAR_POSITIONAL: griffe.ParameterKind.var_positional,
    inspect.Parameter.KEYWORD_ONLY: griffe.ParameterKind.keyword_only,
    inspect.Parameter.VAR_KEYWORD: griffe.ParameterKind.var_keyword,
}


# Lines of a session in Python, outside a section of examples.
SESSION = re.compile(r"(?:^ *(?:>>>|\.\.\.).*\n?)+", re.MULTILINE)


class Settings(griffe.Extension):
    """Takes docstring and signature of a class with settings from the class itself, and shows sessions as code."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Look at every docstring."""
        if obj.docstring is not None:
            text, heading, examples = obj.docstring.value.partition("Examples\n--------\n")
            text = SESSION.sub(lambda found: f"```pycon\n{textwrap.dedent(found[0]).rstrip()}\n```\n", text)
            obj.docstring.value = text + heading + examples

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Look at the class once its members are known."""
        decorators = [str(decorator.value) for decorator in cls.decorators]
        if not any("configured_by" in decorator for decorator in decorators):
            return
        actual = getattr(import_module(cls.module.path), cls.name)
        cls.docstring = griffe.Docstring(inspect.cleandoc(actual.__doc__ or ""), parent=cls)
        init = cls.members["__init__"]
        assert isinstance(init, griffe.Function)
        signature = inspect.signature(actual.__init__)
        init.parameters = griffe.Parameters(*(_parameter(parameter) for parameter in signature.parameters.values()))


def _parameter(parameter: inspect.Parameter) -> griffe.Parameter:
    annotation = None
    if parameter.annotation is not parameter.empty:
        annotation = (
            parameter.annotation
            if isinstance(parameter.annotation, str)
            else inspect.formatannotation(parameter.annotation).replace("typing.", "")
        )
    default = None if parameter.default is parameter.empty else repr(parameter.default)
    return griffe.Parameter(parameter.name, annotation=annotation, kind=KINDS[parameter.kind], default=default)
