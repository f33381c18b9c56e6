"""Corrupt images as cameras, light and files do, at three severities, to measure how a model copes (Hendrycks & Dietterich 2019).

suite        the suites, with the amount of each corruption at each severity
corruption   one corruption as a value, and its random numbers
transfer     between 8-bit sRGB and linear light
noise        read, shot and impulse noise
blur         defocus, motion blur
light        exposure, contrast, color cast, vignette
damage       JPEG, low resolution, pixels, dirt on the lens
geometry     rotation
"""
