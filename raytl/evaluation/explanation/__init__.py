"""Explanations of answers: a map over each photo of where the evidence for a class lies.

selection   the photos: those that a user names, or the mistakes of a split
heat        a map over the network's view, moved to the photo, and its numbers
picture     the photo beside the map
record      the result and `explanations.json`
page        `index.html`
"""
