"""The terminal: one file a verb. Results go to standard output, progress and errors to standard error.

main      the verbs put together
options   the options that several verbs share
terminal  where words go, and what becomes of errors
progress  a run's events as a live bar or as plain lines
lines     (pure) an event as a line of text
numbers   (pure) numbers as people read them
tables    results as tables
check, train, evaluate, predict, schema   the verbs; each loads torch and Ray only once its input is sound
"""
