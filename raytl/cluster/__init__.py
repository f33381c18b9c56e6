"""The only package that drives Ray: a quiet session and a group of workers in one torch process group.

session           start or join Ray without output; clean up at the end
temp_dir          the temporary directory of an embedded Ray
machines          the live machines of the cluster
placement         (pure) the number of workers that fit and the resources of each
reservation       placement groups for them; waits while the cluster scales up
autoscaler        requests GPUs from Ray's autoscaler
coordinator       an actor between workers and driver: events, heartbeats, requests
heartbeat         (values) a worker's heartbeat and the driver's request
heartbeat_sender  the thread that sends a worker's status as heartbeats
hang              (pure) which worker hangs, when none makes progress
watch             the driver's watch over draining nodes, new machines and hangs
interface         the network interface of an address
network           the torch process group on that interface, closed to other users
workers           the processes of a group, placed and started
background        a session that starts while its driver imports torch and plans
sigterm           SIGTERM ends a driver as Ctrl-C does, with its cleanup
early             workers that start while their driver still plans
tune_actors       Ray Tune's actors, in processes that are started already
trainer           Ray Train's controller in this process, without unneeded actors
worker_group      runs one function on N workers and replaces lost ones
retry             (pure) retry or give up after an attempt, and which budget pays
metrics           events as Prometheus metrics
on_each_node      runs functions on every node, for diagnostics
"""
