"""A Ray cluster on Kubernetes, as the file that KubeRay starts it from.

needs    what is wanted, as a value; every need that makes no sense, at once
pods     the head's and the workers' pods: where they may lie, what they may do, how they leave
render   the whole file, a pure function of the needs
schedule what makes a RayJob again and again: a CronJob, a RayCronJob
written  values, each with its reason, as YAML text
"""
