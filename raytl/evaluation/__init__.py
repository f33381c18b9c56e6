"""Score finished runs, and predict new photos.

record      a split as the run recorded it, each file checked against its digest
worker      the forward pass over a worker's shard of a split
evaluate    `evaluate`: score a split once, with intervals, and write the report
report      (pure) the report as a value, as JSON and as Markdown
score_text  (pure) scores and intervals as text
page        the report as HTML for notebooks
render      the report's pictures
stored      a report read back from its file
outcomes    the outcome of every image, for paired tests
inputs      from folders, manifests and files to a list of photos
photos      photos decoded ahead of the network; unreadable ones are set aside
predictor   `load`: a network in memory that predicts photos of any kind
prediction  one photo's class and probabilities
trust       the thresholds, sets and limits of a report, applied to answers
predict     `predict`: a table of the predictions of any photos
table       predictions as CSV or Parquet
"""
