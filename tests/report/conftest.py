"""What tests of the report share."""

import pytest

from interlace.report import load_cells
from tests.report.making import write


@pytest.fixture
def results(tmp_path):
    """Makes results of cells."""

    def make(cells, baseline=None):
        return load_cells(write(tmp_path / "cells", cells), baseline)

    return make
