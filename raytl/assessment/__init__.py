"""`raytl report`: can the model be trusted? Everything is computed from the stored evidence, chosen on validation and confirmed
on test.

section      the contract of a section, and the evidence that it gets
sections     all sections by name, in the order of the page
collect      the evidence of a run: test from the one look of `evaluate`, the others scored when they are needed
texts        (pure) numbers and tables as text
sheets       thumbnails
live         the model in memory, for sections that change images
pretrained   features of the network from which the run started
left_out     (pure) which networks `--full` trains, and the gap that they show
fine_tuned   trains them
report       `report`: the sections of a run, written as one folder
page         the page
model_card   the model card
curves, plots  charts

calibration      section: are the probabilities right
thresholds       section: from which confidence does it keep a promise
prediction_sets  section: which classes can it be
unfamiliar       section: does it know what it does not know
slices           section: where does the model err more often
fairness         section: the error rates of groups
groups           section: the accuracy on groups that were never seen
shortcuts        section: artifacts, and the accuracy without parts of the image
suspects         section: labels that are probably wrong
"""
