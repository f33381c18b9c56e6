"""From images to an experiment: facts about the data, the keys that follow from them, and the file that says why.

facts    counts, splits, sizes and shapes of the training images
rules    (pure) from facts to keys with their reasons
draft    (pure) the keys and reasons as a value, and as a commented YAML file
source   an experiment file, or images that become one
"""

from raytl.config.choice import Choice
from raytl.starter.draft import Draft
from raytl.starter.source import DEFAULT_MODEL, draft_from, experiment_from, is_experiment_file

__all__ = ["DEFAULT_MODEL", "Choice", "Draft", "draft_from", "experiment_from", "is_experiment_file"]
