"""Blended examples and their labels."""

import numpy as np
import pytest
import tensorflow as tf
from scenes import seeds

from mtl_keras import heads
from mtl_keras.data.augment import Chain, Flip, MixUp
from mtl_keras.data.augment.mix_up import blend_labels


def test_ids_become_probabilities():
    """Neighbours: 0 with 2, 1 with 0, 2 with 1. Shares 0.75."""
    labels, weights = blend_labels(tf.constant([2, 0, 1]), tf.ones([3]), tf.fill([3], 0.75), num_classes=3)
    assert labels.numpy().tolist() == [[0.0, 0.25, 0.75], [0.75, 0.0, 0.25], [0.25, 0.75, 0.0]]
    assert weights.numpy().tolist() == [1.0, 1.0, 1.0]


def test_a_missing_label_leaves_the_other_with_its_share():
    """Of 0 only the neighbour (2) has a label, of 1 only itself, of 2 both: 0.75 * 8 + 0.25 * 4."""
    labels, weights = blend_labels(
        tf.constant([float("nan"), 4.0, 8.0]), tf.constant([0.0, 1.0, 1.0]), tf.constant([0.75, 0.75, 0.75])
    )
    assert labels.numpy().tolist() == [8.0, 4.0, 7.0]
    assert weights.numpy().tolist() == [0.25, 0.75, 1.0]
    labels, weights = blend_labels(tf.constant([0, 0]), tf.zeros([2]), tf.constant([0.5, 0.5]), num_classes=2)
    assert weights.numpy().tolist() == [0.0, 0.0]
    assert np.isfinite(labels).all()


def test_weights_per_attribute():
    labels, weights = blend_labels(
        tf.constant([[1.0, 0.0], [0.0, 1.0]]), tf.constant([[1.0, 0.0], [1.0, 1.0]]), tf.constant([0.75, 0.75])
    )
    assert labels.numpy().tolist() == [[0.75, 1.0], [0.25, 1.0]]
    assert weights.numpy().tolist() == [[1.0, 0.25], [1.0, 0.75]]


@pytest.mark.parametrize(
    ("head", "labels", "size"),
    [
        (heads.Classifier(3, label_smoothing=0.1), [0, 2, 1, 1], 3),
        (heads.Ordinal(3), [0, 2, 1, 1], 3),
        (heads.MultiLabel(1), [[0.0], [1.0], [1.0], [0.0]], None),
        (heads.Regressor(), [[1.0], [-2.0], [0.5], [3.0]], None),
    ],
    ids=["classifier", "ordinal", "multilabel", "regressor"],
)
def test_the_gradient_is_that_of_the_blended_losses(head, labels, size):
    """sum_i w_i dl(f_i, t_i) = sum_i share_i e_i dl(f_i, y_i) + (1 - share_i) e_j dl(f_i, y_j), e: exists."""
    labels, exists = tf.constant(labels), tf.constant([1.0, 1.0, 0.0, 1.0])
    shares = tf.constant([0.9, 0.2, 0.6, 0.5])
    width = {"classification": 3, "ordinal": 2}.get(head.kind, 1)
    outputs = tf.Variable(tf.sort(tf.random.stateless_normal([4, width], [1, 2]), direction="DESCENDING"))
    loss = head.loss()

    def each(targets):
        return tf.reshape(loss.call(head.loss_target(targets), outputs), [-1])

    blended, weights = blend_labels(labels, exists, shares, size)
    with tf.GradientTape(persistent=True) as tape:
        one = tf.reduce_sum(weights * each(blended))
        own = shares * exists * each(labels)
        other = (1.0 - shares) * tf.roll(exists, 1, 0) * each(tf.roll(labels, 1, 0))
        two = tf.reduce_sum(own + other)
    np.testing.assert_allclose(tape.gradient(one, outputs), tape.gradient(two, outputs), atol=1e-6)


def test_images_and_labels_are_blended_by_the_same_share():
    x = {"image": tf.repeat(tf.constant([0.0, 100.0, 200.0], tf.float32), 4)}
    x = {"image": tf.reshape(x["image"], [3, 2, 2, 1])}
    y = {"level": tf.constant([0.0, 100.0, 200.0]), "id": tf.constant([0, 1, 2])}
    chain = Chain([Flip(0.5), MixUp(1.0)])
    x, y, w = chain(seeds(3), x, y, {}, classes={"id": 3})
    np.testing.assert_allclose(x["image"][:, 0, 0, 0], y["level"], rtol=1e-5)
    np.testing.assert_allclose(tf.linalg.matvec(y["id"], [0.0, 100.0, 200.0]), y["level"], rtol=1e-5)
    assert w["id"].numpy().tolist() == [1.0, 1.0, 1.0]
    assert len(set(np.round(y["level"].numpy() % 100, 3))) == 3  # every example has a share of its own


def test_shares_follow_the_beta_distribution():
    def shares(alpha, chance=1.0):
        y = {"level": tf.range(2000, dtype=tf.float32) % 2}
        chain = tf.function(Chain([MixUp(alpha, chance)]))
        _, y, _ = chain(seeds(2000), {"image": tf.zeros([2000, 1, 1, 1])}, y, {})
        return np.where(np.arange(2000) % 2, y["level"], 1 - y["level"])

    uniform = shares(1.0)
    np.testing.assert_allclose(np.quantile(uniform, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.04)
    # Beta(a, a) has the variance 1 / (4 (2 a + 1))
    assert shares(0.2).var() == pytest.approx(1 / (4 * 1.4), rel=0.07)
    assert (shares(0.2, chance=0.3) == 1.0).mean() == pytest.approx(0.7, abs=0.05)


def test_what_cannot_be_blended_is_refused():
    for make, expected in (
        (
            lambda: Chain([MixUp(), Flip()]),
            "MixUp once, as the last augmentation. Received: steps=['MixUp', 'Flip']. Do move it to the end.",
        ),
        (
            lambda: Chain([MixUp()], masks=["road"]),
            "MixUp only without masks and boxes, which cannot be blended. Received: masks=['road'], boxes=[]. "
            "Do leave it out.",
        ),
        (
            lambda: Chain([MixUp()])(seeds(2), {"image": tf.zeros([2, 1, 1, 1])}, {"a": tf.constant([0, 1])}, {}),
            "the number of classes of task 'a' for MixUp. Received: classes=[]. Do pass classes={...}.",
        ),
        (lambda: MixUp(0.0), "alpha of MixUp from 0.001 to 100. Received: alpha=0.0. Do correct it."),
    ):
        with pytest.raises(ValueError, match="Expected") as caught:
            make()
        assert str(caught.value) == f"Expected {expected}"
