"""Read stored objects: bytes in, a typed and bounded value out.

    document    JSON text as plain values: no duplicate keys, no deep nesting, no endless numbers
    schema      plain values as the type that a format declares, each part within its bounds
    format      one stored format: its type, its size limit, its error and the advice for a damaged object
    bounds      the bounds of fields, and the fields that several formats share
    fault       the error of a stored value, with the path of its field

pydantic validates the configuration, but not stored objects: it rejects file names that are not UTF-8, and does not report
the keys that it ignores.
"""

from raytl.stored.fault import Fault
from raytl.stored.format import Format, Unread

__all__ = ["Fault", "Format", "Unread"]
