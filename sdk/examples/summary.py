"""Called by python.ts. Its packages would be pinned there, as `requirements`."""

import statistics


def summary(input, ctx):
    numbers = input["numbers"]
    ctx.log(f"{len(numbers)} numbers")
    return {"mean": statistics.fmean(numbers), "stdev": statistics.pstdev(numbers)}
