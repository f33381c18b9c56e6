"""Feedback from use: the answers of servers, the images of them to label, and a monitor of changes.

record      one kept answer, and the stored records
layout      the objects of a prefix: photos, records, collections, labels, monitors
reservoir   (pure) a uniform sample of a window, and its uncertain and unfamiliar images
recorder    what a server calls after each answer; a thread keeps, redacts, stores and forgets
redact      the operator's command that redacts photos
retention   (pure) which windows to delete

reading     records, photos and labels of a prefix that anybody may have written
choose      (pure) which images to label: uncertainty and diversity
collect     the images to label, as CSV and page
returned    labels that return
estimate    (pure) accuracy from a random share

monitor     an anytime-valid test of the stream against the bundle's reference
"""
