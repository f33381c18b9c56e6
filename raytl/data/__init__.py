"""Load images: from files and objects to training batches.

`formats.scan` lists the samples, `split.assign` puts each into train, val or test, `audit.audit` reads every file once,
`split.divide` locks the test split, and `cache.open_images` and `loader` feed the training loop. Up to `divide`, only the
audit needs torch.
"""
