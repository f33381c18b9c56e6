"""A Ray cluster on Kubernetes, as the manifest file for KubeRay.

cluster_spec    the requested cluster as a value, validated as a whole
pods            the pods of head and workers: placement, permissions, draining
render          the whole file, a pure function of the cluster spec
schedule        scheduled RayJobs: a CronJob or a RayCronJob
commented_yaml  YAML text whose values carry comments
"""
