"""Where the units of an embedding are done: ``local`` in this process, ``ray`` on a cluster."""
