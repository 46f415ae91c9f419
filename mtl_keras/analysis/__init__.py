"""Comparing tasks, runs and models by their own metrics."""

from mtl_keras.analysis.captions import Caption, answer_caption
from mtl_keras.analysis.figures import draw_images, draw_predictions, draw_training
from mtl_keras.analysis.run_report import RunReport, results_table
from mtl_keras.analysis.score import overall_score, score_logs, task_metrics

__all__ = [
    "Caption",
    "RunReport",
    "answer_caption",
    "draw_images",
    "draw_predictions",
    "draw_training",
    "overall_score",
    "results_table",
    "score_logs",
    "task_metrics",
]
