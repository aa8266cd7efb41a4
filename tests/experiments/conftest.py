"""What tests of experiments share with those of the report."""

from tests.report.conftest import results

__all__ = ["results"]
