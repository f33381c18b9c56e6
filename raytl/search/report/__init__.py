"""The report of a sweep.

page        `report.html`, self-contained, from templates
charts      interactive charts (plotly)
pictures    the same charts as PNG files (matplotlib)
findings    sentences on what mattered
"""
