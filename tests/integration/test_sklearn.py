"""The estimators for scikit-learn: its own checks, and what they do beyond those."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.decomposition import PCA, IncrementalPCA
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.pipeline import Pipeline as TheirPipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, MinMaxScaler, StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from olympipe_like.sklearn import StreamingFeatureUnion, StreamingPipeline
from tests import functions as f

DIGITS = load_digits().data


class Diary(TransformerMixin, BaseEstimator):
    """Notes the batches it is fitted with."""

    def partial_fit(self, X, y=None):
        self.batches_ = [*getattr(self, "batches_", []), (len(X), None if y is None else y.tolist())]
        return self

    def fit(self, X, y=None):
        raise AssertionError("has partial_fit")

    def transform(self, X):
        return X


class AtOnce(TransformerMixin, BaseEstimator):
    """Cannot be fitted in parts."""

    def fit(self, X, y=None):
        self.shape_ = np.shape(X)
        return self

    def transform(self, X):
        return X


class Meets(TransformerMixin, BaseEstimator):
    """Transforms only when two batches are at it at once."""

    def __init__(self, folder=None):
        self.folder = folder

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        mine = str(int(X[0, 0]))
        return [[f.meet(self.folder, mine, ["0", "1"])]]


CHECKED = {
    "pipeline": StreamingPipeline([("scale", StandardScaler()), ("range", MinMaxScaler())], batch_size=7, n_workers=2),
    "pipeline of a step without partial_fit": StreamingPipeline([("pca", PCA(n_components=1))], batch_size=7),
    "pipeline of one that may be sparse": StreamingPipeline([("scale", MaxAbsScaler())], batch_size=7),
    "union": StreamingFeatureUnion([("scale", StandardScaler()), ("pca", PCA(n_components=1))], batch_size=7),
    "union within a pipeline": StreamingPipeline(
        [("both", StreamingFeatureUnion([("a", StandardScaler()), ("b", "passthrough")])), ("range", MinMaxScaler())],
    ),
}


@pytest.mark.parametrize("which", CHECKED)
def test_scikit_learn_finds_nothing_wrong_with_a(which):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)  # checks of array libraries that are not installed
        results = check_estimator(CHECKED[which], on_fail=None)

    assert [result for result in results if result["status"] == "failed"] == []
    assert len(results) > 40


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_batches_are_fitted_in_order_and_give_what_they_give_at_once(executor):
    steps = [("scale", StandardScaler()), ("range", MinMaxScaler())]

    ours = StreamingPipeline(steps, batch_size=100, n_workers={"scale": 3}, executor=executor)
    made = ours.fit(DIGITS).transform(DIGITS)

    np.testing.assert_allclose(made, make_pipeline(StandardScaler(), MinMaxScaler()).fit_transform(DIGITS), atol=1e-9)
    assert not hasattr(steps[0][1], "mean_")  # clones were fitted
    assert ours.steps is steps


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_a_union_gives_what_theirs_gives(executor):
    parts = [("scale", MinMaxScaler()), ("drop", "drop"), ("plain", "passthrough"), ("best", SelectKBest(k=3))]
    target = load_digits().target
    kept = [part for part in parts if part[0] != "drop"]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constant pixels
        ours = StreamingFeatureUnion(parts, batch_size=100, n_workers=2, executor=executor).fit(DIGITS, target)
        theirs = FeatureUnion(kept).fit(DIGITS, target)

    np.testing.assert_allclose(ours.transform(DIGITS), theirs.transform(DIGITS))
    assert ours.get_feature_names_out().tolist() == theirs.get_feature_names_out().tolist()


def test_each_batch_is_given_once_with_its_targets_and_a_step_without_partial_fit_gets_all():
    pipe = StreamingPipeline([("diary", Diary()), ("at_once", AtOnce())], batch_size=4)

    pipe.fit(np.zeros((10, 2)), np.arange(10))

    (_, diary), (_, at_once) = pipe.steps_
    assert diary.batches_ == [(4, [0, 1, 2, 3]), (4, [4, 5, 6, 7]), (2, [8, 9])]
    assert at_once.shape_ == (10, 2)


def test_batches_are_transformed_at_the_same_time(tmp_path):
    pipe = StreamingPipeline([("meets", Meets(tmp_path))], batch_size=1, n_workers=2).fit(np.arange(2.0)[:, None])

    assert np.all(pipe.transform(np.arange(2.0)[:, None]))


def test_texts_become_sparse_rows():
    texts = ["a word", "two words", "and another word"] * 5
    pipe = StreamingPipeline([("hash", HashingVectorizer(n_features=32)), ("scale", MaxAbsScaler())], batch_size=4)

    made = pipe.fit_transform(texts)

    assert sparse.issparse(made)
    theirs = make_pipeline(HashingVectorizer(n_features=32), MaxAbsScaler()).fit_transform(texts)
    np.testing.assert_allclose(made.toarray(), theirs.toarray())
    union = StreamingFeatureUnion([("a", MaxAbsScaler()), ("b", "passthrough")], batch_size=4).fit(made)
    np.testing.assert_allclose(union.transform(made).toarray(), np.hstack([made.toarray()] * 2))


def test_frames_keep_their_columns_and_their_index():
    data = load_breast_cancer(as_frame=True).data.iloc[100:180, :3]
    pipe = StreamingPipeline([("scale", StandardScaler()), ("range", MinMaxScaler())], batch_size=32)

    made = pipe.set_output(transform="pandas").fit_transform(data)

    assert made.columns.tolist() == data.columns.tolist()
    assert made.index.tolist() == data.index.tolist()
    assert pipe.feature_names_in_.tolist() == data.columns.tolist()


def test_a_grid_search_within_their_pipeline_finds_the_best_parameters_of_a_part():
    data, target = load_breast_cancer(return_X_y=True)
    union = StreamingFeatureUnion([("scale", StandardScaler()), ("pca", IncrementalPCA(n_components=5))], batch_size=64)
    model = TheirPipeline(
        [
            ("features", StreamingPipeline([("scale", StandardScaler()), ("both", union)], batch_size=64)),
            ("classify", GaussianNB()),  # nothing to converge: BLAS libraries differ
        ]
    )
    grid = {"features__both__pca__n_components": [1, 3], "features__scale": [StandardScaler(), "passthrough"]}

    search = GridSearchCV(model, grid, cv=2).fit(data, target)

    assert len(search.cv_results_["params"]) == 4
    assert search.best_score_ > 0.9
    assert search.best_estimator_.predict(data[:3]).shape == (3,)


def test_parameters_of_the_parts_are_parameters_of_the_whole():
    pipe = StreamingPipeline([("scale", StandardScaler())], batch_size=5)

    pipe.set_params(scale__with_mean=False, batch_size=9)
    twin = clone(pipe)

    assert twin.get_params()["scale__with_mean"] is False
    assert twin.get_params()["batch_size"] == 9
    assert "scale__with_mean" not in twin.get_params(deep=False)
    assert twin.steps[0][1] is not pipe.steps[0][1]
    assert "StandardScaler" in repr(twin)


def test_a_step_that_raises_in_a_worker_is_named():
    def fail(X):
        if np.any(X < 0):
            raise ValueError("below zero")
        return X

    pipe = StreamingPipeline([("roots", FunctionTransformer(fail)), ("scale", StandardScaler())], batch_size=2)
    pipe.fit(np.ones((4, 1)))

    with pytest.raises(ValueError, match="'roots': ValueError: below zero — item 1"):
        pipe.transform(np.array([[1.0], [1.0], [-1.0], [1.0]]))


@pytest.mark.parametrize(
    ("pipe", "says"),
    [
        (StreamingPipeline([]), "at least one step"),
        (StreamingPipeline([("a", StandardScaler()), ("a", StandardScaler())]), "unique"),
        (StreamingPipeline([("a", LogisticRegression())]), "'a' must have transform"),
        (StreamingPipeline([("a", "drop")]), "'a' must have transform"),
        (StreamingFeatureUnion([("a", 3)]), "'a' must have transform"),
        (StreamingPipeline([("a", StandardScaler())], batch_size=0), "batch_size must be >= 1"),
        (StreamingPipeline([("a", StandardScaler())], batch_size=2.5), "batch_size must be a whole number, got 2.5"),
        (StreamingPipeline([("a", StandardScaler())], n_workers=0), "workers must be >= 1"),
        (StreamingPipeline([("a", StandardScaler())], n_workers={"b": 2}), r"n_workers is of \['b'\], .* are \['a'\]"),
        (StreamingPipeline([StandardScaler()]), r"steps must be a list of \(name, transformer\), got StandardScaler"),
        (
            StreamingFeatureUnion([(1, MaxAbsScaler())]),
            r"transformer_list must be a list of \(name, transformer\), got",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_fitted_is_refused(pipe, says):
    with pytest.raises((ValueError, TypeError), match=says):
        pipe.fit(np.ones((3, 1))).transform(np.ones((3, 1)))


@pytest.mark.parametrize("which", [StreamingPipeline, StreamingFeatureUnion])
@pytest.mark.parametrize("count", [2, 4, 12])
def test_another_number_of_targets_than_of_rows_is_refused(which, count):
    with pytest.raises(ValueError, match=rf"inconsistent numbers of samples: \[6, {count}\]"):
        which([("a", StandardScaler())], batch_size=2).fit(np.ones((6, 1)), np.ones(count))


def test_a_transformer_of_a_union_that_drops_rows_is_named():
    union = StreamingFeatureUnion([("all", StandardScaler()), ("one", FunctionTransformer(first_row))], batch_size=2)

    with pytest.raises(ValueError, match="a row for each row of a batch: 'all' 2, 'one' 1"):
        union.fit_transform(np.ones((4, 1)))


def first_row(X):
    return X[:1]


def test_no_rows_at_all_are_refused():
    with pytest.raises(ValueError, match="0 sample"):
        StreamingPipeline([("a", StandardScaler())]).fit([])


def test_transform_before_fit_is_an_error():
    with pytest.raises(NotFittedError):
        StreamingPipeline([("a", StandardScaler())]).transform(np.ones((3, 1)))


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, "olympipe_like.sklearn")
    monkeypatch.setitem(sys.modules, "sklearn.base", None)

    with pytest.raises(ImportError, match=r'pip install "olympipe-like\[sklearn\]"'):
        import olympipe_like.sklearn  # noqa: F401
