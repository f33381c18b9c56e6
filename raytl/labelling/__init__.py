"""Change the images that a network learns from: doubtful labels are left out, unlabelled images are labelled by a method.

Each method is a step from training images to a `TrainChange`, computed once by the driver and applied by every worker.
"""
