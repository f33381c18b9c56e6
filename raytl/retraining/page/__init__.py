"""A tick, and a registry, as self-contained HTML pages: no network, no script.

templates   Jinja2: page layout, tables and SVG charts
charts      (pure) the geometry of the charts
tick        data changes, decision, comparison
registry    all versions over time, all ticks, all alias moves
write       store the pages in the registry
"""
