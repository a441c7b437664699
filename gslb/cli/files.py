"""Verbs that work on files alone: ``check``, ``diff``, ``locate``."""

from __future__ import annotations
