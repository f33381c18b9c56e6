"""The one reader of everything stored: bytes in, a typed and bounded value out.

    document    JSON text as plain values: no duplicate keys, no deep nesting, no endless numbers
    schema      plain values as the type that a format declares, each part within its bounds
    format      one stored format: its type, its size, its error and what to do about a damaged object
    bounds      how far a field may go, and the fields that several formats share
    fault       what is wrong, and in which field

pydantic validates the configuration, but not this: it refuses file names that are not UTF-8, and does not say which keys it
ignored.
"""

from raytl.stored.fault import Fault
from raytl.stored.format import Format, Unread

__all__ = ["Fault", "Format", "Unread"]
