"""One idempotent tick of retraining: look, decide, train if there is reason, compare, promote or keep, leave a trail.

policy      (pure) is there reason to train, or to search?
gate        (pure) is the challenger the better one?
sides       (pure) who trains and who is held out, for ever
changes     what came, went and changed since the last training, and how far it has drifted
recipe      (pure) the experiment that makes the challenger
compare     champion and challenger on the same frozen images
ticks       what a tick has done so far, kept in the registry
publish     a run becomes a version
tick        the parts in their order, whatever is killed on the way
notify      who is told; mirror: MLflow
page        a tick, and the registry, as pages
cron        (pure) when the next tick is due
"""
