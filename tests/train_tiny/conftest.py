"""Scenes are rendered without compiling: a test's few pixels are not worth a minute of compilation."""

import os

os.environ.setdefault("TRAIN_TINY_EAGER", "1")
