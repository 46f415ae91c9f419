"""Splits: shares, groups, strata, columns; the same on every machine."""

import numpy as np
import pytest

from mtl_keras.data.splits import NAMES, Splits


def test_shares_are_kept_and_nothing_is_lost():
    ids = Splits(val=0.2, test=0.1).assign(1000)
    assert np.bincount(ids).tolist() == [700, 200, 100]


def test_the_split_follows_from_the_seed_alone():
    # golden: a change here would move examples from training into test for everyone who goes on with a run
    golden = [1, 0, 1, 0, 2, 2, 0, 0, 1, 0]
    assert Splits(val=0.3, test=0.2, seed=4).assign(10).tolist() == golden
    assert Splits(val=0.3, test=0.2, seed=5).assign(10).tolist() != golden


def test_a_group_never_sits_in_two_splits():
    groups = np.random.default_rng(0).integers(0, 60, 600)
    ids = Splits(val=0.2, test=0.2, group="person").assign(600, groups)
    for group in range(60):
        assert len(set(ids[groups == group])) == 1
    shares = np.bincount(ids, minlength=3) / 600
    np.testing.assert_allclose(shares, [0.6, 0.2, 0.2], atol=0.03)


def test_one_group_larger_than_everything_stays_whole():
    ids = Splits(val=0.2, test=0.2).assign(10, ["a"] * 9 + ["b"])
    assert len(set(ids[:9])) == 1


def test_stratified_splits_keep_the_frequencies():
    strata = np.repeat([-1, 0, 1, 2], [100, 500, 300, 100])
    ids = Splits(val=0.2, test=0.1).assign(1000, strata=strata)
    for stratum, count in ((-1, 100), (0, 500), (1, 300), (2, 100)):
        assert np.bincount(ids[strata == stratum]).tolist() == [0.7 * count, 0.2 * count, 0.1 * count]


def test_groups_and_strata_together():
    groups = np.repeat(np.arange(100), 5)
    strata = np.repeat(np.arange(100) % 2, 5)
    ids = Splits(val=0.2, test=0.2).assign(500, groups, strata)
    assert all(len(set(ids[groups == group])) == 1 for group in range(100))
    assert [np.bincount(ids[strata == stratum]).tolist() for stratum in (0, 1)] == [[150, 50, 50]] * 2


def test_uneven_groups_come_close_to_the_shares_of_every_class():
    draws = np.random.default_rng(0)
    sizes = (40 / np.arange(1, 301)).astype(int) + 1  # forty times as large as the smallest
    groups = np.repeat(np.arange(300), sizes)
    liked = np.repeat(draws.integers(0, 8, 300), sizes)  # most of a group is of one class
    strata = np.where(draws.random(len(groups)) < 0.6, liked, draws.integers(0, 8, len(groups)))
    for seed in range(3):
        for kept in (None, strata):
            ids = Splits(val=0.15, test=0.15, seed=seed).assign(len(groups), groups, kept)
            assert all(len(set(ids[groups == group])) == 1 for group in range(300))
            np.testing.assert_allclose(np.bincount(ids) / len(ids), [0.7, 0.15, 0.15], atol=0.005)
        # of every class a part has what it has of all, to a hundredth
        for split in range(3):
            found = np.bincount(strata[ids == split], minlength=8) / np.sum(ids == split)
            np.testing.assert_allclose(found, np.bincount(strata) / len(strata), atol=0.01)
    other = Splits(val=0.15, test=0.15, seed=9).assign(len(groups), groups, strata)
    assert (other != ids).any()
    assert set(Splits(val=0, test=0.3).assign(len(groups), groups, strata)) == {0, 2}


def test_a_rare_class_goes_to_training():
    strata = np.array([0] * 20 + [1])
    assert Splits(val=0.1, test=0.1).assign(21, strata=strata)[-1] == NAMES.index("train")


@pytest.mark.parametrize("shares", [{"val": 0.6, "test": 0.5}, {"val": -0.1}, {"test": 1.0}, {"val": "0.1"}])
def test_shares_out_of_range(shares):
    with pytest.raises(ValueError, match="shares from 0 that leave some for training"):
        Splits(**shares)


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, True])
def test_seeds_out_of_range(seed):
    with pytest.raises(ValueError, match="a whole number from 0 as the seed of the splits"):
        Splits(seed=seed)


def test_a_column_excludes_a_random_split():
    with pytest.raises(ValueError, match="either a column that names the split, or a random split"):
        Splits(column="part", group="person")
