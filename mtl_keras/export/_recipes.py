"""Recipes of ai-edge-quantizer: weights in 4 bits, and weights alone in 8. Needs the extra `quant`."""

from mtl_keras.export._extras import needs
from mtl_keras.quiet import quiet_stderr

PACKAGE = "ai_edge_quantizer"


def quantized_by(recipe: str, data: bytes) -> bytes:
    """A float .tflite file with its weights stored as a recipe says.

    Args:
        recipe: Name of a function of `ai_edge_quantizer.recipe` that needs no calibration.
        data: The bytes of the file.

    Raises:
        ValueError: The package is missing.
    """
    needs("quant", PACKAGE)
    with quiet_stderr():
        from ai_edge_quantizer import quantizer
        from ai_edge_quantizer import recipe as recipes

        work = quantizer.Quantizer(data, getattr(recipes, recipe)())
        return bytes(work.quantize(enable_progress_bar=False, enable_progress_report=False).quantized_model)
