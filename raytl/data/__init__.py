"""From files to batches.

`formats.scan` finds the samples, `split.assign` gives each a side, `audit.audit` reads every file once, `split.divide` locks
the test away, `cache.open_images` and `loader` feed the training. Up to `divide` nothing here needs torch but the audit.
"""
