"""Comparing tasks, runs and models by their own metrics."""

from mtl_keras.analysis.score import overall_score, task_metrics

__all__ = ["overall_score", "task_metrics"]
