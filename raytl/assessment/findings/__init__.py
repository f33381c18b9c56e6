"""The sections of `raytl report` for tasks with findings: boxes, masks, labels, regions.

calibration, label_calibration   is the confidence right, and the probability of each label
thresholds                       from which confidence do findings keep a promise
pixels                           (class maps) how right and how sure are pixels
sizes                            what is missed and made up, by size and class
unfamiliar, slices, fairness     where is the score of an image lower
context                          (labels) does one depend on another
suspects, suspect_masks          annotations that are probably wrong
robustness                       noise, blur, light and dirt
"""
