"""Grading strangers' notebooks: intake, sandbox, calls through the wall, marks in nbgrader's gradebook.

A submission is let in and rebuilt from the release (`collect`, `intake`); its cells run in a sandbox while its
checks run here and call through the wall (`sandbox`, `session`, `grade`); marks, pages and tables are written
into a course folder (`folder`, `gradebook`, `pages`, `export`). `command` does all of it for a whole folder.
"""
