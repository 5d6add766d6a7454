"""What a piece of user code wants to be given."""
import inspect


def arguments_of(handler):
    """Which of input and ctx the handler takes, by position and by keyword."""
    parameters = list(inspect.signature(handler).parameters.values())
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    keyword = [p.name for p in parameters if p.kind == p.KEYWORD_ONLY and p.name == "ctx"]
    if any(p.kind == p.VAR_POSITIONAL for p in parameters) or len(positional) > 1:
        return ["input", "ctx"], keyword
    return ["ctx" if name == "ctx" else "input" for name in positional], keyword


def takes_any(code):
    """Whether it takes an argument at all."""
    return bool(inspect.signature(code).parameters)


def caller_of(handler):
    """The handler as a function of input and ctx."""
    positional, keyword = arguments_of(handler)
    if keyword:
        return lambda input, ctx: handler(*[{"input": input, "ctx": ctx}[name] for name in positional], ctx=ctx)
    if positional == ["input", "ctx"]:
        return handler
    if positional == ["input"]:
        return lambda input, ctx: handler(input)
    return (lambda input, ctx: handler(ctx)) if positional else (lambda input, ctx: handler())
