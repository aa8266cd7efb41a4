"""Readers of folders, tables, archives and stored draws: what lies on a disk becomes records."""
