"""Simulations of the promises of `raytl report`: each at full size here, and at a small size in the tests.

calibration    intervals of temperatures; alarms on calibrated answers
promises       certified thresholds and prediction sets, beside the naive choice
slices         slices of random errors
drawn          drawn photos, and squares that are planted
photos         photos of class folders as arrays, their tints, thumbnails and features
shortcuts      alarms on clean photos; squares that are planted
suspects       wrong labels that are planted
sites          a tint for each site
"""
