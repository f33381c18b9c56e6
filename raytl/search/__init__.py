"""Sweeps: Optuna suggests trials, Ray Tune runs them; the best are trained again, and the winner is refitted and reported.

protocol          (pure) `Suggestion` out, `TrialResult` back
plan              (pure) the plan of a sweep and its cost, as values
shape             (pure) how many trials run at a time
halving           (pure) synchronous successive halving
ranking           (pure) the winner by mean over seeds, within noise the cheaper trial
stopping          (pure) the end of a sweep that cannot gain more than the noise of validation
folds             (pure) train and validation divided into folds
record            (pure) a trial of the study, as a value
inputs            the experiment with its data and space, and the study and job that follow
image_scale       trials on smaller images than the finalists
preflight         the plan, measured by a few training steps
driver            `tune`: a sweep from an experiment to its winner, in a sequence of steps

study             the trials in Optuna's storage, the only state of a sweep
storage           journal, SQLite or a database
suggest           samplers, recipes and a trial's values
near              (pure) draws near the experiment's values
guided            the sampler of the next trial: near draws, then a model of ranks with those of earlier sweeps
prior             (pure) earlier sweeps as values: ranks, first points, prior.json
earlier           reads the sweeps that `search.prior` names
sqlite_study      reads the study of such a sweep in SQLite
cma               CMA-ES that unpickles nothing unsafe

sweep_state       the study with its costs, progress and checkpoints
budget            the budget of a sweep, and what is spent
noise             the standard error of the validation score, and the end of a sweep that it decides
checkpoints       checkpoints that are no longer needed
searcher          Ray Tune's searcher and scheduler
executor          trials on Ray Tune, or in this process
early             Ray and the processes of trials, started before this process imports torch
trial_process     the imports of such a process

trial             experiments and jobs of trials
worker            one trial on one worker
fold_trial        one trial with a network for each fold
distributed_trial one trial on several workers
head              the linear probe that all trials start from
feature_cache     which activations trials share, and the batches made of them

rescore           scores of checkpoints, read from disk
winner            rescore, train with other seeds, rank, refit
replicas          the journal of runs with other seeds
soup              the mean of the best trials' weights
outcome           the table and the result
summary           the files of a sweep beside its study
report            the page and its charts
"""
