"""What raytl's defaults reach on small sets, beside the defaults of others (see `experiments.defaults.bench`)."""
