"""Bodies in JSON, YAML and CBOR as trees that know their places, and the values in them. No I/O.

Where to look:

    formats     what reads and writes each format

    Reading
    document    the tree of a body, whose values know line and column
    jsonreader, jsonscanner, jsonerrors
                JSON, as strictly as Jackson; its tokens; its syntax errors
    yamlreader, cborreader
                YAML and CBOR
    budget      what a body of these may grow to
    objectparser
                objects by declared fields, the first problem of which is the error
    loading, slicing
                JSON of Elasticsearch's that is to be written again: values, and parts as bytes

    Values
    values, times
                objects, booleans, Java's numbers; and times
    numbers, weights
                vectors, and weights of tokens, that keep their JSON
    javatext    how Java prints values
    suggestions for misspelt names

    Writing
    writing, yamlwriter
                answers as Elasticsearch lays them out
    filterpath  the part of an answer that is wanted
    weighing    how large a value is, before it is written
"""
