"""Keras' own augmentation layers, one seed per example."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import tensorflow as tf

from mtl_keras.data.augment.base import Augmentation
from mtl_keras.data.augment.mover import Batch
from mtl_keras.errors import message


@dataclass(frozen=True)
class KerasLayer(Augmentation):
    """Any image augmentation layer of Keras, e.g. `keras.layers.RandomGaussianBlur`, on images and masks.

    By itself such a layer counts its random numbers in a variable, so that pictures depend on what was read before, and
    in parallel reading on chance. Here every example's numbers follow from its seed.

    Args:
        layer: The layer. Its `value_range`, where it has one, is that of the images.

    Boxes pass through layers that leave pixels in place; layers that move them are refused for tasks with boxes, since
    several of Keras' (RandomCrop, RandomShear) put boxes in the wrong place. `Crop`, `Flip`, `Rotate`, `Shift` and
    `Zoom` move boxes exactly. Layers that draw numbers while they transform (RandomColorJitter, RandAugment, AugMix)
    cannot be seeded per example and are refused.

    Raises:
        ValueError: The layer is none of Keras' image augmentations, or one of those that are refused.

    Example:
        >>> import keras
        >>> KerasLayer(keras.layers.RandomGaussianBlur()).describe()["layer"]
        'RandomGaussianBlur'
    """

    layer: Any

    def __post_init__(self) -> None:
        needed = ("get_random_transformation", "transform_images", "transform_segmentation_masks")
        if not isinstance(self.layer, keras.layers.Layer) or not all(hasattr(self.layer, name) for name in needed):
            raise ValueError(
                message(
                    "an image augmentation layer of Keras",
                    "pass e.g. keras.layers.RandomGaussianBlur()",
                    layer=type(self.layer).__name__,
                )
            )

    def describe(self) -> dict[str, Any]:
        config = {key: value for key, value in self.layer.get_config().items() if key not in ("name", "dtype", "seed")}
        return {"name": self.name, "layer": type(self.layer).__name__, "config": config}

    def transform(self, batch: Batch, seeds: tf.Tensor, mask_tasks: Sequence[str], has_boxes: bool) -> Batch:
        """The changed batch.

        Args:
            batch: Images are float32, in the layer's value range.
            seeds: Int64 [B, 2].
            mask_tasks: Tasks whose labels are masks.
            has_boxes: Whether there are boxes, which must not be left behind.
        """
        masks = {task: _with_weights(batch, task) for task in mask_tasks}
        images, masks = self._transform(seeds, batch.images, masks, has_boxes)
        changed = replace(batch, images=images)
        for task, moved in masks.items():
            labels, weights = _without_weights(moved, batch.labels[task])
            changed = changed.with_label(task, labels, weights)
        return changed

    def _transform(
        self, seeds: tf.Tensor, images: tf.Tensor, masks: dict[str, tf.Tensor], has_boxes: bool
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        shapes = {name: tuple(tensor.shape[1:]) for name, tensor in masks.items()}

        def one(seed: tf.Tensor, image: tf.Tensor, masks: dict[str, tf.Tensor]) -> tuple[tf.Tensor, dict[str, Any]]:
            image = image[None]
            how = self.layer.get_random_transformation(image, training=True, seed=_ExampleSeed(seed))
            moved = {name: self._mask(mask[None], how) for name, mask in masks.items()}
            if has_boxes:
                probe = image[..., :1]
                if self.layer.transform_segmentation_masks(probe, how, training=True) is not probe:
                    raise ValueError(
                        message(
                            "layers that leave pixels in place, for tasks with boxes",
                            "use Flip, Rotate, Zoom, Shift or Crop of mtl_keras.data.augment",
                            layer=type(self.layer).__name__,
                        )
                    )
            changed = tf.cast(self.layer.transform_images(image, how, training=True), tf.float32)
            return changed[0], {name: mask[0] for name, mask in moved.items()}

        traced = tf.function(one).get_concrete_function(
            tf.TensorSpec([2], tf.int64),
            tf.TensorSpec(images.shape[1:], tf.float32),
            {name: tf.TensorSpec(shape, tf.float32) for name, shape in shapes.items()},
        )
        if traced.variables:
            raise ValueError(
                message(
                    "a Keras layer whose random numbers can be seeded per example",
                    "use its parts, e.g. RandomBrightness and RandomContrast, or mtl_keras.data.augment.Colour",
                    layer=type(self.layer).__name__,
                )
            )
        signature = tf.nest.map_structure(lambda spec: tf.TensorSpec(spec.shape, spec.dtype), traced.structured_outputs)
        return tf.map_fn(
            lambda example: traced(example[0], example[1], example[2]),
            (seeds, images, masks),
            fn_output_signature=signature,
        )

    def _mask(self, mask: tf.Tensor, how: Any) -> tf.Tensor:
        return tf.cast(self.layer.transform_segmentation_masks(mask, how, training=True), tf.float32)


class _ExampleSeed(keras.random.SeedGenerator):
    """A seed generator without a variable: its n-th seed is the example's, with n folded in."""

    def __init__(self, seed: tf.Tensor):
        # Keras' own constructor makes the variable that this one is to do without
        self._seed = seed
        self._count = 0

    def next(self, ordered: bool = True) -> tf.Tensor:
        self._count += 1
        return tf.cast(tf.random.fold_in(self._seed, self._count), tf.int32)


def _with_weights(batch: Batch, task: str) -> tf.Tensor:
    """Mask and weight of every pixel side by side, float32 [B, H, W, 2 C or C + 1]: both move alike."""
    labels, weights = tf.cast(batch.labels[task], tf.float32), batch.weight(task)
    labels = labels[..., None] if labels.shape.rank == 3 else labels
    while weights.shape.rank < 4:
        weights = weights[..., None]
    channels = weights.shape[-1]
    weights = tf.broadcast_to(weights, tf.concat([tf.shape(labels)[:3], [channels]], axis=0))
    return tf.concat([labels, weights], axis=-1)


def _without_weights(moved: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mask at the rank and dtype of `labels`, and weights."""
    channels = 1 if labels.shape.rank == 3 else labels.shape[-1]
    values, weights = tf.cast(moved[..., :channels], labels.dtype), moved[..., channels:]
    values = values[..., 0] if labels.shape.rank == 3 else values
    return values, weights[..., 0] if weights.shape[-1] == 1 else weights
