"""The imports of a process that runs trials. Ray's processes import this module when they start, before they have a trial."""

from raytl.eager import defer_compiler

defer_compiler()  # before torchvision is imported

from raytl.search import worker as worker  # noqa: E402
