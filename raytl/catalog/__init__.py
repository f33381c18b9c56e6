"""The runs and sweeps below a URI, and how two runs differ. Reads only; nothing stored sets anything here.

entry       one run or sweep in a list
listing     from a URI to entries
writer      whether a process is writing to a run now
comparison  what differs between two runs: config, data and result (imports the tasks, and so torch)
"""
