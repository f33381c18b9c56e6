"""Fine-tuning: what learns when, the loop that does it, and the driver that keeps it going.

stages      (pure) which part of the network learns in which epoch
schedule    (pure) the factor on every learning rate at every step
dataset     scan, audit and split: what a run trains on, its test split locked away
plan        everything that would happen, as a value, before anything does
checkpoint  the run's state on disk: tensors and JSON, whole or absent
average     the moving average of the weights
phase       one stage of training made ready: frozen, wrapped, with its optimizer
steps       one epoch of steps
validate    the validation split, exactly once each, on any number of workers
loop        epochs, stages, early stopping and checkpoints; knows torch, not Ray
worker      what each worker runs
driver      `train`: from an experiment to a finished run folder
"""
