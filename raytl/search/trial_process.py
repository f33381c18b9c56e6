"""The imports of a process that runs trials. Ray's processes import this module when they start, before they have a trial."""

from raytl.eager import defer_compiler
from raytl.gc_pause import importing

defer_compiler()  # before torchvision is imported

with importing():
    from ray import tune as tune

    from raytl.search import executor as executor
