"""Metrics of a model from the merged rows of all workers, each with its confidence interval.

confusion   the confusion matrix; precision, recall and F1 by class
scores      per-sample facts, and every score over any draw of samples
direction   the scores for which lower is better
intervals   bootstrap confidence intervals
paired      two models on the same images: the gain, its interval and p-values
neighbors, transferability    frozen features: k-NN, LogME, H-score
learning_curve    the error over training images, extrapolated
certified, conformal, aim    thresholds and sets of classes that keep a promise, and aims for them
unfamiliar  distance to the training images, for images that are unlike them
suspects    labels that held-out probabilities contradict
drift       two-sample tests between old and new images
anytime     a test of a stream of images that may be looked at any time
attributes, slices          images on which the model errs more often
shortcuts   artifacts that give a class away
gather      merge the rows of all workers
draws       draws of images, over which all scores are taken
matching, average_precision    detections and instances
segmentation, regions, pixels    class maps, their connected regions, and their pixels by confidence
multilabel, label_context  independent labels, and those that depend on another
"""
