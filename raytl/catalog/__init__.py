"""The runs and sweeps below a URI, and how two runs differ. Reads only; nothing stored sets anything here.

entry       one run or sweep in a list
listing     from a URI to entries
writer      whether a process is writing to a run now
comparison  what differs between two runs: config, data and result
"""

from raytl.catalog.comparison import Comparison, compare
from raytl.catalog.entry import Entry
from raytl.catalog.listing import list_runs

__all__ = ["Comparison", "Entry", "compare", "list_runs"]
