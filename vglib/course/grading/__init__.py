"""Grading strangers' notebooks: intake, sandbox, calls through the wall, marks in nbgrader's gradebook.

A submission goes through `intake` (rebuilt from the release, student's sources only), `session` (its cells run
in a `sandbox`, the checks run here and call through the wall), and `book` (marks, feedback pages, export).
"""
