"""A task that another package adds: the regression of one number an image. `docs/tasks.md` explains it part by part."""

from tests.plugins.regression.task import TASK

__all__ = ["TASK"]
