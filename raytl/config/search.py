"""The search section of an experiment."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from raytl.config.budget import BudgetConfig
from raytl.config.replicates import ReplicatesConfig
from raytl.config.section import Metric, Section

Objective = Metric | Literal["cost/trainable_parameters", "cost/train_seconds"]


class SearchConfig(Section):
    """The search of `raytl tune`."""

    trials: Annotated[int, Field(ge=1)] = 64
    """Number of trials. `raytl tune --add N` runs N more."""
    metric: Objective | Annotated[list[Objective], Field(min_length=1)] = "val/balanced_accuracy"
    """The objective, or a list of objectives for a Pareto front. The first one decides the winner."""
    budget: BudgetConfig = BudgetConfig()
    scheduler: Literal["asha", "halving", "none"] = "asha"
    """asha = asynchronous successive halving: stop trials that fall behind as they report. halving = synchronous: all trials of a rung wait for each other. none = run all trials to the end."""
    grace_epochs: Annotated[int, Field(ge=1)] = 2
    """Epochs of every trial before the scheduler may stop it."""
    reduction: Annotated[int, Field(ge=2)] = 3
    """Reduction factor: one trial in this many is promoted from each rung."""
    sampler: str = "tpe"
    """tpe, random, cmaes, gp, qmc, nsga2, grid, or the name of any Optuna sampler."""
    space: Annotated[dict[str, dict[str, Any]], Field(min_length=1)] | None = None
    """The search space by dotted key: {int: [low, high]}, {float: ...}, {log: ...} or {choice: [...]}, optionally with `when: key > value`. null = unfreeze depth, learning rates, decay and augmentation."""
    storage: str = "journal"
    """Storage of the Optuna study: journal or sqlite (a file in the sweep's folder), or a database URL without its password, which comes from PGPASSWORD, ~/.pgpass or the file that ?read_default_file= names. In a database each sweep has a study of its own, whose name begins with the experiment's."""
    prior: str | Annotated[list[str], Field(min_length=1, max_length=20)] | None = None
    """Folder or s3:// URI, or a list of them, at or below which earlier sweeps lie. Those of this task, model and objective give first trials, and their ranks guide tpe and gp. Read at the first start only. null = none."""
    folds: Annotated[int, Field(ge=2, le=10)] | None = None
    """Score each trial by its mean over this many folds of train and validation: for fewer than about 100 validation images, which pick a winner by luck. A trial trains a network for each fold, side by side on one worker; 3 costs 2.5 times as much, 5 five times. The winner is refitted on train. null = train on train, score on validation."""
    stop: Literal["noise", "never"] = "noise"
    """noise = end before all trials have run if the remaining ones are expected to gain less than the standard error of the validation score. Sweeps with several objectives and grids run all trials. never = run all trials."""
    recipes: bool = True
    """Start with the recipes of the literature (upper half, linear probe, last stage, everything with decay) and the experiment itself."""
    feature_cache: Literal["auto", "off"] = "auto"
    """Compute the activations of frozen stages once for all trials. auto = if reading them is faster than computing them."""
    views: Annotated[int, Field(ge=1)] = 4
    """Cached augmented views per training image and strength, which trials share."""
    linear_probe: bool = True
    """Solve the head once and start every trial from it: all trials have transfer.head_start solved and head_first 0."""
    image_scale: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Side of the trials' images, as a fraction of the model's, in steps of its patches or of 32 pixels. The finalists are repeated, compared and refitted at the full size. 1 = trials have it too."""
    replicates: ReplicatesConfig = ReplicatesConfig()
    refit_epochs: Annotated[int, Field(ge=1)] | None = None
    """Epochs of the winner when it is trained once more. null = train.epochs, or as many as a trial may train if these are more."""
    soup: Literal["off", "uniform", "greedy"] = "off"
    """Average the weights of the best trials into one more candidate: uniform = all kept trials; greedy = those that do not lower the score."""
    keep: Annotated[int, Field(ge=1)] = 3
    """Number of best trials whose checkpoints are kept, and beside them that of the best trial with fewer methods, if all of these have some."""
    max_errors: Annotated[int, Field(ge=1)] = 3
    """Stop the sweep after this many trials failed with the same error."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the sampler."""

    @property
    def metrics(self) -> tuple[Objective, ...]:
        """Return the objectives; the first one decides the winner."""
        return (self.metric,) if isinstance(self.metric, str) else tuple(self.metric)
