"""Cache keys: BuildKit's digests of operations, the graph of keys, and the stores that keep it.

::

    operations, sources    the digest of an operation, and the contribution of its inputs
    key                    a key: an operation's output, with the keys of its inputs
    stores, memory, kept   stores of keys, of the links between them, and of results
    lookup                 keys and results in several stores at once
    config, importing,     cache configs, which carry keys and results between machines
    exporting
    explain, history       the changes of a key since the last build
"""
