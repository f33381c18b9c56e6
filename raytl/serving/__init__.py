"""`raytl serve`: a bundle behind HTTP, without torch; Ray only with `--ray`.

options    what to serve and the limits, as a value
source     where a bundle comes from: a folder, a run, a bucket, or a version of a registry
live       the model that answers now, replaced in one step
watch      follow an alias: fetch, check, open and warm the new version, then swap
pool       photos in a bounded queue, decoded and run by a few threads
access     tokens, hosts and allowed prefixes
body       a request's body within limits of bytes and time
payload    photos out of a body: raw, multipart, or the URI of an object
protocol   the Open Inference Protocol, version 2
metrics    counters and histograms as Prometheus text
observe    pass answers on, without delaying or failing them
recording  the options of feedback as a value
app        the ASGI application
pages      the OpenAPI document and its page
guard      connections within limits, below the application
server     the application on uvicorn
ray_serve  the application on Ray Serve
running    a service from start to end
driver     serve until stopped
"""
