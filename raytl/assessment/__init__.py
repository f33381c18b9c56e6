"""`raytl report`: can the model be trusted? Everything is computed from the stored evidence, chosen on validation and confirmed
on test.

section      the contract of a section, and the evidence that it gets
sections     all sections by name, in the order of the page
evidence     the evidence of a run: test from the one look of `evaluate`, the others scored when they are needed
aim          (pure) aims such as `accuracy>=0.95`
calibration  section: are the probabilities right
report       `report`: the sections of a run, written as one folder
page         the page, and the model card
"""
