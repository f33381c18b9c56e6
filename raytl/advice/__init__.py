"""Advice before the first run: which pretrained weights fit the user's training images, what more labels bring, and which
labels are suspect.

candidates   the weights to compare, by name or file
measure      (pure) k-NN, linear probe, LogME and H-score of a candidate, and paired comparisons
curve        (pure) which images a probe gets wrong that learned from fewer
result       the advice as a value
words        (pure) the advice in sentences
driver       `advise`: from an experiment and candidates to the advice
draft        the advised experiment file
"""
