"""Grading strangers' notebooks: intake, sandbox, calls through the wall, marks in nbgrader's gradebook.

A submission is let in and rebuilt from the release (`collect`, `intake`). Its cells run in a sandbox, while
its checks run here and call through the wall (`sandbox`, `session`, `grade`). Records, marks, pages and
tables go into a course folder (`folder`, `records`, `gradebook`, `pages`, `export`). `command` does all that.
"""
