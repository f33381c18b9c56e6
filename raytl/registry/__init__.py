"""Published models in a folder or a bucket, without a server: immutable numbered versions, and aliases for them.

record      a version and a move of an alias, as values
creation    create an object once, whoever else tries
registry    publish versions atomically; move aliases by compare-and-set, with their history
reference   `models:trash@champion`: a version of a registry
reader      a version's files on this node, each checked against its digest
reports     added to a version later: the ledger of its test set, evaluations
difference  two versions compared
cleaning    remove the versions that nothing needs
"""
