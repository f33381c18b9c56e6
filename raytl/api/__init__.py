"""The public Python API: what `import raytl` offers to scripts and notebooks.

verbs     train, tune, plan, plan_sweep, retrain, evaluate, predict, load: from what a user names to a result
run       `Run`: a finished run as a value
sweep     `Sweep` and `Trial`: a finished sweep as a value
table     (pure) rows as a pandas DataFrame, or as a list of dicts
"""
