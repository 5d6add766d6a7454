"""Called by torchrun.ts: `train` runs once on each node; torchrun starts this file again, as often as the node has GPUs."""

import json
import os
import subprocess
import sys
import threading

POINTS, BATCH = 4096, 32


def train(input, ctx):
    """Starts torchrun, which ends when the training on all nodes does; hands on what its first process says."""
    folder = os.environ["BERTH_SLOT"]
    with open(f"{folder}/checkpoint", "wb") as file:
        file.write(ctx.checkpoint.load() or b"")
    gang = [f"--nnodes={os.environ['NNODES']}", f"--node_rank={os.environ['NODE_RANK']}"]
    gang += [f"--master_addr={ctx.gang.master_address}", f"--master_port={ctx.gang.master_port}"]
    processes = [f"--nproc_per_node={input.get('processes') or gpus() or 1}", "--monitor_interval=0.2"]
    # Of a process that is not there: PyTorch 1.13 cannot read the default of these two with Python 3.11.
    processes += ["--redirects=9:1", "--tee=9:1"]
    mine = [__file__, f"{folder}/checkpoint", json.dumps({**input, "attempt": ctx.attempt})]
    command = [sys.executable, "-m", "torch.distributed.run", *gang, *processes, *mine]
    result = None
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as torchrun:
        threading.Thread(target=lambda: ctx.cancelled.wait() and torchrun.terminate(), daemon=True).start()
        for line in torchrun.stdout:
            said = json.loads(line) if line.startswith("{") else {}
            if "epoch" in said:
                ctx.report(said)
                with open(f"{folder}/checkpoint", "rb") as file:
                    ctx.checkpoint.save(file.read())
            result = said.get("result", result)
    if torchrun.returncode != 0:
        raise RuntimeError(f"torchrun ended with exit code {torchrun.returncode}")
    return result and {**result, "attempt": ctx.attempt}


def gpus():
    return len([gpu for gpu in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if gpu])


def main(path, epochs, attempt, failAfter=None, **_):
    """One of the processes: its share of the points, and the gradients of all."""
    import torch
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel
    from torch.utils.data import DataLoader, TensorDataset
    from torch.utils.data.distributed import DistributedSampler

    cuda, local = torch.cuda.is_available(), int(os.environ["LOCAL_RANK"])
    dist.init_process_group("nccl" if cuda else "gloo")
    rank, size = dist.get_rank(), dist.get_world_size()
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    torch.manual_seed(0)
    points = torch.rand(POINTS, 2) * 4 - 2
    data = TensorDataset(points, (points.norm(dim=1) < 1.2).float())  # inside a circle, or not
    layers = [torch.nn.Linear(2, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1)]
    model = DistributedDataParallel(torch.nn.Sequential(*layers).to(device), [local] if cuda else None)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    saved = torch.load(path, map_location=device) if os.path.getsize(path) else None
    if saved:
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
    resumed_at = saved["epoch"] if saved else 0
    sampler = DistributedSampler(data)
    batches = DataLoader(data, BATCH, sampler=sampler)
    for epoch in range(resumed_at + 1, epochs + 1):
        sampler.set_epoch(epoch)
        for inputs, labels in batches:
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                model(inputs.to(device)).squeeze(1), labels.to(device)
            )
            optimizer.zero_grad()
            loss.backward()  # which takes the mean of all processes' gradients
            optimizer.step()
        dist.all_reduce(total := loss.detach().clone())
        if rank == 0:
            state = {"epoch": epoch, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save(state, f"{path}.new")
            os.replace(f"{path}.new", path)
            print(json.dumps({"epoch": epoch, "loss": total.item() / size}), flush=True)
        dist.barrier()
        if attempt == 1 and epoch == failAfter and rank == size - 1:
            os.abort()  # the machine is gone

    inside = model(points.to(device)).squeeze(1) > 0
    accuracy = (inside == (data.tensors[1] > 0).to(device)).float().mean().item()
    # The same numbers everywhere, since all began with the same and took the same steps.
    mine = sum(parameter.detach().sum() for parameter in model.parameters()).reshape(1)
    sums = [torch.zeros_like(mine) for _ in range(size)]
    dist.all_gather(sums, mine)
    if rank == 0:
        spread = (max(sums) - min(sums)).item()
        result = {"processes": size, "accuracy": accuracy, "spread": spread, "resumedAt": resumed_at}
        print(json.dumps({"result": result}), flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], **json.loads(sys.argv[2]))
