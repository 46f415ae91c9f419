"""Augmentation: random changes of training examples, of image, masks and boxes together, seeded per example."""

from mtl_keras.data.augment.base import Augmentation, Geometric, Photometric
from mtl_keras.data.augment.chain import Chain
from mtl_keras.data.augment.colour import Colour
from mtl_keras.data.augment.crop import Crop
from mtl_keras.data.augment.flip import Flip
from mtl_keras.data.augment.keras_layer import KerasLayer
from mtl_keras.data.augment.mix_up import MixUp
from mtl_keras.data.augment.noise import Noise
from mtl_keras.data.augment.resized_crop import ResizedCrop
from mtl_keras.data.augment.rotate import Rotate
from mtl_keras.data.augment.shift import Shift
from mtl_keras.data.augment.zoom import Zoom

__all__ = [
    "Augmentation",
    "Chain",
    "Colour",
    "Crop",
    "Flip",
    "Geometric",
    "KerasLayer",
    "MixUp",
    "Noise",
    "Photometric",
    "ResizedCrop",
    "Rotate",
    "Shift",
    "Zoom",
]
