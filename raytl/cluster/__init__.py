"""Ray's door: a quiet session on an embedded or a running cluster, and a gang of workers in it.

session     start or join Ray, silently, and leave it as it was found
machines    what the cluster has now
placement   (pure) how many workers there is room for, and what each reserves
room        that reserved, or waited for while the cluster makes it
channel     events from the workers to whoever watches on the driver, and what they are asked in return
beat        (values) what a worker says of itself, and what it may be asked for
pulse       the worker's end of that: what this process is doing, noted as it goes
hang        (pure) who holds up whom, when no worker gets on
watch       the driver's look at them: machines that leave or come, workers that hang
interface   the network interface that has an address
network     the process group on the right interface, closed to others on one machine
trainer     Ray Train's trainer without the actors that are not needed
gang        run one function on N workers in one process group, and replace them when they are lost
verdict     (pure) what the end of an attempt means: again, or the end, and who pays for it
"""
