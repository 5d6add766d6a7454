"""Called by python_app.ts."""


def noop(n):
    return n
