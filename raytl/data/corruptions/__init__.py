"""Corrupt images as cameras, light and files do, at three severities, to measure how a model copes (Hendrycks & Dietterich 2019).

suite        the suites, with the amount of each corruption at each severity
corruption   one corruption as a value, and its random numbers
corrupted    the images of a split under a corruption
transfer     between 8-bit sRGB and linear light
noise        read, shot and impulse noise
blur         defocus, motion, zoom and glass
light        exposure, contrast, color cast, saturation, vignette
weather      fog and snow
damage       JPEG, low resolution, pixels, dirt on the lens
geometry     rotation, elastic deformation
"""
