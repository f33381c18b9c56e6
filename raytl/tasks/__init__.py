"""The tasks: each package owns its targets, network, loss, scores, reports and pictures behind the contract in `task`."""
