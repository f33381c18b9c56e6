"""The report of a sweep.

page        `report.html`, self-contained, from templates
plots       its charts (matplotlib), in the page as SVG and as PNG files
findings    sentences on what mattered
"""
