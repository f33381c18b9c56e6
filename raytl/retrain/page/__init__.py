"""A tick, and a registry, as pages that need nothing else: no network, no script.

markup      text that becomes HTML, escaped unless it is HTML already
charts      intervals and lines as SVG
tick        what came in, what was decided and why
registry    all versions over time, all ticks, all moves
write       the pages of a registry, stored in it
"""
