"""The command line, one file per verb. Results go to standard output, progress and errors to standard error.

    main        the app: all verbs and their examples
    options     options that several verbs share
    sources     the experiment that a command line names
    completion  words that a shell offers
    terminal    output streams, errors and exit codes
    progress    events of a run as live bars or plain lines
    lines       (pure) an event as a line of text
    numbers     (pure) numbers formatted for people
    tables      results as tables

Every other file is a verb, which imports torch and Ray only after its input was checked.
"""
