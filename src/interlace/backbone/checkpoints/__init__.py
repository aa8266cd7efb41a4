"""Checkpoints of every family: found, read, checked and written.

- Reading: :mod:`.model_folder` (a folder or repository with its configuration),
  :mod:`.weights_file` (a weights file by itself) and :mod:`.live` (a model of another library in
  memory) each return a :class:`~.loaded.LoadedModel`. They use :mod:`.configs` (schemas of
  configuration files), :mod:`.tensors` and :mod:`.pickles` (weights), :mod:`.image_processor`.
- Writing: :mod:`.save` takes a ``LoadedModel``.
- :mod:`.families`: tensor names and architectures of each format, both ways.
"""
