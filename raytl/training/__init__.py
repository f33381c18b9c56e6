"""Fine-tuning: the stages of training, the loop that runs them, and the driver that supervises it.

stages      (pure) the trainable part of the network by epoch
schedule    (pure) the learning rate factor by step
dataset     scan, audit and split the data of a run; the test split is never passed to training
plan        the whole run as a value, computed before it starts
checkpoint  the state of training on disk: tensors and JSON, written atomically
average     the exponential moving average of the weights
phase       one stage of training, set up: frozen, wrapped in DDP, with its optimizer
steps       one epoch of steps
validate    score each validation image exactly once on any number of workers
collectives sums and broadcasts over all ranks
loop        epochs, stages, early stopping and checkpoints; knows torch, not Ray
worker      the entry point of each worker
driver      `train`: from an experiment to a finished run folder
"""
