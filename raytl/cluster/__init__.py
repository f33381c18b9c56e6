"""Ray's door: a quiet session on an embedded or a running cluster, and a gang of workers in it.

session     start or join Ray, silently, and leave it as it was found
placement   (pure) how many CPUs and GPUs a worker reserves, so that all fit on the machines
channel     events from the workers to whoever watches on the driver
gang        run one function on N workers in one process group, and replace them when they are lost
verdict     (pure) what a failed attempt means: the user's error, a retry, or the end
"""
