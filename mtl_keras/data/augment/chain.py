"""Augmentations in a row, on a batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import tensorflow as tf

from mtl_keras.data.augment.base import Augmentation, Geometric, Photometric, amount
from mtl_keras.data.augment.draws import branch, uniforms
from mtl_keras.data.augment.keras_layer import KerasLayer
from mtl_keras.data.augment.mix_up import MixUp
from mtl_keras.data.augment.mover import Batch, Mover
from mtl_keras.errors import message

FILLS = ("constant", "reflect", "nearest")
KINDS = (Geometric, Photometric, KerasLayer, MixUp)

# a step, its uniform numbers [B, draws], and seeds [B, 2] of its own
Run = list[tuple[Any, tf.Tensor, tf.Tensor]]


@dataclass(frozen=True)
class Chain:
    """Augmentations in a row, applied to image, masks and boxes of a batch together.

    Everything random about an example follows from its seed: the batch size, the examples beside it and what was read
    before change nothing (but for `MixUp`, which needs a neighbour). Augmentations that move pixels and stand side by
    side are put together into one map, so that an image is interpolated once; flips and crops alone are not at all.
    Images keep their dtype.

    Args:
        steps: The augmentations, in order; `MixUp`, where wanted, is the last.
        image: Name of the input that is the image; default: the only one.
        masks: Tasks whose labels are masks [B, H, W] or [B, H, W, C] at the image's size. They move with the image,
            nearest neighbour; what comes from outside the image gets weight 0.
        boxes: Tasks whose labels are boxes [B, N, 4]. A moved box is the smallest upright one around its moved corners,
            cut at the image's edge; a box that is out of sight gets weight 0 and the place 0, 0, 0, 0.
        box_format: As in `keras.utils.bounding_boxes.convert_format`, default `"rel_yxyx"`: (top, left, bottom, right)
            from 0 to 1, which is what tensorflow-datasets give.
        visible: Which share of a moved box has to lie inside the image for it to count, from 0 to 1, default 0.25.
        value_range: Smallest and largest value of a pixel; default (0, 255) for uint8, to be given for other dtypes.
        fill: What comes from outside the image: `"constant"` (default: `fill_value`), `"reflect"` or `"nearest"` (not
            with boxes, for objects would appear that have none).
        fill_value: For `"constant"`, in the images' own unit, default 0.0.

    Raises:
        ValueError: A setting is out of range, or the order does not work.

    Example:
        >>> from mtl_keras.data.augment import Flip
        >>> chain = Chain([Flip(horizontal=1.0)])
        >>> image = tf.reshape(tf.range(6), [1, 2, 3, 1])
        >>> x, y, w = chain(tf.constant([[0, 0]], tf.int64), {"image": image}, {}, {})
        >>> x["image"][0, :, :, 0].numpy().tolist()
        [[2, 1, 0], [5, 4, 3]]
    """

    steps: Sequence[Augmentation]
    image: str | None = None
    masks: Sequence[str] = ()
    boxes: Sequence[str] = ()
    box_format: str = "rel_yxyx"
    visible: float = 0.25
    value_range: tuple[float, float] | None = None
    fill: str = "constant"
    fill_value: float = 0.0

    def __post_init__(self) -> None:
        for name in ("steps", "masks", "boxes"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for step in self.steps:
            if not isinstance(step, KINDS):
                raise ValueError(
                    message("augmentations", "take them from mtl_keras.data.augment, e.g. [Flip()]", step=step)
                )
        names = [step.name for step in self.steps]
        if "MixUp" in names[:-1]:
            raise ValueError(message("MixUp once, as the last augmentation", "move it to the end", steps=names))
        if "MixUp" in names and (self.masks or self.boxes):
            raise ValueError(
                message(
                    "MixUp only without masks and boxes, which cannot be blended",
                    "leave it out",
                    masks=list(self.masks),
                    boxes=list(self.boxes),
                )
            )
        if self.fill not in FILLS:
            raise ValueError(message(f"fill among {list(FILLS)}", "choose one", fill=self.fill))
        if self.boxes and self.fill != "constant":
            raise ValueError(
                message(
                    "fill='constant' with boxes (reflected objects would have none)", "leave it out", fill=self.fill
                )
            )
        if self.value_range is not None and not self.value_range[0] < self.value_range[1]:
            raise ValueError(
                message("a smallest and a larger value", "pass value_range=(0, 1)", value_range=self.value_range)
            )
        amount("Chain", "visible", self.visible, 0, 1)

    def describe(self) -> list[dict[str, Any]]:
        """Names and settings of the steps, plain JSON types only."""
        return [step.describe() for step in self.steps]

    def __call__(
        self,
        seeds: tf.Tensor,
        x: Mapping[str, tf.Tensor],
        y: Mapping[str, tf.Tensor],
        w: Mapping[str, tf.Tensor],
        classes: Mapping[str, int] | None = None,
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """One batch, augmented.

        Args:
            seeds: Of the examples in this epoch, int64 [B, 2].
            x: Inputs by name; other inputs than the image stay as they are.
            y: Labels by task, with a harmless value where one is missing.
            w: Weights by task, 0 where a label is missing; tasks that are left out weigh 1.
            classes: `{task: number of classes}` of the tasks whose labels are class ids, for `MixUp`.

        Returns:
            Inputs, labels and weights, as they came but for what changed.
        """
        name = self._image_name(x)
        weights = {task: tf.cast(weight, tf.float32) for task, weight in w.items()}
        batch = Batch(tf.convert_to_tensor(x[name]), dict(y), weights)
        dtype = batch.images.dtype
        if not all(getattr(step, "exact", False) for step in self.steps):
            batch = replace(batch, images=tf.cast(batch.images, tf.float32))
        draws = [step.draws for step in self.steps]
        numbers = tf.split(uniforms(seeds, sum(draws)), draws, axis=1)
        own_seeds = [branch(seeds, number) for number in range(1, len(draws) + 1)]
        for kind, group in groupby(zip(self.steps, numbers, own_seeds, strict=True), key=lambda part: _kind(part[0])):
            batch = self._applied(kind, list(group), batch, dtype, classes or {})
        return {**x, name: _cast(batch.images, dtype)}, batch.labels, batch.weights

    def _applied(self, kind: type, run: Run, batch: Batch, dtype: tf.DType, classes: Mapping[str, int]) -> Batch:
        if kind is Geometric:
            return self._moved(batch, run)
        if kind is Photometric:
            return replace(batch, images=self._recoloured(batch.images, run, dtype))
        if kind is KerasLayer:
            for step, _, seeds in run:
                batch = step.transform(batch, seeds, self.masks, bool(self.boxes))
            return batch
        return run[0][0].blend(batch, *run[0][1:], classes)

    def _image_name(self, x: Mapping[str, tf.Tensor]) -> str:
        if self.image is None and len(x) == 1:
            return next(iter(x))
        if self.image is None or self.image not in x:
            raise ValueError(
                message(f"the name of the image among the inputs {list(x)}", "pass image=...", image=self.image)
            )
        return self.image

    def _moved(self, batch: Batch, run: Run) -> Batch:
        size, matrix = batch.size, None
        for step, numbers, _ in run:
            following, size = step.matrix(numbers, size)
            matrix = following if matrix is None else tf.matmul(matrix, following)
        mover = Mover(self.masks, self.boxes, self.box_format, self.visible, self.fill, self.fill_value)
        return mover(batch, matrix, size, exact=all(step.exact for step, *_ in run))

    def _recoloured(self, images: tf.Tensor, run: Run, dtype: tf.DType) -> tf.Tensor:
        low, high = self._range(dtype)
        images = (images - low) / (high - low)
        for step, numbers, seeds in run:
            images = tf.clip_by_value(step.apply(images, numbers, seeds), 0.0, 1.0)
        return images * (high - low) + low

    def _range(self, dtype: tf.DType) -> tuple[float, float]:
        if self.value_range is not None:
            return self.value_range
        if dtype == tf.uint8:
            return 0.0, 255.0
        raise ValueError(
            message(
                "the smallest and largest value of a pixel, for images that are not uint8",
                "pass value_range=(0, 1), or what it is",
                dtype=dtype.name,
            )
        )


def _kind(step: Augmentation) -> type:
    return next(kind for kind in KINDS if isinstance(step, kind))


def _cast(images: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    if images.dtype == dtype:
        return images
    return tf.saturate_cast(tf.round(images) if dtype.is_integer else images, dtype)
