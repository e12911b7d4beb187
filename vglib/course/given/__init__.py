"""What tasks give: functions that an exercise notebook shows and its check uses, one module a topic.

These come along wherever a learner's code runs; nothing here answers a task.
"""
