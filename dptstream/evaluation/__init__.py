"""Measures depth video: accuracy, flicker, lag and ghosts, with ground truth or without. Knows no command line."""

from .clips import Clip, film_truth, predicted_clip, predicted_truth, spoiled_clip
from .corruption import Corruption, Corruptor
from .methods import smooth_clip
from .scores import Scores, score_shot, score_unseen
from .suite import Report, Row, evaluate
from .tables import as_record, markdown_table, rich_table
from .truth import TrueMotion, TruthFrame

__all__ = [
    "Clip",
    "Corruption",
    "Corruptor",
    "Report",
    "Row",
    "Scores",
    "TrueMotion",
    "TruthFrame",
    "as_record",
    "evaluate",
    "film_truth",
    "markdown_table",
    "predicted_clip",
    "predicted_truth",
    "rich_table",
    "score_shot",
    "score_unseen",
    "smooth_clip",
    "spoiled_clip",
]
