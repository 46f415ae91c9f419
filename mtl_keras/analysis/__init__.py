"""Comparing tasks, runs and models by their own metrics."""

from mtl_keras.analysis.score import overall_score, score_logs, task_metrics

__all__ = ["overall_score", "score_logs", "task_metrics"]
