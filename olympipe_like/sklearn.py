"""Estimators for scikit-learn that work on mini-batches: fitted in order, transforming in parallel.

Needs the extra ``sklearn``. They are ordinary estimators: clone them, search their parameters, put them into
scikit-learn's own `Pipeline`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any, Literal

from olympipe_like.pipeline import Pipeline

try:
    import numpy as np
    from scipy import sparse
    from sklearn.base import TransformerMixin, clone
    from sklearn.utils import _safe_indexing, get_tags
    from sklearn.utils.metaestimators import _BaseComposition
    from sklearn.utils.validation import (
        _num_samples,
        check_array,
        check_consistent_length,
        check_is_fitted,
        validate_data,
    )
except ImportError as error:
    raise ImportError(
        'olympipe_like.sklearn needs scikit-learn 1.6 or newer: pip install "olympipe-like[sklearn]"'
    ) from error

__all__ = ["StreamingFeatureUnion", "StreamingPipeline"]

Steps = Sequence[tuple[str, Any]]
Executor = Literal["process", "thread"]
_NO_STEP = ("passthrough", None)


class _Batches:
    """Consecutive rows of a data set, ``size`` at a time; at least one batch, be it an empty one."""

    def __init__(self, rows: Any, size: int) -> None:
        self._rows = rows
        self._size = size
        self._count: int = _num_samples(rows)

    def __len__(self) -> int:
        return max(-(-self._count // self._size), 1)

    def __iter__(self) -> Iterator[Any]:
        for number in range(len(self)):
            start = number * self._size
            yield _safe_indexing(self._rows, slice(start, min(start + self._size, self._count)))


def _rows_of(given: Any) -> Any:
    """Return a data set as something that rows can be cut from.

    Raises
    ------
    ValueError
        If it holds numbers, but no rows of them, or is an empty list.
    """
    rows = _indexable(given)
    if isinstance(rows, list | tuple) and not rows:
        raise ValueError("Found array with 0 sample(s); there must be a row at least")
    if isinstance(rows, np.ndarray) and rows.ndim == 1 and rows.dtype.kind in "biufc":
        check_array(rows)  # says it in words that are known
    return rows


def _indexable(given: Any) -> Any:
    if sparse.issparse(given):
        return given.tocsr()
    return np.asarray(given) if hasattr(given, "__array__") and not hasattr(given, "iloc") else given


def _below(batches: Sequence[Any]) -> Any:
    """Return batches as one, each below the one before."""
    first = batches[0]
    if len(batches) == 1:
        return first
    if sparse.issparse(first):
        return sparse.vstack(batches, format="csr")
    if hasattr(first, "iloc"):
        import pandas as pd

        return pd.concat(batches)
    return np.concatenate(batches)


def _beside(names: Sequence[str], blocks: Sequence[Any]) -> Any:
    """Return blocks of features, each of the transformer of that name, as one, each right of the one before."""
    counts = [_num_samples(block) for block in blocks]
    if len(set(counts)) > 1:
        found = ", ".join(f"{name!r} {count}" for name, count in zip(names, counts, strict=True))
        raise ValueError(f"StreamingFeatureUnion: transformers must return a row for each row of a batch: {found}")
    if any(map(sparse.issparse, blocks)):
        return sparse.hstack(blocks, format="csr")
    return np.hstack(blocks)


def _fit(step: Any, batches: Iterator[Any], targets: Iterator[Any] | None) -> None:
    """Fit a step on batches in order; on all of them at once if it cannot be fitted in parts."""
    if not hasattr(step, "partial_fit"):
        rows = _below(list(batches))
        step.fit(rows) if targets is None else step.fit(rows, _below(list(targets)))
        return
    for batch in batches:
        if targets is None:
            step.partial_fit(batch)
        else:
            step.partial_fit(batch, next(targets))


def _check_size(where: str, size: object) -> None:
    if isinstance(size, bool) or not isinstance(size, Integral):
        raise TypeError(f"{where}: batch_size must be a whole number, got {size!r}")
    if int(size) < 1:
        raise ValueError(f"{where}: batch_size must be >= 1, got {size}")


def _is_named(part: object) -> bool:
    return isinstance(part, list | tuple) and len(part) == 2 and isinstance(part[0], str)


class _Streaming(TransformerMixin, _BaseComposition):  # type: ignore[misc]  # scikit-learn has no types
    """What both estimators share: named parts, workers, and how batches flow."""

    batch_size: int
    n_workers: int | Mapping[str, int]
    executor: Executor
    _words: tuple[str | None, ...] = _NO_STEP  # what may stand in the place of a part

    @property
    @abstractmethod
    def _parts(self) -> Steps:
        """Its parts and their names."""

    def _check(self) -> None:
        """Refuse names and parts that cannot be used."""
        if not self._parts:
            raise ValueError(f"{type(self).__name__}: give at least one step")
        for pair in self._parts:
            if not _is_named(pair):
                wanted = f"{self._parts_name} must be a list of (name, transformer)"
                raise TypeError(f"{type(self).__name__}: {wanted}, got {pair!r} in it")
        names, parts = zip(*self._parts, strict=True)
        self._validate_names(names)
        for name, part in zip(names, parts, strict=True):
            if part not in self._words and not hasattr(part, "transform"):
                raise TypeError(
                    f"{type(self).__name__}: {name!r} must have transform, or be one of {self._words}; got {part!r}"
                )
        _check_size(type(self).__name__, self.batch_size)
        unknown = set(self.n_workers).difference(names) if isinstance(self.n_workers, Mapping) else ()
        if unknown:
            raise ValueError(
                f"{type(self).__name__}: n_workers is of {sorted(unknown)}, and the parts are {list(names)}"
            )

    def _workers(self, name: str) -> int:
        return self.n_workers.get(name, 1) if isinstance(self.n_workers, Mapping) else self.n_workers

    def _batches(self, rows: Any) -> Pipeline[Any]:
        return Pipeline(_Batches(rows, self.batch_size), name="batches")

    def _stage(self, pipe: Pipeline[Any], name: str, part: Any) -> Pipeline[Any]:
        """Return the pipeline with a stage for a fitted part."""
        if part in _NO_STEP:
            return pipe
        return pipe.task(part.transform, self._workers(name), executor=self.executor, name=name)

    def _targets(self, targets: Any) -> Iterator[Any] | None:
        return None if targets is None else iter(_Batches(_indexable(targets), self.batch_size))

    def _begin_fit(self, given: Any, targets: Any) -> Any:
        """Return the rows to fit on, if all can be used."""
        self._check()
        rows = self._taken(given, reset=True)
        check_consistent_length(rows, targets)
        return rows

    def _taken(self, given: Any, *, reset: bool) -> Any:
        """Return the rows; take note of the number and names of features, or compare. Parts look at the values."""
        rows = _rows_of(given)
        validate_data(self, rows, reset=reset, skip_check_array=True)
        return rows

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters; with ``deep`` those of the parts as well, as ``name__parameter``."""
        params: dict[str, Any] = self._get_params(self._parts_name, deep=deep)
        return params

    def set_params(self, **params: Any) -> _Streaming:
        """Set parameters, also of the parts."""
        self._set_params(self._parts_name, **params)
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        parts = [part for _, part in self._parts if part not in self._words]
        if parts:
            first = get_tags(parts[0])
            tags.input_tags = first.input_tags
            tags.input_tags.allow_nan = all(get_tags(part).input_tags.allow_nan for part in parts)
            tags.input_tags.sparse = all(get_tags(part).input_tags.sparse for part in parts)
            tags.target_tags.required = any(get_tags(part).target_tags.required for part in parts)
            tags.transformer_tags.preserves_dtype = []
        return tags


class StreamingPipeline(_Streaming):
    """Transformers one after the other, on mini-batches.

    Fitting goes step by step: the batches go through the steps fitted so far, in parallel, and then, in order, to the
    ``partial_fit`` of the next. A step without ``partial_fit`` is given all rows at once, so it needs memory for them.
    What is fitted are clones; ``steps`` stay as they are.

    Parameters
    ----------
    steps : list of (name, transformer)
        "passthrough" in the place of a transformer leaves batches as they are.
    batch_size : int, at least 1
        Rows of a batch.
    n_workers : int or mapping of name to int
        How many workers transform, for each step.
    executor : {"thread", "process"}
        Where they run. Threads suit steps that let go of the GIL, as numpy does; processes copy every batch.

    Attributes
    ----------
    steps_ : list of (name, fitted transformer)
    n_features_in_, feature_names_in_ :
        As of every estimator.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.preprocessing import MinMaxScaler, StandardScaler
    >>> from olympipe_like.sklearn import StreamingPipeline
    >>> pipe = StreamingPipeline([("scale", StandardScaler()), ("range", MinMaxScaler())], batch_size=2)
    >>> pipe.fit_transform(np.array([[0.0], [1.0], [4.0]])).ravel().tolist()
    [0.0, 0.25, 1.0]
    """

    _parts_name = "steps"

    def __init__(
        self,
        steps: Steps,
        *,
        batch_size: int = 256,
        n_workers: int | Mapping[str, int] = 1,
        executor: Executor = "thread",
    ) -> None:
        self.steps = steps
        self.batch_size = batch_size
        self.n_workers = n_workers
        self.executor = executor

    @property
    def _parts(self) -> Steps:
        return self.steps

    def fit(self, X: Any, y: Any = None) -> StreamingPipeline:
        """Fit clones of the steps on batches of the rows, one step after the other.

        Parameters
        ----------
        X : array, sparse matrix, data frame or list, one row a sample
        y : array, one value a sample, optional
            Given to each step beside its rows.
        """
        rows = self._begin_fit(X, y)
        fitted: list[tuple[str, Any]] = []
        for name, part in self.steps:
            own = part if part in _NO_STEP else clone(part)
            if part not in _NO_STEP:
                with self._through(rows, fitted).run(progress=False) as run:
                    _fit(own, iter(run), self._targets(y))
            fitted.append((name, own))
        self.steps_ = fitted
        return self

    def transform(self, X: Any) -> Any:
        """Return what the steps make of the rows."""
        check_is_fitted(self)
        rows = self._taken(X, reset=False)
        return _below(self._through(rows, self.steps_).wait_for_result(progress=False))

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """Return the names of the features that come out."""
        check_is_fitted(self)
        for _, part in self.steps_:
            if part not in _NO_STEP:
                input_features = part.get_feature_names_out(input_features)
        return input_features

    def _through(self, rows: Any, fitted: Steps) -> Pipeline[Any]:
        pipe = self._batches(rows)
        for name, part in fitted:
            pipe = self._stage(pipe, name, part)
        return pipe


class StreamingFeatureUnion(_Streaming):
    """Transformers side by side on the same mini-batches; their features are joined in their order.

    Each batch is given to the ``partial_fit`` of every transformer, in order; one without is given all rows at once.
    What is fitted are clones. Parameters are those of `StreamingPipeline`; here a transformer may also be "drop".

    Attributes
    ----------
    transformer_list_ : list of (name, fitted transformer)
    n_features_in_, feature_names_in_ :
        As of every estimator.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.preprocessing import MinMaxScaler, StandardScaler
    >>> from olympipe_like.sklearn import StreamingFeatureUnion
    >>> union = StreamingFeatureUnion([("scale", StandardScaler()), ("range", MinMaxScaler())], batch_size=2)
    >>> union.fit_transform(np.array([[0.0], [2.0]])).tolist()
    [[-1.0, 0.0], [1.0, 1.0]]
    """

    _parts_name = "transformer_list"
    _words = (*_NO_STEP, "drop")

    def __init__(
        self,
        transformer_list: Steps,
        *,
        batch_size: int = 256,
        n_workers: int | Mapping[str, int] = 1,
        executor: Executor = "thread",
    ) -> None:
        self.transformer_list = transformer_list
        self.batch_size = batch_size
        self.n_workers = n_workers
        self.executor = executor

    @property
    def _parts(self) -> Steps:
        return self.transformer_list

    def fit(self, X: Any, y: Any = None) -> StreamingFeatureUnion:
        """Fit clones of the transformers on batches of the rows; arguments as of `StreamingPipeline.fit`."""
        rows = self._begin_fit(X, y)
        fitted = []
        for name, part in self.transformer_list:
            own = part if part in self._words else clone(part)
            if own is not part:
                _fit(own, iter(_Batches(rows, self.batch_size)), self._targets(y))
            fitted.append((name, own))
        self.transformer_list_ = fitted
        return self

    def transform(self, X: Any) -> Any:
        """Return the features that the transformers make of the rows, side by side."""
        check_is_fitted(self)
        rows = self._taken(X, reset=False)
        used = [(name, part) for name, part in self.transformer_list_ if part != "drop"]
        if not used:
            return np.zeros((_num_samples(rows), 0))
        batches = self._batches(rows)
        legs = [self._stage(batches, name, part) for name, part in used]
        joined = legs[0].align(*legs[1:])
        names = [name for name, _ in used]
        return _below([_beside(names, blocks) for blocks in joined.run(executor=self.executor, progress=False)])

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """Return the names of the features that come out, each behind the name of its transformer."""
        check_is_fitted(self)
        names = []
        for name, part in self.transformer_list_:
            if part == "drop":
                continue
            own = input_features if part in _NO_STEP else part.get_feature_names_out(input_features)
            if own is None:
                own = getattr(self, "feature_names_in_", None)
            if own is None:
                own = [f"x{number}" for number in range(self.n_features_in_)]
            names += [f"{name}__{each}" for each in own]
        return np.asarray(names, dtype=object)
