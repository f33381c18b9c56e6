"""What a finished run is worth, and what it says about new photos.

record    a split as the run wrote it down, each file checked against its digest
worker    the forward pass over a worker's share of a split
evaluate  `evaluate`: one honest look at a split, with intervals, as numbers, text and pictures
report    (pure) the evaluation as a value, as JSON and as Markdown
render    the evaluation's pictures
inputs    from folders, manifests and files to a list of photos
photos    photos decoded ahead of the network, the unreadable ones set aside
predict   `predict`: classes and probabilities of any photos
table     predictions as CSV or Parquet
"""
