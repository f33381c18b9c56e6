"""One idempotent tick of retraining: observe the data, decide, train if there is reason, compare, promote or keep.

tick        the steps in order: `retrain`, its result and its failures
start       the steps before training: skip, observe, decide, freeze the splits
steps       the steps after it: train, compare, publish, apply the verdict
context     what the steps share: registry, lease, record
ticks       the record of a tick, written to the registry after each step

policy      (pure) is there reason to train, or to search?
gate        (pure) is the challenger better?
splits      (pure) the split of each image, which never changes
changes     images added, removed and relabelled since the last training
observe     the data as it is now, and its changes
features    images as the champion sees them, for drift
recipe      (pure) the experiment that trains the challenger
compare     champion and challenger on the same frozen images
publish     a run becomes a version

after       what follows a tick: pages, webhook (notify, webhook), MLflow (mirror)
page        a tick, and the registry, as HTML pages
cron        (pure) when the next tick is due; watch waits for it
"""
