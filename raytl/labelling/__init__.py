"""Which images a network learns from, with which labels: doubtful labels left out, unlabelled images labelled by a method.

Each method is a step from training images to a `TrainChange`, computed once by the driver and applied by every worker.
"""
