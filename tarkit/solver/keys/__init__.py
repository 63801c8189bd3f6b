"""Cache keys: BuildKit's digests of operations, the graph of keys, and the stores that remember it.

::

    operations, sources    the digest of an operation, and what its inputs contribute
    key                    a key: an operation's output, with the keys of its inputs
    stores, memory, kept   what is remembered: keys, links between them, and results
    lookup                 keys and results in several stores at once
    config, importing,     cache configs, which carry keys and results between machines
    exporting
    explain                what changed between two keys of the same vertex
"""
