"""The loss that a training step minimizes, from batches of one source of images or several.

The loss of the labels is the task's. What a method adds is a term, which sees outputs and features of the network and no task.
"""
