"""Published models in a folder or a bucket, without a server: numbered versions that never change, and names for them.

record      a version, a move of an alias: as values
creation    an object that is created once, whoever else tries
registry    versions published whole or not at all; aliases moved by compare-and-set, with their history
reference   `models:trash@champion`: which version of which registry
reader      a version's files on this node, each held against its digest
reports     what is added to a version later: looks at its test split, evaluations
cleaning    (pure) which versions nobody needs
"""
