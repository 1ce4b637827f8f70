"""What makes a class an estimator to scikit-learn (Pipeline, clone, notebook view), without importing it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from stream_infomax.learning.rows import Floats, Names, check_names, matrix


class Estimator:
    """Parameters by name, taken from the signature of `__init__`, which stores each under its own name."""

    n_features_in_: int
    feature_names_in_: Names

    @classmethod
    def _parameter_names(cls) -> list[str]:
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return every parameter of `__init__` with its value."""
        return {name: getattr(self, name) for name in self._parameter_names()}

    def set_params(self, **params: Any) -> Self:
        """Set parameters; they count from the next fresh start on.

        Raises
        ------
        ValueError
            For an unknown name; nothing is set then.
        """
        names = self._parameter_names()
        for name in params:
            if name not in names:
                raise ValueError(f"unknown parameter {name!r} of {type(self).__name__}; accepted are {names}")
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self).__init__).parameters
        changed = [f"{k}={v!r}" for k, v in self.get_params().items() if v != defaults[k].default]
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_tags__(self) -> Any:
        """Return the tags for scikit-learn, which asks for them and so is there."""
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            input_tags=InputTags(allow_nan=True),
        )

    def _rows(self, X: Any, *, fresh: bool) -> Floats:
        """Return X as a matrix of floats; where this is no fresh start, of the width and the names that are known."""
        if not fresh:
            check_names(getattr(self, "feature_names_in_", None), X, type(self).__name__)
        rows = matrix(X)
        if not fresh and rows.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {rows.shape[1]} features, but {type(self).__name__} is expecting {self.n_features_in_} "
                "features as input"
            )
        return rows

    def _know(self, n_features: int, names: Names | None) -> None:
        """Remember the width of rows and, where they came as a table, the names of its columns."""
        vars(self).pop("feature_names_in_", None)
        self.n_features_in_ = n_features
        if names is not None:
            self.feature_names_in_ = names

    @contextmanager
    def _as_before_where_refused(self) -> Iterator[None]:
        """Take back what was put in place of attributes, where something is raised."""
        before = vars(self).copy()
        try:
            yield
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise
