"""What runs the course: the book and its build, JupyterLab, the tests. No topic imports any of it."""
