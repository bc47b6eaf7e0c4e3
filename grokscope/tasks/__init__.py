"""The built-in tasks, declared without importing torch: listing them and their settings stays quick."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from grokscope.declare import Factory, Param, task

if TYPE_CHECKING:
    from grokscope.tasks.task import Task


@task
def modadd(
    *,
    p: Annotated[int, Param("the modulus; a prime for divide", min=2, max=2048)] = 97,
    operation: Annotated[
        Literal["add", "subtract", "multiply", "divide", "quadratic", "random"],
        Param("quadratic is x^2 + xy + y^2; random labels are a control that never generalises"),
    ] = "add",
    train_fraction: Annotated[float, Param("share of all pairs that train", above=0, below=1)] = 0.4,
    split_seed: Annotated[int, Param("draws the split, and random labels", min=0, max=2**63 - 1)] = 0,
    split: Annotated[
        Literal["torch", "python"],
        Param("python shuffles the pairs with Python's random, as Nanda et al.'s code does"),
    ] = "torch",
) -> Task:
    """Arithmetic modulo p on all pairs (a, b): the label is a + b mod p, or another operation's.

    The split is drawn once from `split_seed` alone: runs that differ only in `training.seed` train and test
    on the same pairs, and every operation with as many pairs has the same split. With `split=python` the
    pairs in a-major order are shuffled by `random.seed(split_seed); random.shuffle(pairs)` and the first
    `int(train_fraction * len(pairs))` train: the split of checkpoints from Nanda et al.'s published code.
    """
    from grokscope.tasks.modular import modular_task

    return modular_task(
        p=p, operation=operation, train_fraction=train_fraction, split_seed=split_seed, split=split
    )


Seed = Annotated[int, Param("draws the split", min=0, max=2**63 - 1)]
DataDir = Annotated[
    str, Param("folder with the data; otherwise $GROKSCOPE_DATA_DIR, otherwise data/", local=True)
]
Download = Annotated[bool, Param("fetch the data into data_dir if it is not there", local=True)]
DataDigest = Annotated[
    str, Param("the data's sha256: filled in when training starts, and checked from then on")
]


@task
def digits(
    *,
    train_size: Annotated[int, Param("images that train; the others of the 1797 test", min=1)] = 200,
    split_seed: Seed = 0,
    data_sha256: DataDigest = "",
) -> Task:
    """Handwritten digits, 8 x 8 pixels in [0, 1]: real images inside scikit-learn, no download needed.

    1797 images by 43 people (Alpaydin & Kaynak 1998). The split is drawn once from `split_seed` alone.
    """
    from grokscope.tasks.digits import digits_task

    return digits_task(train_size=train_size, split_seed=split_seed, data_sha256=data_sha256)


@task
def mnist(
    *,
    train_size: Annotated[int, Param("training images taken, from the first on", min=1, max=60_000)] = 1000,
    test_size: Annotated[int, Param("test images taken, from the first on", min=1, max=10_000)] = 10_000,
    data_dir: DataDir = "",
    download: Download = False,
    data_sha256: DataDigest = "",
) -> Task:
    """Handwritten digits, 28 x 28 pixels in [0, 1], from MNIST's four IDX files, packed by gzip or not.

    They lie in `data_dir`, its `mnist/` or its `MNIST/raw/`. Data sets of the same form, such as
    Fashion-MNIST, can be put in their place.
    """
    from grokscope.tasks.images import mnist_task

    return mnist_task(
        train_size=train_size,
        test_size=test_size,
        data_dir=data_dir,
        download=download,
        data_sha256=data_sha256,
    )


TrainReviews = Annotated[int, Param("reviews that train", min=2)]
TestReviews = Annotated[int, Param("reviews that test", min=2)]
Words = Annotated[int, Param("most frequent words of the training reviews that are kept", min=1)]
Length = Annotated[int, Param("tokens of a review: padded on the left, or cut off", min=1)]


@task
def imdb(
    *,
    train_size: TrainReviews = 750,
    test_size: TestReviews = 250,
    words: Words = 1000,
    length: Length = 500,
    split_seed: Seed = 0,
    data_dir: DataDir = "",
    download: Download = False,
    data_sha256: DataDigest = "",
) -> Task:
    """Whether a film review is positive, from its most frequent words (Maas et al. 2011).

    `data_dir` holds the aclImdb folder, or Kaggle's `IMDB Dataset.csv` (columns review and sentiment), of
    which the first rows are taken. Both splits have the same share of positive reviews.
    """
    from grokscope.tasks.text import imdb_reviews, review_task

    return review_task(
        "imdb",
        partial(imdb_reviews, seed=split_seed, download=download),
        train_size=train_size,
        test_size=test_size,
        words=words,
        length=length,
        split_seed=split_seed,
        data_dir=data_dir,
        data_sha256=data_sha256,
    )


@task
def reviews(
    *,
    train_size: TrainReviews = 750,
    test_size: TestReviews = 250,
    words: Words = 1000,
    length: Length = 40,
    split_seed: Seed = 0,
    data_dir: DataDir = "",
    data_sha256: DataDigest = "",
) -> Task:
    """Whether a review of your own is positive, from its most frequent words: `imdb` on other texts.

    `data_dir` holds `reviews.csv` (columns review and sentiment, which is positive or negative), of which the
    first rows are taken. `examples/reviews_csv.py` makes one of sentences from film reviews.
    """
    from grokscope.tasks.text import own_reviews, review_task

    return review_task(
        "reviews",
        own_reviews,
        train_size=train_size,
        test_size=test_size,
        words=words,
        length=length,
        split_seed=split_seed,
        data_dir=data_dir,
        data_sha256=data_sha256,
    )


@task
def parity(
    *,
    n: Annotated[int, Param("bits of an example", min=2, max=4096)] = 40,
    k: Annotated[int, Param("bits that count, the first ones", min=1)] = 3,
    train_size: Annotated[int, Param("examples that train", min=1, max=1_000_000)] = 1000,
    test_size: Annotated[int, Param("examples that test", min=1, max=1_000_000)] = 1000,
    data_seed: Annotated[int, Param("draws the examples", min=0, max=2**63 - 1)] = 0,
) -> Task:
    """Sparse parity: whether the product of the first k of n random signs is -1 (Merrill et al. 2023)."""
    from grokscope.tasks.parity import parity_task

    return parity_task(n=n, k=k, train_size=train_size, test_size=test_size, data_seed=data_seed)


DataSeed = Annotated[int, Param("draws the examples", min=0, max=2**63 - 1)]


@task
def permutation(
    *,
    n: Annotated[int, Param("objects that are permuted: n! elements", min=3, max=6)] = 4,
    train_fraction: Annotated[float, Param("share of all pairs that train", above=0, below=1)] = 0.7,
    split_seed: Seed = 0,
) -> Task:
    """Composition in the symmetric group S_n: the label of (a, b) is a after b (Chughtai et al. 2023)."""
    from grokscope.tasks.groups import permutation_task

    return permutation_task(n=n, train_fraction=train_fraction, split_seed=split_seed)


@task
def xor(
    *,
    dimension: Annotated[int, Param("of a point", min=2, max=100_000)] = 1000,
    distance: Annotated[float, Param("of the four centres from 0; noise has deviation 1", min=0)] = 8.0,
    flipped: Annotated[float, Param("share of training labels that are wrong", min=0, max=0.5)] = 0.1,
    train_size: Annotated[int, Param("points that train", min=1, max=1_000_000)] = 200,
    test_size: Annotated[int, Param("points that test, all labels right", min=1, max=1_000_000)] = 1000,
    data_seed: DataSeed = 0,
) -> Task:
    """XOR of four clusters in many dimensions, with label noise in training (Xu et al. 2023)."""
    from grokscope.tasks.clusters import xor_task

    return xor_task(
        dimension=dimension,
        distance=distance,
        flipped=flipped,
        train_size=train_size,
        test_size=test_size,
        data_seed=data_seed,
    )


@task
def polynomial(
    *,
    dimension: Annotated[int, Param("of a vector x", min=1, max=100_000)] = 100,
    degree: Annotated[int, Param("k: what is predicted is (beta . x)^k / k!", min=1, max=12)] = 2,
    train_size: Annotated[int, Param("vectors that train", min=1, max=1_000_000)] = 550,
    test_size: Annotated[int, Param("vectors that test", min=1, max=1_000_000)] = 1000,
    data_seed: DataSeed = 0,
) -> Task:
    """Regression on a power of one direction of Gaussian vectors; the loss is mse (Kumar et al. 2023)."""
    from grokscope.tasks.regression import polynomial_task

    return polynomial_task(
        dimension=dimension,
        degree=degree,
        train_size=train_size,
        test_size=test_size,
        data_seed=data_seed,
    )


TASKS: dict[str, Factory] = {
    factory.name: factory
    for factory in (modadd, permutation, digits, mnist, imdb, reviews, parity, xor, polynomial)
}
