"""Numbers that say how good a model is: from the rows of every worker, merged once, each with its interval."""
